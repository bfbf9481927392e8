import io
import json
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from llmbench.benchmarks.arithmetic import Arithmetic
from llmbench.engine.fake import FakeEngine
from llmbench.engine.fake.tokenizer import Thoughts
from llmbench.errors import DataError, EngineError, Interrupted, RunError
from llmbench.records import Completion, FinishReason, Outcome, Request, Result
from llmbench.results.reader import load_run, read_journal
from llmbench.results.run_folder import RunFolder
from llmbench.results.summary import Summary
from llmbench.run import pipeline
from llmbench.run.options import Beginning, RunOptions
from llmbench.run.regrade import regrade_run
from llmbench.run.request_plan import RequestPlan
from llmbench.system.console import Terminal
from llmbench.system.signals import Stop
from tests.helpers import held_back
from tests.helpers.engines import FakeEngines
from tests.helpers.paths import DATA
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

MCQ = DATA / "mcq_sample.jsonl"
ARITHMETIC = ("benchmark=arithmetic", "limit=12", "report=false")


def run(folder: Path, engines: FakeEngines, *overrides: str, stop: Stop | None = None) -> Summary:
    config = compose(overrides or ARITHMETIC)
    with engines.pool() as pool:
        return pipeline.run(config, folder, RunOptions(overrides=overrides, stop=stop, pool=pool))


def says(text: str) -> FakeEngines:
    return FakeEngines(lambda _: text)


def results(folder: Path) -> list[Result]:
    return list(read_journal(folder))


def golds(*overrides: str) -> dict[str, str]:
    """The right answer of each question."""
    plan = RequestPlan.read(compose(overrides))
    return {
        f"{name}/{sample.id}": sample.target for name, part in plan.samples.items() for sample in part.chosen
    }


def boxed(request: Request, gold: str) -> str:
    return f"Answer: {gold}" if request.benchmark == "gpqa" else f"So it is \\boxed{{{gold}}}"


def every_benchmark(shared: Path) -> tuple[str, ...]:
    return (
        "benchmark=[aime,aime25,math,math_full,gpqa,gsm8k,arithmetic]",
        f"benchmarks.aime.data_files={shared / 'aime24.jsonl'}",
        f"benchmarks.aime25.data_files={shared / 'aime25.jsonl'}",
        f"benchmarks.math.data_files={shared / 'math500.jsonl'}",
        f"benchmarks.math_full.data_files={shared / 'math_hendrycks_sample.jsonl'}",
        f"benchmarks.gsm8k.data_files={shared / 'gsm8k_test_sample.jsonl'}",
        f"benchmarks.gpqa.data_files={MCQ}",
        "profile=published",
        "model.max_length=100000",
        "report=false",
    )


def test_gold_answers_score_everything_and_wrong_ones_nothing(shared_data: Path, tmp_path: Path) -> None:
    overrides = every_benchmark(shared_data)
    right = golds(*overrides)
    assert len(right) == 30 + 30 + 500 + 42 + 20 + 200 + 200

    def gold(request: Request) -> str:
        return boxed(request, right[f"{request.benchmark}/{request.sample_id}"])

    found = run(tmp_path / "gold", FakeEngines(gold), *overrides)
    assert {name: b.accuracy for name, b in found.benchmarks.items()} == dict.fromkeys(found.benchmarks, 1.0)

    def wrong(request: Request) -> str:
        letter = (
            "ABCD"[("ABCD".index(right[f"gpqa/{request.sample_id}"]) + 1) % 4]
            if request.benchmark == "gpqa"
            else ""
        )
        return boxed(request, letter or "987654321")

    found = run(tmp_path / "wrong", FakeEngines(wrong), *overrides, "limit=60")
    assert {name: b.accuracy for name, b in found.benchmarks.items()} == dict.fromkeys(found.benchmarks, 0.0)
    assert {r.score.outcome for r in results(tmp_path / "wrong")} == {Outcome.WRONG}


