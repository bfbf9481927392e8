"""Runs for which no engine is loaded, because every answer is in the response cache: on the fake engine."""

import importlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmbench import cli, machine, pipeline
from llmbench.asking import Stop
from llmbench.cache import known
from llmbench.cache.answers import Answers
from llmbench.cache.engine import Basis
from llmbench.cache.kept import Kept
from llmbench.cache.keys import Keys
from llmbench.cli import compose
from llmbench.compare import compare_runs
from llmbench.engine.base import EngineReport, Notice, Workload
from llmbench.engine.fake import Death, FakeEngine, TooLittle
from llmbench.engine.vllm import VllmEngine
from llmbench.errors import CacheError, EngineError, Interrupted, OutOfMemoryError, Shortage
from llmbench.models import Checkpoint
from llmbench.pool import EnginePool
from llmbench.records import Outcome
from llmbench.report import write_many
from llmbench.store import load_run, read_journal
from llmbench.summary import GpuUse, Memory, Summary
from llmbench.telemetry import Sampler
from llmbench.terminal import Terminal
from llmbench.tracking import metrics_of
from tests.conftest import FakeEngines
from tests.conftest import TwoSteps as Model
from tests.test_cache_keys import CHANGED_SETTINGS

TWELVE = ("benchmark=arithmetic", "limit=12", "report=false", "cache=on")
STORE = "answers.sqlite"


pytestmark = pytest.mark.usefixtures("cache_folder")
ENGINES = FakeEngines(Model())
POOL = ENGINES.pool()
"""One for all, so that the graders start once."""


@pytest.fixture(scope="module", autouse=True)
def pool() -> Iterator[None]:
    with POOL:
        yield


class Ran:
    """A run: what it found, how many engines it loaded, and what they were asked."""

    def __init__(
        self,
        into: Path,
        *overrides: str,
        stop: Stop | None = None,
        terminal: Terminal | None = None,
        resumes: bool = False,
        **options: object,
    ) -> None:
        POOL.close_engine()
        model, loads = Model(), POOL.loads
        ENGINES.reply, ENGINES.options = model, options
        self.into, self.asked = into, model.asked
        try:
            self.found: Summary = pipeline.run(
                compose((*TWELVE, *overrides)),
                into,
                overrides=overrides,
                stop=stop,
                terminal=terminal,
                pool=POOL,
                goes_on=resumes,
                resumes=resumes,
            )
        finally:
            self.loads = POOL.loads - loads

    @property
    def engine(self) -> EngineReport:
        assert self.found.engine is not None
        return self.found.engine

    @property
    def hits(self) -> int:
        cache = self.found.benchmarks["arithmetic"].cache
        assert cache is not None
        return cache.hits

    def essence(self) -> set[str]:
        return {
            repr((r.sample_id, r.text, r.score, [(c.text, c.output_tokens) for c in r.completions]))
            for r in read_journal(self.into)
        }


def test_with_every_answer_known_nothing_is_loaded(tmp_path: Path) -> None:
    first, second = Ran(tmp_path / "1"), Ran(tmp_path / "2")
    assert (first.loads, second.loads) == (1, 0)
    assert (len(first.asked), second.asked, second.hits) == (24, [], 24)
    assert first.essence() == second.essence()
    assert (first.engine.loads, first.engine.loaded) == (1, True)
    assert (second.engine.loads, second.engine.loaded) == (0, False)
    written = load_run(tmp_path / "2").summary
    assert written["status"] == "finished"
    assert (written["time_s"]["load"], written["time_s"]["import"], written["time_s"]["first_token"]) == (
        None,
    ) * 3
    assert written["time_s"]["load_parts"] == {}
    assert written["time_s"]["tokenizer"] is not None
    assert written["time_s"]["prepare"] is not None
    for name in (
        "weights_bytes",
        "kv_cache_tokens",
        "batch_size",
        "preemptions",
        "startup",
        "startup_outcome",
    ):
        assert written["engine"][name] is None
    assert (written["engine"]["name"], written["engine"]["loads"], written["engine"]["loaded"]) == (
        "fake",
        0,
        False,
    )
    figures = written["benchmarks"]["arithmetic"]
    assert (
        figures["latency_s"]["mean"],
        figures["throughput"]["output_tokens_per_s"],
        figures["time_s"],
    ) == (None,) * 3


