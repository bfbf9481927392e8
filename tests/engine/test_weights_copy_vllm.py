"""A copy of quantised weights in the real engine: vLLM on the CPU with the first layers of SmolLM2. One process for all."""

from pathlib import Path

import pytest

from llmbench.results.reader import load_run
from tests.helpers.installed import needs
from tests.helpers.several_runs import SeveralRuns, run_all
from tests.helpers.small_models import first_layers

pytestmark = [needs("vllm"), pytest.mark.real_engine]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> SeveralRuns:
    folder = tmp_path_factory.mktemp("copies")
    model = first_layers(smollm2, folder / "model")
    four_bit = (f"model.path={model}", "model.quantization=bitsandbytes")
    asked = (
        *four_bit,
        "report=false",
        "limit=4",
        "early_stopping=off",
        "benchmarks.arithmetic.max_tokens=24",
    )
    runs = {
        "at_load": (*asked, "cache=on"),
        "check_copy": ("tests.helpers.quantized_copy", *four_bit),
        "from_copy": asked,
        "cached": (*asked, "cache=on"),
        "off": (*asked, "engine.weights_copy=false"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMBENCH_CACHE", str(folder / "cache"))
        return run_all(folder, runs)


def test_a_copy_is_kept_once_a_start_from_it_holds_the_same_bits(runs: SeveralRuns) -> None:
    assert "loaded from now on" in runs.output("check_copy")


def test_greedy_answers_from_a_copy_are_those_of_weights_quantised_at_load(runs: SeveralRuns) -> None:
    texts = {
        name: [(r.sample_id, r.text) for r in load_run(runs.path(name)).results]
        for name in ("at_load", "from_copy", "off")
    }
    assert len(texts["at_load"]) == 4
    assert texts["from_copy"] == texts["at_load"] == texts["off"]


def test_a_run_says_that_it_loaded_a_copy_and_which_checkpoint_was_evaluated(runs: SeveralRuns) -> None:
    before, after, off = (load_run(runs.path(name)) for name in ("at_load", "from_copy", "off"))
    digest = after.summary["engine"]["weights_copy"]
    assert len(digest) == 64
    assert before.summary["engine"]["weights_copy"] is off.summary["engine"]["weights_copy"] is None
    assert after.manifest["checkpoint"] == before.manifest["checkpoint"] | {"weights_copy": digest}
    assert after.summary["engine"]["quantization"] == before.summary["engine"]["quantization"]
    assert after.summary["engine"]["kv_cache_tokens"] == before.summary["engine"]["kv_cache_tokens"]


def test_the_response_cache_has_the_same_answers_for_both(runs: SeveralRuns) -> None:
    assert all(c.from_cache for r in load_run(runs.path("cached")).results for c in r.completions)