def test_a_run_leaves_its_folder_complete(tmp_path: Path) -> None:
    found = run(tmp_path / "run", says("The final answer is 7."))
    back = load_run(tmp_path / "run")
    assert back.summary["status"] == back.manifest["status"] == found.status == "finished"
    assert len(back.results) == back.summary["benchmarks"]["arithmetic"]["n"] == 12
    assert back.manifest["samples"]["arithmetic"] == sorted(
        (r.sample_id for r in back.results), key=lambda i: int(i.rpartition("-")[2])
    )
    assert back.manifest["data"]["arithmetic"]["source"] == "generated"
    assert back.manifest["versions"]["datasets"]
    assert back.summary["time_s"]["total"] > 0


SUMMARY_NAMES = {
    "status", "model", "profile", "comparable", "time_s", "engine", "memory", "gpu", "benchmarks",
}  # fmt: skip
BENCHMARK_NAMES = {
    "n", "accuracy", "stderr", "ci95", "bounds", "rates", "latency_s", "queue_s", "ttft_s", "decode_s",
    "inter_token_s", "tokens", "time_s", "throughput",
}  # fmt: skip


def test_summary_json_has_the_promised_names(tmp_path: Path) -> None:
    run(tmp_path / "run", says("7"))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary.keys() >= SUMMARY_NAMES
    assert summary["time_s"].keys() >= {
        "total",
        "import",
        "data",
        "load",
        "load_parts",
        "generate",
        "grade_tail",
    }
    assert summary["engine"].keys() >= {
        "name", "version", "quantization", "dtype", "attention_backend", "startup", "batch_size",
        "weights_bytes", "kv_cache_tokens", "preemptions", "prefix_cache_hit_rate", "loads",
    }  # fmt: skip
    assert summary["memory"].keys() == {"peak_gpu_bytes", "peak_rss_bytes"}
    assert summary["gpu"].keys() == {"utilization_mean", "energy_j"}
    benchmark = summary["benchmarks"]["arithmetic"]
    assert benchmark.keys() >= BENCHMARK_NAMES
    assert benchmark["rates"].keys() >= {"truncated", "stopped", "elicited", "no_answer", "error"}
    assert benchmark["latency_s"].keys() == {"mean", "p50", "p95", "p99"}
    assert benchmark["throughput"].keys() == {"samples_per_s", "output_tokens_per_s", "total_tokens_per_s"}
    assert summary["engine"]["weights_bytes"] is None  # not measured, so not zero


def test_batch_size_bounds_what_runs_at_once(tmp_path: Path) -> None:
    engines = says("one two three four 5")
    run(tmp_path / "run", engines, *ARITHMETIC, "batch_size=5")
    assert engines.opened is not None
    assert engines.opened.peak_running == 5


def test_no_answer_truncated_and_wrong_are_distinguished(tmp_path: Path) -> None:
    texts = {0: "I cannot say", 1: "word " * 90, 2: "The answer is 1234567"}
    engines = FakeEngines(lambda request: texts[int(request.sample_id[-1]) % 3])
    run(tmp_path / "run", engines, *ARITHMETIC, "early_stopping=off")
    outcomes = {int(r.sample_id[-1]) % 3: r.score.outcome for r in results(tmp_path / "run")}
    assert outcomes == {0: Outcome.NO_ANSWER, 1: Outcome.TRUNCATED, 2: Outcome.WRONG}


def eliciting(request: Request) -> str:
    return " 1234567." if request.id.endswith("+") else "Let me see. Therefore it is 7654321."