def test_what_a_gpu_did_for_others_is_no_figure_of_a_run_without_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sampler, "memory", lambda _: Memory(5 << 30, 6 << 20))
    monkeypatch.setattr(Sampler, "gpu", lambda _: GpuUse(0.5, 100.0))
    first, second = Ran(tmp_path / "1").found, Ran(tmp_path / "2").found
    assert (first.memory, first.gpu) == (Memory(5 << 30, 6 << 20), GpuUse(0.5, 100.0))
    assert (second.memory, second.gpu) == (Memory(None, 6 << 20), GpuUse(None, None))


def test_every_reader_of_a_run_without_engine_copes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Ran(tmp_path / "1", "report=true")
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(out, err)
    second = Ran(tmp_path / "2", "report=true", terminal=terminal)
    terminal.table(second.found, "runs/x")
    said = " ".join(out.getvalue().split())
    assert "All 24 completions came from the response cache: no model was loaded, and no latency and" in said
    assert "time to score" in said
    assert "fake (not loaded)" in said
    assert "load -" not in said
    assert "no model is loaded" in err.getvalue()
    assert "Loading" not in err.getvalue()
    pages = [(tmp_path / name / "report.html").read_text() for name in ("1", "2")]
    assert ["no model was loaded" in page for page in pages] == [False, True]
    assert ["nothing was loaded" in page for page in pages] == [False, True]
    write_many([tmp_path / "1", tmp_path / "2"], tmp_path / "both.html")
    compared = compare_runs(tmp_path / "1", tmp_path / "2").runs[0]
    assert any("24 of the run's 24 completions" in note for note in compared.notes)
    assert "time_s/load" not in metrics_of(load_run(tmp_path / "2").summary)
    assert capsys.readouterr().err == ""


def test_one_more_question_loads_the_engine_once_and_asks_it_alone(tmp_path: Path) -> None:
    Ran(tmp_path / "1", "limit=11")
    second = Ran(tmp_path / "2")
    assert (second.loads, len(second.asked), second.hits) == (1, 2, 22)
    assert (second.engine.loads, second.engine.loaded) == (1, True)
    assert second.found.time_s.load is not None
    third = Ran(tmp_path / "3")
    assert (third.loads, third.hits, third.essence()) == (0, 24, second.essence())


def test_a_continuation_that_is_missing_loads_the_engine_before_anything_is_asked(tmp_path: Path) -> None:
    Ran(tmp_path / "1")
    seen: list[bool] = []
    original = Answers.get

    def get(answers: Answers, key: bytes) -> Kept | None:
        seen.append(POOL.loaded)
        return original(answers, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Answers, "get", get)
        second = Ran(tmp_path / "2", "benchmarks.arithmetic.cue_tokens=31")
    assert (second.loads, second.hits, len(second.asked)) == (1, 12, 12)
    assert all(name.endswith("+") for name in second.asked)
    assert all(seen)


@pytest.mark.parametrize("change", ["sampling.repeats=2", "sampling.temperature=1", "model.dtype=float16"])
def test_other_answers_than_those_known_load_the_engine(change: str, tmp_path: Path) -> None:
    Ran(tmp_path / "1")
    assert Ran(tmp_path / "2", change).loads == 1


@pytest.mark.parametrize("change", ["batch_size=3", "seed=0", "schedule=sequential"])
def test_settings_that_no_engine_is_loaded_with_load_none(change: str, tmp_path: Path) -> None:
    Ran(tmp_path / "1")
    assert Ran(tmp_path / "2", change).loads == 0


