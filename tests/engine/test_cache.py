"""Runs with the response cache, on the fake engine."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from llmbench.cache import main
from llmbench.engine.cache import store
from llmbench.engine.cache.store import Answers
from llmbench.engine.fake import FakeEngine
from llmbench.engine.workload import Took
from llmbench.errors import ConfigError, EngineError, Interrupted
from llmbench.records import Outcome, Request, Result
from llmbench.report.compare.comparison import compare_runs
from llmbench.report.run_list import list_runs
from llmbench.report.terminal_table import print_table
from llmbench.report.write import write_many
from llmbench.results.reader import load_run, read_journal
from llmbench.results.rows import rows
from llmbench.results.summary import Summary
from llmbench.run import pipeline
from llmbench.run.options import RunOptions
from llmbench.system.console import Terminal
from llmbench.system.signals import Stop
from tests.helpers.engines import FakeEngines
from tests.helpers.engines import TwoSteps as Model
from tests.helpers.paths import DATA
from tests.helpers.runs import PAGE
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

MCQ = DATA / "mcq_sample.jsonl"
UNCACHED = ("benchmark=arithmetic", "limit=12", "report=false")
TWELVE = (*UNCACHED, "cache=on")


pytestmark = pytest.mark.usefixtures("cache_folder")
ENGINES = FakeEngines(Model())
POOL = ENGINES.pool()
"""One for all, so that the graders start once."""


@pytest.fixture(scope="module", autouse=True)
def pool() -> Iterator[None]:
    with POOL:
        yield


def run(
    into: Path,
    model: Model,
    *overrides: str,
    stop: Stop | None = None,
    terminal: Terminal | None = None,
    **options: object,
) -> Summary:
    POOL.close_engine()
    ENGINES.reply, ENGINES.options = model, options
    config = compose(overrides or TWELVE)
    found = pipeline.run(
        config,
        into,
        RunOptions(overrides=overrides, stop=stop, terminal=terminal, pool=POOL, publish=PAGE),
    )
    PAGE(into)
    return found


def essence(result: Result) -> tuple[object, ...]:
    completions = [
        (c.text, c.output_tokens, c.prompt_tokens, c.finish_reason, c.stop_string) for c in result.completions
    ]
    return result.benchmark, result.sample_id, result.repeat, result.text, result.score, completions


def essences(into: Path) -> set[str]:
    return {repr(essence(result)) for result in read_journal(into)}


def test_the_second_run_asks_nothing_and_scores_the_same(tmp_path: Path) -> None:
    first, second = Model(), Model()
    before, after = run(tmp_path / "1", first), run(tmp_path / "2", second)
    assert (len(first.asked), second.asked) == (24, [])
    assert essences(tmp_path / "1") == essences(tmp_path / "2")
    one, two = before.benchmarks["arithmetic"], after.benchmarks["arithmetic"]
    assert (one.accuracy, one.rates, one.tokens) == (two.accuracy, two.rates, two.tokens)
    assert one.cache is not None
    assert two.cache is not None
    assert (one.cache.hits, one.cache.completions, one.cache.output_tokens) == (0, 24, 0)
    assert (two.cache.hits, two.cache.completions, two.cache.output_tokens) == (24, 24, two.tokens.output)
    assert all(c.from_cache and c.timing is None for r in read_journal(tmp_path / "2") for c in r.completions)
    assert not any(c.from_cache for r in read_journal(tmp_path / "1") for c in r.completions)


def test_without_the_cache_nothing_is_looked_up_or_kept(tmp_path: Path, cache_folder: Path) -> None:
    found = run(tmp_path / "1", Model(), *UNCACHED)
    assert found.benchmarks["arithmetic"].cache is None
    assert not (cache_folder / "answers.sqlite").exists()
    run(tmp_path / "2", Model())
    again = Model()
    run(tmp_path / "3", again, *UNCACHED)
    assert len(again.asked) == 24


def test_what_came_from_the_cache_is_in_no_figure(tmp_path: Path) -> None:
    run(tmp_path / "1", Model(), *TWELVE, "limit=5")
    model = Model()
    run(tmp_path / "2", model)
    run(tmp_path / "alone", Model(), *UNCACHED)
    kept = {r.sample_id for r in read_journal(tmp_path / "1")}
    found = load_run(tmp_path / "2").summary["benchmarks"]["arithmetic"]
    results = list(read_journal(tmp_path / "2"))
    generated = [r for r in results if not r.completions[0].from_cache]
    assert found["cache"]["hits"] == 24 - len(model.asked) > 0
    assert {r.sample_id for r in results if r.completions[0].from_cache} <= kept
    timings = [c.timing for r in generated for c in r.completions if c.timing is not None]
    assert found["latency_s"]["mean"] == pytest.approx(sum(t.e2e for t in timings) / len(generated))
    span = max(t.finished for t in timings) - min(t.queued for t in timings)
    output = sum(c.output_tokens for r in generated for c in r.completions)
    assert found["time_s"] == pytest.approx(span)
    assert found["throughput"]["samples_per_s"] == pytest.approx(len(generated) / span)
    assert found["throughput"]["output_tokens_per_s"] == pytest.approx(output / span)
    assert found["tokens"]["output"] == output + found["cache"]["output_tokens"]


def test_a_result_that_came_half_from_the_cache_is_in_no_latency(tmp_path: Path) -> None:
    run(tmp_path / "1", Model())
    model = Model()
    found = run(tmp_path / "2", model, *TWELVE, "benchmarks.arithmetic.cue_tokens=31")
    assert model.asked  # the continuations alone
    assert all(name.endswith("+") for name in model.asked)
    benchmark = found.benchmarks["arithmetic"]
    assert benchmark.latency_s.mean is None
    assert benchmark.throughput.samples_per_s is None
    assert benchmark.throughput.output_tokens_per_s is not None
    assert benchmark.cache is not None
    assert (benchmark.cache.hits, benchmark.cache.completions) == (12, 24)
    (row, *_) = rows(read_journal(tmp_path / "2"), frozenset())
    assert (row["from_cache"], row["e2e_s"], row["ttft_s"]) == (True, None, None)


def test_every_reader_of_a_run_without_times_copes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = (*TWELVE, "report=true")
    run(tmp_path / "1", Model(), *shown)
    out = io.StringIO()
    terminal = Terminal(out, io.StringIO())
    print_table(terminal, run(tmp_path / "2", Model(), *shown, terminal=terminal), "runs/x")
    assert "All 24 completions came from the response cache" in out.getvalue()
    first, second = list_runs(tmp_path / "1")[0], list_runs(tmp_path / "2")[0]
    assert first.tokens_per_s
    assert second.tokens_per_s is None
    assert "came from the response cache" in (tmp_path / "2" / "report.html").read_text()
    assert "came from the response cache" not in (tmp_path / "1" / "report.html").read_text()
    write_many([tmp_path / "1", tmp_path / "2"], tmp_path / "both.html")
    compared = compare_runs(tmp_path / "1", tmp_path / "2").runs[0]
    said = "not comparable: 24 of the run's 24 completions came from the response cache"
    assert any(said in note for note in compared.notes)
    assert any(said in note for note in compared.benchmarks[0].notes)
    assert not compare_runs(tmp_path / "1", tmp_path / "1").runs[0].notes
    assert capsys.readouterr().err == ""


def test_nothing_is_learnt_from_a_run_with_hits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[int] = []

    def learn(_: FakeEngine, took: Took) -> None:
        assert took.load_s >= 0
        assert took.generate_s >= 0
        learnt.append(len(took.outputs))

    monkeypatch.setattr(FakeEngine, "learn", learn)
    run(tmp_path / "1", Model())
    run(tmp_path / "2", Model())
    assert learnt == [12]


def test_a_changed_setting_is_asked_anew(tmp_path: Path) -> None:
    run(tmp_path / "plain", Model())
    for change in (
        "sampling.top_p=0.5", "sampling.temperature=0.5", "benchmarks.arithmetic.instruction=Think.", "model.dtype=float16",
        "model.max_length=4095", "engine.args={step_s: 0}",
    ):  # fmt: skip
        model = Model()
        found = run(tmp_path / change, model, *TWELVE, change)
        cache = found.benchmarks["arithmetic"].cache
        assert cache is not None
        assert (change, cache.hits, len(model.asked)) == (change, 0, 24)


def test_what_only_moves_requests_about_finds_the_same(tmp_path: Path) -> None:
    run(tmp_path / "plain", Model())
    for change in ("batch_size=3", "model.gpu_memory_utilization=0.5", "engine.startup=eager", "seed=0"):
        model = Model()
        run(tmp_path / change, model, *TWELVE, change)
        assert (change, model.asked) == (change, [])


def test_drawn_answers_are_kept_by_their_seeds(tmp_path: Path) -> None:
    drawn = (*TWELVE, "sampling.temperature=1", "sampling.repeats=3")
    run(tmp_path / "1", Model(), *drawn)
    same, other = Model(), Model()
    run(tmp_path / "2", same, *drawn)
    run(tmp_path / "3", other, *drawn, "sampling.seed=5")
    assert (same.asked, len(other.asked)) == ([], 72)
    assert essences(tmp_path / "1") == essences(tmp_path / "2")


def test_failures_are_not_kept(tmp_path: Path) -> None:
    ids = [f"{r.benchmark}/{r.sample_id}/0" for r in _learn(tmp_path)]
    run(tmp_path / "1", Model(), refuse=frozenset(ids[:4]))
    model = Model()
    found = run(tmp_path / "2", model)
    assert {name.removesuffix("+") for name in model.asked} == set(ids[:4])
    assert all(r.score.outcome is not Outcome.ERROR for r in read_journal(tmp_path / "2"))
    assert found.benchmarks["arithmetic"].cache is not None


def _learn(tmp_path: Path) -> Iterator[Result]:
    run(tmp_path / "learn", Model(), *UNCACHED)
    return read_journal(tmp_path / "learn")


@pytest.mark.parametrize("how", ["interrupted", "broken"])
def test_a_run_that_ended_half_way_leaves_what_it_was_answered(how: str, tmp_path: Path) -> None:
    stop = Stop()

    class Stopping(Model):
        def __call__(self, request: Request) -> str:
            if how == "interrupted" and len(self.asked) == 11:
                stop.signal_number = 2
            return super().__call__(request)

    with suppress(Interrupted, EngineError):
        run(
            tmp_path / "1",
            Stopping(),
            *TWELVE,
            "batch_size=2",
            stop=stop,
            break_after=11 if how == "broken" else None,
        )
    assert load_run(tmp_path / "1").summary["status"] in ("interrupted", "failed")
    model = Model()
    run(tmp_path / "2", model)
    hits = 24 - len(model.asked)
    assert 8 <= hits <= 12
    run(tmp_path / "alone", Model(), *UNCACHED)
    assert essences(tmp_path / "2") == essences(tmp_path / "alone")


def broken(folder: Path, how: str) -> None:
    file = folder / "answers.sqlite"
    if how == "garbage":
        file.write_bytes(b"no database at all" * 1000)
    elif how == "overwritten inside":
        content = file.read_bytes()
        file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    elif how == "another version's":
        with Answers(file) as kept:
            kept._db.execute("PRAGMA user_version = 99")
    elif how == "a folder":
        file.unlink()
        file.mkdir()
    else:
        file.unlink()
        folder.rmdir()
        folder.write_text("in the way")


@pytest.mark.parametrize(
    "how", ["garbage", "overwritten inside", "another version's", "a folder", "a file for its folder"]
)
def test_a_cache_that_cannot_be_used_costs_a_sentence(how: str, tmp_path: Path, cache_folder: Path) -> None:
    run(tmp_path / "1", Model())
    broken(cache_folder, how)
    model = Model()
    found = run(tmp_path / "2", model)
    assert found.status == "finished"
    assert len(model.asked) == 24
    (said,) = [sentence for sentence in found.preflight if "response cache" in sentence]
    assert said.endswith("The run goes on without the response cache.")
    assert essences(tmp_path / "1") == essences(tmp_path / "2")


def test_a_cache_that_somebody_holds_costs_a_sentence(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "1", Model())
    monkeypatch.setattr(store, "BUSY_S", 0.01)
    with Answers(cache_folder / "answers.sqlite") as held:
        held._db.execute("BEGIN EXCLUSIVE")
        found = run(tmp_path / "2", Model(), *TWELVE, "benchmarks.arithmetic.max_tokens=77")
        held._db.execute("ROLLBACK")
    assert found.status == "finished"
    assert any("locked" in sentence for sentence in found.preflight)


def test_sealed_questions_and_what_was_said_about_them_stand_nowhere(
    tmp_path: Path, cache_folder: Path
) -> None:
    overrides = ("benchmark=gpqa", f"benchmarks.gpqa.data_files={MCQ}", "cache=on")
    questions = [json.loads(line)["Question"] for line in MCQ.read_text().splitlines()]

    class Repeating(Model):
        def __call__(self, request: Request) -> str:
            super().__call__(request)
            return f"You ask: {questions[0]} Answer: A"

    run(tmp_path / "1", Repeating(), *overrides)
    again = Repeating()
    run(tmp_path / "2", again, *overrides)
    assert not again.asked
    written = b"".join(path.read_bytes() for path in cache_folder.iterdir())
    for question in questions:
        assert not any(part.encode() in written for part in re.findall(r".{12}", question))


def test_the_command_shows_and_empties_the_cache(
    tmp_path: Path, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    assert "nothing is kept yet" in capsys.readouterr().out
    run(tmp_path / "1", Model())
    run(tmp_path / "2", Model())
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert f"{cache_folder / 'answers.sqlite'}: 24 answers" in shown
    assert "given back 24 times" in shown
    assert main(["--clear"]) == 0
    assert ": 0 answers" in capsys.readouterr().out
    model = Model()
    run(tmp_path / "3", model)
    assert len(model.asked) == 24
    broken(cache_folder, "garbage")
    assert main([]) == 1
    assert main(["--clear"]) == 1
    assert main(["--what"]) == 1
    assert capsys.readouterr().err.count("if that stays, remove the file.") == 2


def test_a_bound_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="cache_max_bytes"):
        compose(["cache_max_bytes=1000"])