def test_a_stopped_text_is_asked_for_its_answer(tmp_path: Path) -> None:
    found = run(tmp_path / "run", FakeEngines(eliciting))
    for result in results(tmp_path / "run"):
        first, second = result.completions
        assert (first.finish_reason, first.stop_string) == (FinishReason.STOP_STRING, "Therefore")
        assert second.finish_reason is FinishReason.STOP
        assert result.elicited
        assert "Therefore" in result.text  # the stop string stays in what the model is given
        assert result.score.answer == "1234567"
        assert second.prompt_tokens > first.prompt_tokens + first.output_tokens
    rates = found.benchmarks["arithmetic"].rates
    assert rates is not None
    assert (rates.stopped, rates.elicited, rates.no_answer) == (1.0, 1.0, 0.0)


def test_nothing_that_a_model_wrote_is_computed_with_in_the_main_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise AssertionError("a text was looked at outside of a worker")

    monkeypatch.setattr(Arithmetic, "extract", refuse)  # workers are spawned and have the real one
    monkeypatch.setattr(Arithmetic, "is_equal", refuse)
    huge = FakeEngines(lambda r: "\\boxed{1e999999999}" if r.repeat else eliciting(r))
    repeated = (
        "benchmark=arithmetic",
        "limit=2",
        "report=false",
        "sampling.repeats=3",
        "sampling.temperature=1",
    )
    found = run(tmp_path / "run", huge, *repeated)
    assert found.status == "finished"
    assert {r.elicited for r in results(tmp_path / "run")} == {True, False}
    assert regrade_run(tmp_path / "run", workers=1).changes == ()