CONDITIONS: dict[str, tuple[str, Callable[..., object]]] = {
    "another GPU": ("gpus", lambda: (machine.Gpu(0, "NVIDIA X", 1, "1"),)),
    "another processor": ("processor", lambda: ("x86_64", "other")),
    "another package": ("installed", lambda: (("vllm", "99"),)),
    "another environment": ("environment", lambda: {"VLLM_ATTENTION_BACKEND": "X"}),
    "another setting of the engine's": ("", lambda: None),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_under_other_conditions_the_engine_is_loaded_and_then_remembered(
    condition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are found all the same where they do not depend on it, under the keys that the loaded engine makes."""
    Ran(tmp_path / "1")
    name, value = CONDITIONS[condition]
    change = () if name else ("engine.startup=eager",)
    if name:
        monkeypatch.setattr(machine, name, value)
    second, third = Ran(tmp_path / "2", *change), Ran(tmp_path / "3", *change)
    assert (second.loads, second.hits) == (1, 24)
    assert (third.loads, third.hits) == (0, 24)


@pytest.mark.parametrize("change", CHANGED_SETTINGS)
def test_settings_of_which_keys_are_made_are_among_what_is_known_beforehand(change: str) -> None:
    assert known.beforehand(compose([change]), None, 0.0, {}) != known.beforehand(compose([]), None, 0.0, {})


def test_a_checkpoint_that_changed_is_not_the_one_that_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(bytes(100))
    here = Checkpoint(str(tmp_path / "model"), None, local=True)

    def made() -> bytes:
        return known.beforehand(compose([]), here, time.time() + 10, {})

    before = made()
    assert made() == before
    (tmp_path / "model" / "model.safetensors").write_bytes(bytes(99) + b"x")
    assert made() != before
    with pytest.raises(CacheError, match="changed after"):
        known.beforehand(compose([]), here, time.time() - 10, {})


# ── a store that is not as it was ─────────────────────────────────────────────────────────────────────────────────────


def spoil(store: Path, statement: str) -> None:
    with Answers(store) as answers:
        answers._db.execute(statement)


@pytest.mark.parametrize(
    ("statement", "asked"),
    [
        ("DROP TABLE engines", 0),  # as one from before engines were remembered
        ("UPDATE engines SET value = x'00'", 0),
        ("UPDATE engines SET value = 'text'", 0),
        ("UPDATE engines SET value = CAST('[\"00\", {}]' AS BLOB)", 0),
        ("UPDATE answers SET value = x'00' WHERE rowid = 1", 1),
        ("DELETE FROM answers WHERE rowid IN (2, 3)", 2),
        ("DELETE FROM answers", 24),
    ],
)
def test_what_is_damaged_or_gone_costs_a_load(
    statement: str, asked: int, tmp_path: Path, cache_folder: Path
) -> None:
    first = Ran(tmp_path / "1")
    spoil(cache_folder / STORE, statement)
    second = Ran(tmp_path / "2")
    assert (second.loads, len(second.asked)) == (1, asked)
    third = Ran(tmp_path / "3")
    assert third.loads == 0
    assert first.essence() == second.essence() == third.essence()


def test_of_engines_the_newest_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmbench.cache.answers.ENGINES", 3)
    with Answers(tmp_path / "a") as answers:
        for number in range(5):
            answers.keep_engine(bytes([number]), b"value")
        found = [answers.engine(bytes([number])) for number in range(5)]
    assert found == [None, None, b"value", b"value", b"value"]


# ── an engine that is needed after all ────────────────────────────────────────────────────────────────────────────────


def forget(monkeypatch: pytest.MonkeyPatch, *numbers: int, error: CacheError | None = None) -> None:
    """Takes away what is looked up: the answers of these numbers, in the order in which they are first asked for.

    As if another process had dropped them after it was seen that all are there. The first twelve are those of the questions, the
    others of their continuations.
    """
    original, seen = Answers.get, dict[bytes, int]()

    def get(answers: Answers, key: bytes) -> Kept | None:
        if seen.setdefault(key, len(seen)) not in numbers:
            return original(answers, key)
        if error is not None:
            raise error
        return None

    monkeypatch.setattr(Answers, "get", get)


@pytest.mark.parametrize("gone", [(0,), (11,), (15,), (23,), (0, 1, 2), (3, 20), range(12), range(24)])
def test_an_answer_that_is_gone_loads_the_engine_in_the_middle_of_the_run(
    gone: Sequence[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Ran(tmp_path / "1")
    forget(monkeypatch, *gone)
    second = Ran(tmp_path / "2")
    assert second.loads == 1
    assert (second.engine.loads, second.engine.loaded) == (1, True)
    assert (len(second.asked), second.hits) == (len(gone), 24 - len(gone))
    assert second.essence() == first.essence()
    assert second.found.time_s.load is not None
    assert second.found.time_s.import_ is not None
    assert second.found.benchmarks["arithmetic"].throughput.output_tokens_per_s


def test_loading_in_the_middle_is_no_time_of_generating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ran(tmp_path / "1")
    hour, later, monotonic = 3600.0, [0.0], time.monotonic
    original = FakeEngine.load

    def load(engine: FakeEngine, workload: Workload, notice: Notice) -> None:
        later[0] += hour
        original(engine, workload, notice)

    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + later[0])
    monkeypatch.setattr(FakeEngine, "load", load)
    forget(monkeypatch, 14)
    times = Ran(tmp_path / "2").found.time_s
    assert times.load is not None
    assert times.generate is not None
    assert times.total is not None
    assert times.total > times.load >= hour > times.generate


def test_trouble_in_the_middle_goes_on_with_an_engine_and_without_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Ran(tmp_path / "1")
    forget(monkeypatch, 6, error=CacheError("The response cache is on fire."))
    second = Ran(tmp_path / "2")
    assert (second.loads, second.essence()) == (1, first.essence())
    assert second.hits == 6
    (said,) = [sentence for sentence in second.found.preflight if "response cache" in sentence]
    assert said == "The response cache is on fire. The run goes on without the response cache."


def test_an_engine_that_is_not_the_remembered_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ran(tmp_path / "1")
    original = FakeEngine.report

    def report(engine: FakeEngine) -> EngineReport:
        found = original(engine)
        found.dtype = "float64"
        return found

    monkeypatch.setattr(FakeEngine, "report", report)
    with pytest.MonkeyPatch.context() as patch:
        forget(patch, 14)
        second = Ran(tmp_path / "2")
    assert second.loads == 1
    assert any("is another than the one" in sentence for sentence in second.found.preflight)
    third = Ran(tmp_path / "3")  # from now on this one is remembered, which gave few of the answers
    assert third.loads == 1
    assert len(third.asked) > 12
    assert Ran(tmp_path / "4").loads == 0


def test_weights_that_changed_before_they_were_loaded_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Ran(tmp_path / "1")

    def changed(*_: object) -> Keys:
        raise CacheError("The weights changed.")

    forget(monkeypatch, 14)
    monkeypatch.setattr(Basis, "keys", changed)
    second = Ran(tmp_path / "2")
    assert (second.loads, second.essence()) == (1, first.essence())
    trouble, other = second.found.preflight
    assert trouble == "The weights changed. The run goes on without the response cache."
    assert "is another than the one" in other


def test_an_engine_that_is_needed_after_all_and_dies_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Ran(tmp_path / "1")
    poison = next(iter(read_journal(tmp_path / "1"))).sample_id
    forget(monkeypatch, *range(24))
    second = Ran(tmp_path / "2", die=Death(frozenset({poison})))
    assert second.found.status == "finished"
    assert second.loads == second.engine.loads > 1
    wrong = [r.sample_id for r in read_journal(tmp_path / "2") if r.score.outcome is Outcome.ERROR]
    assert wrong == [poison]
    assert len(second.essence() & first.essence()) == 11


@pytest.mark.parametrize("error", [OutOfMemoryError, EngineError])
def test_an_engine_that_is_needed_after_all_and_cannot_start_ends_the_run(
    error: type[EngineError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Ran(tmp_path / "1")
    options: dict[str, object] = {}
    if error is OutOfMemoryError:
        options["too_little"] = TooLittle(Shortage("kv_cache"), requests=0)
    else:

        def load(*_: object) -> None:
            raise EngineError("It does not start.")

        monkeypatch.setattr(FakeEngine, "load", load)
    with pytest.MonkeyPatch.context() as patch:
        forget(patch, 14)
        with pytest.raises(error):
            Ran(tmp_path / "2", **options)  # type: ignore[arg-type]
    written = load_run(tmp_path / "2").summary
    assert written["status"] == "failed"
    assert written["engine"]["loaded"] is False
    resumed = Ran(tmp_path / "2", resumes=True)
    assert (resumed.loads, resumed.found.status, resumed.essence()) == (0, "finished", first.essence())


def test_an_interrupted_run_without_engine_goes_on_without_one(tmp_path: Path) -> None:
    first = Ran(tmp_path / "1")
    stop = Stop(signal_number=2)
    with pytest.raises(Interrupted):
        Ran(tmp_path / "2", stop=stop)
    assert load_run(tmp_path / "2").summary["status"] == "interrupted"
    resumed = Ran(tmp_path / "2", resumes=True)
    assert (resumed.loads, resumed.essence()) == (0, first.essence())


# ── resuming and sweeps ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_broke_goes_on_without_an_engine_where_the_rest_is_known(tmp_path: Path) -> None:
    first = Ran(tmp_path / "1")
    with pytest.raises(EngineError):
        Ran(tmp_path / "2", "cache=off", "batch_size=2", break_after=19)
    kept = len(list(read_journal(tmp_path / "2")))
    resumed = Ran(tmp_path / "2", resumes=True)
    assert 0 < kept < 12
    assert (resumed.loads, resumed.asked, resumed.essence()) == (0, [], first.essence())
    assert resumed.hits == 24 - 2 * kept
    assert resumed.engine.loaded is False


def test_a_run_with_nothing_left_to_ask_goes_on_without_an_engine(tmp_path: Path) -> None:
    Ran(tmp_path / "1")
    summary = tmp_path / "1" / "summary.json"
    written = json.loads(summary.read_text())
    summary.write_text(json.dumps(written | {"status": "interrupted"}))
    resumed = Ran(tmp_path / "1", resumes=True)
    assert (resumed.loads, resumed.asked, resumed.found.status) == (0, [], "finished")


def test_runs_that_share_an_engine_load_it_with_the_first_that_needs_it(tmp_path: Path) -> None:
    Ran(tmp_path / "known")
    model = Model()
    engines = FakeEngines(model)
    with engines.pool() as shared:
        loads = []
        for number, limit in enumerate((12, 6, 20, 12, 20)):
            overrides = (*TWELVE, f"limit={limit}")
            found = pipeline.run(compose(overrides), tmp_path / str(number), pool=shared)
            assert found.engine is not None
            loads.append((found.engine.loads, found.engine.loaded))
        assert shared.loads == 1
    assert loads == [(0, False), (0, False), (1, True), (0, True), (0, True)]
    assert len(model.asked) == 16


def sweep(folder: Path, *overrides: str) -> dict[str, Any]:
    into = f"hydra.sweep.dir={folder}"
    assert cli.main(["-m", "engine=fake", "report=false", "limit=4", "cache=on", *overrides, into]) == 0
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_a_sweep_whose_answers_are_known_loads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    once = sweep(tmp_path / "1", "batch_size=1,2")
    capsys.readouterr()
    again = sweep(tmp_path / "2", "batch_size=1,2")
    more = sweep(tmp_path / "3", "early_stopping=answer,cut", "benchmarks.arithmetic.max_tokens=128,60")
    assert (once["loads"], once["groups"]) == (1, [[0, 1]])
    assert (again["loads"], again["groups"]) == (0, [])
    assert [job["summary"]["engine"]["loaded"] for job in again["jobs"]] == [False, False]
    assert [job["status"] for job in again["jobs"]] == ["finished", "finished"]
    assert more["loads"] == 1
    engines = [job["summary"]["engine"] for job in more["jobs"]]
    assert more["groups"] == [[number for number, engine in enumerate(engines) if engine["loaded"]]]


# ── engines that are opened and never prepared ────────────────────────────────────────────────────────────────────────


def test_an_engine_that_was_only_opened_leaves_the_environment_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    engine = VllmEngine(compose(["model=smollm2"]), Checkpoint(str(tmp_path), None, local=True))
    before, imported = dict(os.environ), list[str]()
    monkeypatch.setattr(importlib, "import_module", imported.append)
    engine.set_environment()
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    engine.set_environment()
    engine.close()
    assert (dict(os.environ), imported) == (before, [])


def test_the_environment_is_told_without_what_the_held_engine_set(monkeypatch: pytest.MonkeyPatch) -> None:
    class Setting(FakeEngine):
        def set_environment(self) -> None:
            os.environ["VLLM_SOMETHING"] = "1"

        def close(self, *, process_ends: bool = False) -> None:  # noqa: ARG002
            os.environ.pop("VLLM_SOMETHING")

    monkeypatch.setenv("CUDA_SOMETHING", "1")
    monkeypatch.setenv("SOMETHING", "1")
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
    engines = FakeEngines(Model()).pool().engines
    object.__setattr__(engines, "open_engine", lambda *_: Setting())
    with EnginePool(engines) as shared:
        before = shared.environment
        shared.open(compose(TWELVE), None)
        assert shared.environment == before
        assert "VLLM_SOMETHING" in machine.environment()
    assert machine.environment() == before
    assert "CUDA_SOMETHING" in before
    assert "VLLM_LOGGING_LEVEL" not in before
    assert "SOMETHING" not in before
