"""Up to how many requests tokens are drafted, and what vLLM is given for it. That it works is tested with a real engine in test_vllm.py."""

from pathlib import Path
from typing import Any

import pytest

from llmbench.config.choices import Device
from llmbench.config.dump import as_yaml
from llmbench.config.engine import EngineConfig
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.vllm.speculation import SCHEDULER, arguments, drafting_limit, graphs
from llmbench.engine.vllm.startup import history_key
from llmbench.engine.vllm.startup_history import Key
from llmbench.errors import ConfigError
from llmbench.results.manifest import CONFIG
from llmbench.run.engine_pool import engine_key
from llmbench.run.resume_checks import check_settings
from tests.helpers.settings import compose

NGRAM = {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 5}
EAGLE = {"method": "eagle3", "model": "org/small", "num_speculative_tokens": 3}
SIZES = [1, 2, 4, 8, 32, 64, 96, 128]


def engine(speculative: dict[str, Any], below: int | None = 16) -> EngineConfig:
    return EngineConfig(name="vllm", speculative=speculative, speculative_max_running=below)


def test_without_speculation_vllm_gets_nothing_of_it() -> None:
    assert arguments(engine({}), 128) == graphs(engine({}), SIZES) == {}
    assert not compose(["engine=vllm"]).engine.speculative


@pytest.mark.parametrize("method", ["ngram", "draft_model"])
def test_what_the_first_model_runner_drafts_is_limited_by_the_scheduler(method: str) -> None:
    speculative = NGRAM | {"method": method}
    assert arguments(engine(speculative), 128) == {
        "speculative_config": speculative,
        "scheduler_cls": SCHEDULER,
        "additional_config": {"llmbench_speculative_max_running": 16},
    }


def test_what_the_second_drafts_is_limited_by_vllms_own_schedule() -> None:
    schedule = {"num_speculative_tokens_per_batch_size": [[1, 16, 3], [17, 128, 0]]}
    assert arguments(engine(EAGLE), 128) == {
        "speculative_config": EAGLE | schedule,
        "scheduler_cls": SCHEDULER,
    }


@pytest.mark.parametrize("tokens", ["0", "-1", "1.5", "true", "many"])
def test_a_number_of_drafted_tokens_that_is_none_is_refused_at_once(tokens: str) -> None:
    with pytest.raises(ConfigError, match="must be a whole number from 1"):
        compose([f"engine.speculative={{method: ngram, num_speculative_tokens: {tokens}}}"])


@pytest.mark.parametrize("speculative", [NGRAM, EAGLE])
@pytest.mark.parametrize(("below", "capacity"), [(None, 128), (16, 16), (16, 4)])
def test_drafting_is_not_limited_where_no_more_requests_can_run(
    speculative: dict[str, Any], below: int | None, capacity: int
) -> None:
    found = arguments(engine(speculative, below), capacity)
    assert found == {"speculative_config": speculative, "scheduler_cls": SCHEDULER}


@pytest.mark.parametrize(
    "speculative",
    [
        {"method": "ngram_gpu", "num_speculative_tokens": 5},
        {"method": "suffix", "num_speculative_tokens": 5},
        {"method": "mtp"},
        {"model": "org/small", "num_speculative_tokens": 3},
        NGRAM | {"num_speculative_tokens_per_batch_size": [[1, 8, 5], [9, 128, 0]]},
    ],
)
def test_what_vllm_cannot_limit_or_is_told_otherwise_stays_as_typed(speculative: dict[str, Any]) -> None:
    assert drafting_limit(engine(speculative)) is None
    assert arguments(engine(speculative), 128)["speculative_config"] == speculative


def test_steps_with_drafts_and_without_have_graphs() -> None:
    found = graphs(engine(NGRAM), SIZES)
    sizes = found["cudagraph_capture_sizes"]
    assert found["cudagraph_mode"] == "FULL"
    assert all(size % 6 == 0 for size in sizes)  # as vLLM would round them
    assert {6 * size for size in (1, 2, 4, 8, 16)} <= set(sizes)  # requests with all their drafts
    assert sizes[-1] >= 128  # and all requests without
    assert graphs(engine(EAGLE), SIZES)["cudagraph_capture_sizes"] == sorted({*SIZES, 4, 8, 16, 32, 64})


def test_graphs_for_drafts_end_where_vllms_own_do() -> None:
    assert graphs(engine(NGRAM, None), SIZES)["cudagraph_capture_sizes"][-1] == 6 * 64
    assert graphs(engine(NGRAM, None), [1, 1024])["cudagraph_capture_sizes"] == [6, 1026]


@pytest.mark.parametrize("below", [0, -1])
def test_a_limit_that_allows_nothing_is_refused(below: int) -> None:
    with pytest.raises(ConfigError, match=f"engine.speculative_max_running={below} is refused"):
        compose([f"engine.speculative_max_running={below}"])


def test_the_limit_may_be_left_open() -> None:
    assert compose(["engine.speculative_max_running=null"]).engine.speculative_max_running is None
    assert compose([]).engine.speculative_max_running == 16


def test_another_limit_is_another_engine_and_another_start_only_where_tokens_are_drafted() -> None:
    checkpoint = Checkpoint("org/model", None, local=False)

    def keys(*typed: str) -> tuple[str, Key]:
        config = compose(["engine=vllm", *typed])
        return engine_key(config), history_key(config, checkpoint, Device.cpu)

    drafting, other = "engine.speculative={method: ngram}", "engine.speculative_max_running=8"
    assert keys(other) == keys()
    assert not set(keys(drafting, other)) & set(keys(drafting))


def test_a_run_without_drafts_is_resumed_under_another_limit_and_one_with_them_is_not(tmp_path: Path) -> None:
    lines = as_yaml(compose([])).splitlines(keepends=True)
    for written in (lines, [line for line in lines if "speculative_max_running" not in line]):
        (tmp_path / CONFIG).write_text("".join(written))
        check_settings(tmp_path, compose(["engine.speculative_max_running=8"]))
    drafting = "engine.speculative={method: ngram, num_speculative_tokens: 5}"
    (tmp_path / CONFIG).write_text(as_yaml(compose([drafting])))
    check_settings(tmp_path, compose([drafting]))
    with pytest.raises(ConfigError, match=r"engine\.speculative_max_running=8 \(it was 16\) cannot change"):
        check_settings(tmp_path, compose([drafting, "engine.speculative_max_running=8"]))