@pytest.mark.parametrize("cache", ["on", "off"])
def test_a_lone_surrogate_costs_no_run(tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    odd = ("benchmark=arithmetic", "limit=3", "report=false", f"cache={cache}")
    found = run(tmp_path / "run", says("\ud800 It is \\boxed{3}"), *odd)
    assert (found.status, found.notes) == ("finished", [])
    assert {r.text for r in results(tmp_path / "run")} == {"\ufffd It is \\boxed{3}"}


def test_cut_grades_what_stands_before_the_stop_string_and_off_everything(tmp_path: Path) -> None:
    run(tmp_path / "cut", FakeEngines(eliciting), *ARITHMETIC, "early_stopping=cut")
    assert {r.text for r in results(tmp_path / "cut")} == {"Let me see. "}
    assert {r.score.outcome for r in results(tmp_path / "cut")} == {Outcome.NO_ANSWER}
    run(tmp_path / "off", FakeEngines(eliciting), *ARITHMETIC, "early_stopping=off")
    assert {r.score.answer for r in results(tmp_path / "off")} == {"7654321"}
    assert not any(r.elicited for r in results(tmp_path / "off"))


def test_an_answer_that_is_there_is_not_asked_for_again(tmp_path: Path) -> None:
    run(tmp_path / "run", says("\\boxed{3}. Therefore more"))
    assert not any(r.elicited for r in results(tmp_path / "run"))
    assert {r.score.answer for r in results(tmp_path / "run")} == {"3"}


def test_a_text_cut_by_the_limit_is_asked_too(tmp_path: Path) -> None:
    engines = FakeEngines(lambda r: " 12." if r.id.endswith("+") else "so " * 100)
    run(tmp_path / "run", engines)
    for result in results(tmp_path / "run"):
        assert [c.finish_reason for c in result.completions] == [FinishReason.LENGTH, FinishReason.STOP]
        assert result.score.answer == "12"


def test_refused_requests_are_errors_and_the_rest_continues(tmp_path: Path) -> None:
    ids = [f"arithmetic/{r}/0" for r in golds(*ARITHMETIC)]
    refused = frozenset(i.replace("arithmetic/arithmetic/", "arithmetic/") for i in ids[:3])
    engines = FakeEngines(lambda _: "7", refuse=refused)
    found = run(tmp_path / "run", engines, *ARITHMETIC)
    counts = Counter(r.score.outcome for r in results(tmp_path / "run"))
    assert counts[Outcome.ERROR] == 3
    assert sum(counts.values()) == 12
    assert any("error" in warning for warning in found.warnings)


def test_what_was_journalled_before_the_engine_broke_is_kept(tmp_path: Path) -> None:
    engines = FakeEngines(lambda _: "7", break_after=4)
    with pytest.raises(EngineError):
        run(tmp_path / "run", engines, *ARITHMETIC, "batch_size=2")
    back = load_run(tmp_path / "run")
    assert back.summary["status"] == "failed"
    assert "broke" in back.summary["error"]
    assert len(back.results) == 4
    assert back.summary["benchmarks"]["arithmetic"]["n"] == 4
    assert back.summary["benchmarks"]["arithmetic"]["expected"] == 12


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    stop = Stop()
    asked = []

    def reply(request: Request) -> str:
        asked.append(request)
        if len(asked) == 7:
            stop.signal_number = 2
        return "7"

    with pytest.raises(Interrupted):
        run(tmp_path / "run", FakeEngines(reply), *ARITHMETIC, "batch_size=2", stop=stop)
    back = load_run(tmp_path / "run")
    assert back.summary["status"] == "interrupted"
    assert 4 <= len(back.results) < 12


def test_an_interrupted_run_gives_up_grading_that_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, stop, err = tmp_path / "held", Stop(), io.StringIO()
    monkeypatch.setenv(held_back.FILE, str(file))
    monkeypatch.setattr("llmbench.run.loop.GATHER_S", 0.2)
    file.touch()

    def interrupt() -> None:
        while not list(tmp_path.glob("*.waits")):
            time.sleep(0.02)
        stop.signal_number = signal.SIGTERM

    config = compose([*ARITHMETIC, f"benchmarks.arithmetic.module={held_back.__name__}"])
    ending = threading.Thread(target=interrupt)
    with says("7").pool() as pool:
        ending.start()
        with pytest.raises(Interrupted):
            pipeline.run(
                config, tmp_path / "run", RunOptions(terminal=Terminal(err, err), stop=stop, pool=pool)
            )
        ending.join()
        assert not any(psutil.pid_exists(int(path.stem)) for path in tmp_path.glob("*.waits"))
        back = load_run(tmp_path / "run")
        assert (back.summary["status"], back.results) == ("interrupted", [])
        assert "12 answers could not be graded within" in err.getvalue()
        file.unlink()
        found = pipeline.run(config, tmp_path / "run", RunOptions(pool=pool, beginning=Beginning.RESUMED))
    assert (found.status, found.benchmarks["arithmetic"].n) == ("finished", 12)


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", says("7"))
    before = (tmp_path / "run" / "samples.jsonl").read_bytes()
    with pytest.raises(RunError, match="holds a run already"):
        run(tmp_path / "run", says("8"))
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == before


def test_repeats_count_as_one_question_each(tmp_path: Path) -> None:
    right = golds(*ARITHMETIC)
    engines = FakeEngines(lambda r: right[f"{r.benchmark}/{r.sample_id}"] if r.repeat < 2 else "-1")
    found = run(tmp_path / "run", engines, *ARITHMETIC, "sampling.repeats=4", "sampling.temperature=1")
    benchmark = found.benchmarks["arithmetic"]
    assert (benchmark.n, benchmark.samples, benchmark.repeats) == (48, 12, 4)
    assert benchmark.accuracy == 0.5
    assert benchmark.stderr == 0.0  # every question scores one half
    repeated = benchmark.repeated
    assert repeated is not None
    assert repeated.avg is not None
    assert repeated.pass_at is not None
    assert repeated.maj is not None
    assert (repeated.avg.value, repeated.maj.value) == (
        0.5,
        0.5,
    )  # a tie of two right and two wrong counts half
    assert [round(e.value, 6) for e in repeated.pass_at] == [0.5, round(1 - 1 / 6, 6), 1.0, 1.0]


def test_a_result_is_recorded_once_whatever_interrupts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, count = RunFolder.append, 0

    def interrupted(self: RunFolder, result: Result) -> None:
        nonlocal count
        append(self, result)
        count += 1
        if count == 5:
            raise Interrupted(2)

    monkeypatch.setattr(RunFolder, "append", interrupted)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", says("7"))
    ids = [r.sample_id for r in results(tmp_path / "run")]
    assert len(ids) == len(set(ids))


def test_only_the_published_protocol_is_comparable(shared_data: Path, tmp_path: Path) -> None:
    protocol = (
        "benchmark=aime",
        f"benchmarks.aime.data_files={shared_data / 'aime24.jsonl'}",
        "profile=published",
        "model=qwen14b",
        "report=false",
    )
    found = run(tmp_path / "whole", says("\\boxed{7}"), *protocol)
    a_file = "aime's questions out of a file, which may be others than the published ones"
    assert (found.comparable, found.not_comparable) == (False, [a_file])
    changes = {
        "limit=5": "5 of aime's 30 questions",
        "benchmarks.aime.max_tokens=5": "max_tokens=5",
        "fewshot=2": "worked examples out of aime's evaluated questions",
        "chat=false": "chat=false",
        "sampling.temperature=2": "sampling.temperature=2.0",
        "early_stopping=cut": "early_stopping=cut",
        "engine=fake": "engine=fake",
        "sampling.presence_penalty=1": "sampling.presence_penalty=1.0",
        "model.quantization=bitsandbytes": "model.quantization=bitsandbytes",
        "model=qwen14b_awq": "model.quantization=awq_marlin",
        "model.dtype=float16": "model.dtype=float16",
        "system_prompt=Think.": "benchmarks.aime.system_prompt=Think.",
    }
    for number, (change, reason) in enumerate(changes.items()):
        found = run(tmp_path / str(number), says("\\boxed{7}"), *protocol, change)
        assert not found.comparable
        assert any(reason in said for said in found.not_comparable), (change, found.not_comparable)


def test_a_continuations_prompt_is_counted_once(tmp_path: Path) -> None:
    found = run(tmp_path / "run", FakeEngines(eliciting))
    prompts = sum(r.completions[0].prompt_tokens for r in results(tmp_path / "run"))
    outputs = sum(c.output_tokens for r in results(tmp_path / "run") for c in r.completions)
    cue = 4  # "\nThe final answer is" in the fake tokenizer's words
    tokens = found.benchmarks["arithmetic"].tokens
    assert (tokens.prompt, tokens.output) == (prompts + 12 * cue, outputs)


def test_bounds_hold_the_accuracy_also_with_repeats(tmp_path: Path) -> None:
    right = golds(*ARITHMETIC)
    engines = FakeEngines(
        lambda r: right[f"{r.benchmark}/{r.sample_id}"] if r.repeat == 0 else "none", break_after=30
    )
    with pytest.raises(EngineError):
        run(
            tmp_path / "run",
            engines,
            *ARITHMETIC,
            "sampling.repeats=4",
            "sampling.temperature=1",
            "batch_size=3",
        )
    benchmark = load_run(tmp_path / "run").summary["benchmarks"]["arithmetic"]
    assert benchmark["bounds"][0] <= benchmark["accuracy"] <= benchmark["bounds"][1]


def test_sealed_questions_never_stand_in_plain_text(tmp_path: Path) -> None:
    overrides = ("benchmark=gpqa", f"benchmarks.gpqa.data_files={MCQ}")
    rows = [json.loads(line) for line in MCQ.read_text().splitlines()]
    engines = FakeEngines(lambda r: f"{r.sample_id} asks: {rows[0]['Question']} Answer: A")
    run(tmp_path / "run", engines, *overrides)
    written = b"".join(path.read_bytes() for path in (tmp_path / "run").iterdir())
    for row in rows:
        assert row["Question"][:40].encode() not in written
        assert row["Correct Answer"].strip().encode() not in written or len(row["Correct Answer"]) < 6
    assert len(results(tmp_path / "run")) == 15
    assert all(r.prompt and r.fields["choices"] for r in results(tmp_path / "run"))


def test_one_queue_mixes_benchmarks_and_sequential_does_not(tmp_path: Path) -> None:
    overrides = (
        "benchmark=[arithmetic,gpqa]",
        f"benchmarks.gpqa.data_files={MCQ}",
        "limit=6",
        "batch_size=4",
        "report=false",
    )
    run(tmp_path / "one", says("a b c \\boxed{7} Answer: B"), *overrides)
    run(tmp_path / "two", says("a b c \\boxed{7} Answer: B"), *overrides, "schedule=sequential")
    order = [r.benchmark for r in results(tmp_path / "two")]
    assert order == sorted(order)
    spans: dict[str, list[tuple[float, float]]] = {}
    for result in results(tmp_path / "two"):
        timing = result.completions[0].timing
        assert timing is not None
        spans.setdefault(result.benchmark, []).append((timing.queued, timing.finished))
    assert max(end for _, end in spans["arithmetic"]) <= min(start for start, _ in spans["gpqa"])


def test_thinking_that_was_cut_off_is_closed_before_the_answer_is_asked_for(tmp_path: Path) -> None:
    engines = FakeEngines(
        lambda r: " 12." if r.id.endswith("+") else "<think> perhaps \\boxed{99} " + "so " * 100
    )
    run(tmp_path / "run", engines)
    for result in results(tmp_path / "run"):
        assert result.elicited  # a box inside unfinished thinking is not an answer
        assert "\n</think>\n" in result.text
        assert result.score.answer == "12"


def test_details_that_cannot_be_made_cost_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arithmetic, "details", lambda *_: dict[str, int]()["q"])
    found = run(tmp_path / "run", says("7"))
    assert (found.status, found.benchmarks["arithmetic"].details) == ("finished", None)
    assert sum("arithmetic: its details are left out" in warning for warning in found.warnings) == 1


