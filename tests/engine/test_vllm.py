"""The real engine: vLLM on the CPU with SmolLM2 or its first layers. One process for all: vLLM takes ten seconds to import.

All runs but those of four bits and the first compute in float32, several times as fast as bfloat16 where the processor has no instructions for it.
"""

import json
import shutil
from pathlib import Path

import pytest

from llmbench.records import FinishReason
from llmbench.results.reader import load_run
from tests.helpers.adapters import adapter
from tests.helpers.installed import needs
from tests.helpers.paths import DATA
from tests.helpers.several_runs import SeveralRuns, run_all
from tests.helpers.small_models import first_layers, with_thinking_token

pytestmark = [needs("vllm"), pytest.mark.real_engine]
NGRAMS = "engine.speculative={method: ngram, num_speculative_tokens: 3, prompt_lookup_min: 1, prompt_lookup_max: 3}"
DRAFTING = {
    "drafts_never": (),
    "drafts_last": (NGRAMS, "engine.speculative_max_running=2"),
    "drafts_always": (NGRAMS, "engine.speculative_max_running=null"),
}


THINKS = (
    "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n{{ turn['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
"""A chat template that opens a think block in the prompt."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> SeveralRuns:
    folder = tmp_path_factory.mktemp("several")
    thinking = with_thinking_token(smollm2, folder / "thinking_model")
    model = first_layers(smollm2, folder / "model")
    same, changed = (shutil.copytree(model, folder / name) for name in ("same", "changed"))
    config = changed / "generation_config.json"
    config.write_bytes(config.read_bytes()[:-1] + b" ")  # by as many bytes
    plain, changing = (adapter(folder / name, layers=4, b=b) for name, b in (("plain", 0), ("changing", 0.5)))
    quick = ("model.dtype=float32", "report=false", "benchmarks.arithmetic.cue_tokens=8")
    small = (*quick, f"model.path={model}")
    few = (*small, "limit=2", "benchmarks.arithmetic.max_tokens=8")
    cached = ("benchmarks.arithmetic.max_tokens=16", "cache=on")
    four_bit = (f"model.path={model}", "model.quantization=bitsandbytes")
    copied = (
        *four_bit,
        "report=false",
        "limit=4",
        "early_stopping=off",
        "benchmarks.arithmetic.max_tokens=24",
    )
    template = folder / "thinks.jinja"
    template.write_text(THINKS)
    runs = {
        "default": ("limit=5",),
        "check_internals": ("tests.helpers.loaded_internals", str(model), str(plain)),
        "check_protocol": ("tests.helpers.engine_protocol", str(model)),
        "program": few,
        "benchmarks": (
            *small,
            "benchmark=[arithmetic,gpqa]",
            f"benchmarks.gpqa.data_files={DATA / 'mcq_sample.jsonl'}",
            "benchmarks.gpqa.max_tokens=16",
            "benchmarks.gpqa.cue_tokens=8",
            "benchmarks.arithmetic.max_tokens=16",
            "limit=3",
        ),
        "sweep": ("-m", *small, "limit=4", "benchmarks.arithmetic.max_tokens=12", "batch_size=1,4,1"),
        "larger": (
            "-m",
            *small,
            "hydra/launcher=basic",
            "limit=3",
            "batch_size=1,3",
            "benchmarks.arithmetic.max_tokens=8",
        ),
        "thinking": (*quick, f"model.path={thinking}", "limit=2", "early_stopping=off"),
        "budget": (
            *quick[:2],
            f"model.chat_template={template}",
            "limit=4",
            "sampling.repeats=2",
            "sampling.temperature=0.7",
            "sampling.thinking_budget=24",
            "sampling.answer_tokens=32",
            "benchmarks.arithmetic.max_tokens=64",
            "early_stopping=off",
        ),
        "at_load": (*copied, "cache=on"),
        "check_copy": ("tests.helpers.quantized_copy", *four_bit),
        "from_copy": copied,
        "cached_copy": (*copied, "cache=on"),
        "no_copy": (*copied, "engine.weights_copy=false"),
        "adapters": (
            "-m",
            *small,
            "limit=4",
            "early_stopping=off",
            "benchmarks.arithmetic.max_tokens=12",
            f"model.lora=null,{plain},{changing}",
        ),
        "engines": (
            "-m",
            "engine=vllm,transformers",
            *quick,
            "limit=5",
            "early_stopping=off",
            "benchmarks.arithmetic.max_tokens=12",
        ),
        **{
            name: (
                *small,
                "limit=6",
                "batch_size=4",
                "early_stopping=off",
                "benchmarks.arithmetic.max_tokens=24",
                *typed,
            )
            for name, typed in DRAFTING.items()
        },
        "crowded": (
            *small,
            "limit=12",
            "batch_size=8",
            "early_stopping=off",
            "benchmarks.arithmetic.max_tokens=12",
            "model.max_length=512",
            f"engine.kv_cache_memory_bytes={4 << 20}",  # five blocks of 128 tokens
        ),
        "context": (*few, f"engine.kv_cache_memory_bytes={16 << 20}", "model.max_length=8192"),
        "first": (*small, *cached, "limit=4"),
        "one_more": (*quick, f"model.path={same}", *cached, "limit=5"),
        "other": (*quick, f"model.path={changed}", *cached, "limit=4"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMBENCH_CACHE", str(folder / "cache"))
        (folder / "cache").mkdir()
        (folder / "cache" / "models").symlink_to(smollm2.parent)
        return run_all(folder, runs)


def test_the_default_settings_score_a_real_model(runs: SeveralRuns) -> None:
    assert "INFO" not in runs.output("default")  # vLLM's own lines are in the log
    run = load_run(runs.path("default"))
    assert "vllm" in (run.folder / "llmbench.log").read_text()
    arithmetic = run.summary["benchmarks"]["arithmetic"]
    assert arithmetic["n"] == len(run.results) == 5
    assert 0 < arithmetic["accuracy"] < 1
    low, high = arithmetic["ci95"]
    assert low < arithmetic["accuracy"] < high
    for name in ("latency_s", "queue_s", "ttft_s", "decode_s", "inter_token_s"):
        assert 0 <= arithmetic[name]["p50"] <= arithmetic[name]["p95"] <= arithmetic[name]["p99"]
    assert arithmetic["latency_s"]["mean"] == pytest.approx(
        arithmetic["ttft_s"]["mean"] + arithmetic["decode_s"]["mean"], rel=0.5
    )
    assert all(value > 0 for value in arithmetic["throughput"].values())
    times = run.summary["time_s"]
    assert times["total"] >= times["import"] + times["data"] + times["load"] + times["generate"]
    engine = run.summary["engine"]
    assert (engine["name"], engine["device"], engine["dtype"]) == ("vllm", "cpu", "bfloat16")
    assert engine["attention_backend"] == "CPU_ATTN"
    assert engine["loads"] == 1
    parts = times["load_parts"]
    assert {"config", "device", "weights", "profile", "kv_cache", "warm_up", "other"} <= set(parts)
    spent = sum(seconds for seconds in parts.values() if seconds is not None)
    assert spent == pytest.approx(times["load"], abs=0.5)
    assert times["load"] < times["first_token"] < times["total"]
    assert engine["kv_cache_tokens"] > 4096
    assert run.summary["memory"]["peak_rss_bytes"] > 200 << 20


def test_an_end_of_text_differs_from_the_token_limit(runs: SeveralRuns) -> None:
    answers = [result.completions[0] for result in load_run(runs.path("default")).results]
    assert {answer.finish_reason for answer in answers} >= {FinishReason.STOP, FinishReason.LENGTH}
    for answer in answers:
        assert (answer.finish_reason is FinishReason.LENGTH) == (answer.output_tokens == 64)


def test_special_tokens_that_end_thinking_are_in_the_texts(runs: SeveralRuns) -> None:
    texts = [result.text for result in load_run(runs.path("thinking")).results]
    assert any("</think>" in text for text in texts)
    assert not any("<|im_end|>" in text for text in texts)


def test_a_program_needs_no_terminal(runs: SeveralRuns) -> None:
    assert load_run(runs.path("program")).summary["benchmarks"]["arithmetic"]["n"] == 2


def test_several_benchmarks_share_one_engine(runs: SeveralRuns) -> None:
    run = load_run(runs.path("benchmarks"))
    assert {name: b["n"] for name, b in run.summary["benchmarks"].items()} == {"arithmetic": 3, "gpqa": 3}
    assert run.summary["engine"]["loads"] == 1
    elicited = [result for result in run.results if result.elicited]
    assert elicited
    # the prefix was not computed twice
    assert any(result.completions[1].cached_tokens > 0 for result in elicited)


def test_a_think_block_is_closed_once_at_the_budget_and_the_answer_follows(runs: SeveralRuns) -> None:
    run = load_run(runs.path("budget"))
    assert len(run.results) == 8
    for result in run.results:
        thought = result.thinking
        assert thought is not None
        assert thought.tokens + thought.answer_tokens == sum(c.output_tokens for c in result.completions)
        if not thought.ended:  # the model closed the block itself
            continue
        first, second = result.completions
        assert (thought.tokens, thought.answer_tokens) == (first.output_tokens, second.output_tokens)
        assert (first.output_tokens, first.finish_reason) == (24, FinishReason.LENGTH)
        assert 0 < second.output_tokens <= 32
        assert result.text == f"<think>{first.text}\n</think>\n\n{second.text}"
        assert not result.elicited
    ended = [bool(result.thinking and result.thinking.ended) for result in run.results]
    assert any(ended)
    use = run.summary.benchmarks["arithmetic"].thinking
    assert use is not None
    assert use.ended == pytest.approx(sum(ended) / len(ended))
    assert use.tokens_mean <= 24


def test_four_bit_weights_run_on_the_cpu_too(runs: SeveralRuns) -> None:
    summary = load_run(runs.path("at_load")).summary
    assert summary["engine"]["quantization"] == "bitsandbytes"
    assert summary["benchmarks"]["arithmetic"]["n"] == 4


def test_a_copy_is_kept_once_a_start_from_it_holds_the_same_bits(runs: SeveralRuns) -> None:
    assert "loaded from now on" in runs.output("check_copy")


def test_greedy_answers_from_a_copy_are_those_of_weights_quantised_at_load(runs: SeveralRuns) -> None:
    at_load, from_copy, no_copy = (
        [(r.sample_id, r.text) for r in load_run(runs.path(name)).results]
        for name in ("at_load", "from_copy", "no_copy")
    )
    assert len(at_load) == 4
    assert from_copy == at_load == no_copy


def test_a_run_says_that_it_loaded_a_copy_and_which_checkpoint_was_evaluated(runs: SeveralRuns) -> None:
    before, after, off = (load_run(runs.path(name)) for name in ("at_load", "from_copy", "no_copy"))
    digest = after.summary["engine"]["weights_copy"]
    assert len(digest) == 64
    assert before.summary["engine"]["weights_copy"] is off.summary["engine"]["weights_copy"] is None
    assert after.manifest["checkpoint"] == before.manifest["checkpoint"] | {"weights_copy": digest}
    assert after.summary["engine"]["quantization"] == before.summary["engine"]["quantization"]
    assert after.summary["engine"]["kv_cache_tokens"] == before.summary["engine"]["kv_cache_tokens"]


def test_the_response_cache_has_the_same_answers_for_a_copy_and_its_checkpoint(runs: SeveralRuns) -> None:
    assert all(c.from_cache for r in load_run(runs.path("cached_copy")).results for c in r.completions)


def test_a_sweep_loads_each_engine_once_and_answers_alike(runs: SeveralRuns) -> None:
    sweep = runs.path("sweep")
    found = json.loads((sweep / "summary.json").read_text())
    assert (found["loads"], found["groups"]) == (1, [[0, 1, 2]])
    engines = [job["summary"]["engine"] for job in found["jobs"]]
    assert [engine["batch_size"] for engine in engines] == [1, 4, 1]
    assert [engine["loads"] for engine in engines] == [1, 0, 0]
    assert [engine["prefix_cache_hit_rate"] for engine in engines] == [0.0, 0.0, 0.0]  # emptied between
    texts = [{r.sample_id: r.text for r in load_run(sweep / str(n)).results} for n in (0, 2)]
    assert texts[0] == texts[1]


def test_the_guides_method_gives_the_same_greedy_answers(runs: SeveralRuns) -> None:
    """Both engines in float32, where rounding decides no token of a short answer; padded batches against none."""
    vllm, transformers = (load_run(runs.path("engines", number)) for number in ("0", "1"))
    assert [run.summary["engine"]["name"] for run in (vllm, transformers)] == ["vllm", "transformers"]
    lengths = {r.completions[0].prompt_tokens for r in transformers.results}
    assert len(lengths) > 1  # so batches are padded
    texts = [{r.sample_id: r.text for r in run.results} for run in (vllm, transformers)]
    assert len(texts[0]) == 5
    assert texts[0] == texts[1]


def test_an_adapter_of_zeros_answers_as_the_base_model_and_another_does_not(runs: SeveralRuns) -> None:
    base, plain, changing = (load_run(runs.path("adapters", number)) for number in ("0", "1", "2"))
    name = base.summary["model"]
    names = [run.summary["model"] for run in (plain, changing)]
    assert names == [f"{name} + plain", f"{name} + changing"]
    texts = [{r.sample_id: r.text for r in run.results} for run in (base, plain, changing)]
    assert len(texts[0]) == 4
    assert texts[0] == texts[1] != texts[2]
    assert json.loads((runs.path("adapters") / "summary.json").read_text())["loads"] == 3
    assert {(run.manifest["lora"] or {}).get("name") for run in (base, plain, changing)} == {
        None,
        "plain",
        "changing",
    }


def test_a_larger_batch_loads_the_engine_again_in_this_process(runs: SeveralRuns) -> None:
    sweep = runs.path("larger")
    found = json.loads((sweep / "summary.json").read_text())
    assert found["loads"] == 2
    assert [job["summary"]["engine"]["batch_size"] for job in found["jobs"]] == [1, 3]
    assert "EngineCore pid" not in (sweep / "1" / "llmbench.log").read_text()


def test_drafting_changes_no_greedy_answer_and_begins_when_few_requests_are_left(runs: SeveralRuns) -> None:
    found = {name: load_run(runs.path(name)) for name in DRAFTING}
    texts = [[(r.sample_id, r.text) for r in run.results] for run in found.values()]
    assert sorted(texts[0]) == sorted(texts[1]) == sorted(texts[2])
    engines = [run.summary["engine"]["speculation"] for run in found.values()]
    never, last, always = engines
    assert never is None
    assert 0 < last["drafted_steps"] < always["drafted_steps"] <= always["steps"] < last["steps"]
    assert 0 < last["draft_tokens"] < always["draft_tokens"]
    assert always["accepted_tokens"] > 0


def test_requests_that_wait_for_the_kv_cache_have_queued(runs: SeveralRuns) -> None:
    summary = load_run(runs.path("crowded")).summary
    arithmetic = summary["benchmarks"]["arithmetic"]
    assert arithmetic["queue_s"]["p95"] > 0.1 * arithmetic["latency_s"]["p50"]
    assert summary["time_s"]["requests"]["queue"] == pytest.approx(12 * arithmetic["queue_s"]["mean"])


def test_a_context_that_does_not_fit_is_made_shorter_where_nobody_needs_it(runs: SeveralRuns) -> None:
    run = load_run(runs.path("context"))
    (step,) = run.manifest["recovery"]
    assert (step["cause"], step["setting"], step["before"]) == ("context", "model.max_length", 8192)
    assert step["after"] <= run.summary["engine"]["kv_cache_tokens"] < 8192
    assert step["after"] % 16 == 0
    assert not step["fresh"]


def test_the_response_cache_gives_back_what_the_same_files_answered(runs: SeveralRuns) -> None:
    found = {name: load_run(runs.path(name)) for name in ("first", "one_more", "other")}
    first, more, other = (run.summary["benchmarks"]["arithmetic"] for run in found.values())
    assert first["cache"]["hits"] == other["cache"]["hits"] == 0
    assert first["cache"]["completions"] >= 4
    assert more["cache"]["hits"] == first["cache"]["completions"] < more["cache"]["completions"]
    texts = [{r.sample_id: (r.text, r.score) for r in found[name].results} for name in ("first", "one_more")]
    assert texts[0].items() <= texts[1].items()
    assert any(r.elicited for r in found["one_more"].results)


def test_the_engine_keeps_its_protocol(runs: SeveralRuns) -> None:
    """One load, many questions: see engine_protocol.py."""
    said = runs.output("check_protocol")
    found = json.loads(said.splitlines()[-1])
    assert found["passed"] == found["checks"] > 6, said


def test_each_function_of_the_internals_works_with_a_loaded_engine(runs: SeveralRuns) -> None:
    """All that needs one, with one engine: see loaded_internals.py. The others are in test_vllm_internals.py."""
    said = runs.output("check_internals")
    wrong = {name: why for name, why in json.loads(said.splitlines()[-1]).items() if why}
    assert not wrong, f"change in llmbench.engine.vllm.internals: {', '.join(wrong)}\n{wrong}"