@pytest.mark.parametrize("given", [None, ({}, None), (["a"], [])])
def test_a_last_step_that_fails_is_named_and_the_folder_has_the_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: object
) -> None:
    monkeypatch.setattr(Arithmetic, "finish", lambda *_: given)
    with pytest.raises(RunError, match="arithmetic: its last step, `finish`, failed"):
        run(tmp_path / "run", says("7"))
    back = load_run(tmp_path / "run")
    assert back.summary.status == "failed"
    assert back.summary.benchmarks["arithmetic"].n == len(back.results) > 0


def test_a_question_that_is_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arithmetic, "question", lambda *_: None)
    with pytest.raises(DataError, match="the question is a NoneType, not text"):
        run(tmp_path / "run", says("7"))


def test_an_answer_that_could_not_be_asked_for_behind_a_thinking_budget_is_not_elicited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a server leaves a text that fills its context: the third part of each answer is given back empty."""
    step, parts = FakeEngine.step, Counter[str]()

    def full(engine: FakeEngine) -> list[Completion]:
        made = step(engine)
        parts.update(each.request_id for each in made)
        empty = Completion("", "", (), 0, 0, 0, FinishReason.ABORT)
        return [replace(empty, request_id=i) if parts[i := each.request_id] > 1 else each for each in made]

    monkeypatch.setattr(FakeEngine, "step", full)
    budget = ["sampling.thinking_budget=8", "sampling.answer_tokens=4", "benchmarks.arithmetic.max_tokens=16"]
    thinks = "engine.args={thinks: {words: 30}}"
    engines = FakeEngines(lambda _: "no idea " * 20, thinks=Thoughts(30))
    run(tmp_path / "run", engines, "engine=fake", *ARITHMETIC, thinks, *budget)
    for result in results(tmp_path / "run"):
        assert (len(result.completions), result.elicited) == (2, False)
        assert result.text.endswith("</think>\n\nno idea no idea")
