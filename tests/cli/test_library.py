"""`llmbench.evaluate` and its kin: the runs of the command line, for a program."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hydra import version
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import llmbench
from llmbench.cli.main import main
from llmbench.errors import ConfigError, EngineError, LlmbenchError, RunError
from llmbench.records import Outcome
from llmbench.results.settings import read_config
from tests.helpers.commands import lines_in, wait_until
from tests.helpers.paths import DATA

if TYPE_CHECKING:
    import pandas as pd

FAKE: dict[str, Any] = {"engine": "fake", "quiet": True, "report": False}
SLOW = FAKE | {"limit": 40, "batch_size": 2, "engine.args": {"step_s": 0.01}}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings_of(run: llmbench.Run) -> dict[str, Any]:
    config = read_config(run.folder)
    assert config is not None
    return config


def test_a_call_gives_the_run_that_the_command_line_would() -> None:
    run = llmbench.evaluate("arithmetic", engine="fake", limit=6, quiet=True, **{"sampling.temperature": 0.7})
    assert (
        main(
            [
                "benchmark=arithmetic",
                "engine=fake",
                "limit=6",
                "sampling.temperature=0.7",
                "hydra.run.dir=typed",
            ]
        )
        == 0
    )
    typed = llmbench.load_run("typed")
    assert run.folder.parent == Path.cwd() / "runs"
    assert {path.name for path in run.folder.iterdir()} == {path.name for path in Path("typed").iterdir()}
    assert [r.key for r in run.results] == [r.key for r in typed.results]
    assert settings_of(run)["sampling"] == settings_of(typed)["sampling"]
    assert run.manifest.overrides == typed.manifest.overrides


def test_settings_of_all_kinds_reach_the_run() -> None:
    nasty = "a, b=c: '{x}' \"[y]\" ${limit} \\ null\n"
    run = llmbench.evaluate(
        ["arithmetic"],
        **FAKE,
        folder=Path("a folder, with 'signs' = {x}"),
        limit=2,
        batch_size=None,
        sampling={"temperature": 0.5, "seed": 7},
        benchmarks={"arithmetic": {"instruction": nasty, "stop": ["a,b", "\n\n", "null"]}},
        **{"model.chat_template_kwargs": {"flag": True, "nested": {"list": [1, None, "2"]}}},
    )
    found = settings_of(run)
    assert run.folder == Path.cwd() / "a folder, with 'signs' = {x}"
    assert found["batch_size"] is None
    assert (found["sampling"]["temperature"], found["sampling"]["seed"]) == (0.5, 7)
    assert found["benchmarks"]["arithmetic"]["instruction"] == nasty
    assert found["benchmarks"]["arithmetic"]["stop"] == ["a,b", "\n\n", "null"]
    assert found["model"]["chat_template_kwargs"] == {"flag": True, "nested": {"list": [1, None, "2"]}}


def test_several_benchmarks_and_suites_are_chosen_by_name() -> None:
    mcq = {"benchmarks.gpqa.data_files": DATA / "mcq_sample.jsonl"}
    run = llmbench.evaluate(["arithmetic", "gpqa"], **FAKE, limit=2, **mcq)
    assert list(run.summary.benchmarks) == ["arithmetic", "gpqa"]
    with pytest.raises(ConfigError, match="There is no suite called 'fastes'; did you mean fastest"):
        llmbench.evaluate(suite="fastes", **FAKE)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"limt": 3}, "There is no setting called 'limt'; did you mean limit"),
        ({"sampling": {"temprature": 1}}, r"did you mean sampling\.temperature\?"),
        ({"engine": {"bas_url": "x"}}, r"did you mean engine\.base_url\?"),
        ({"model": "smollm3"}, "There is no model called 'smollm3'; did you mean smollm2"),
        ({"limit": "4,8"}, "limit='4,8' is refused"),
        ({"limit": 0}, "limit=0 is refused"),
        ({"temperature": 1}, r"sampling\.temperature"),
        ({"config_dir": "nowhere"}, "nowhere"),
        ({"model": 3}, "There is no model called '3'"),
        ({"folder": "${oc.env:HOME}"}, r"folder=\$\{oc.env:HOME\} holds \$\{, which Hydra would replace"),
        ({"runs_dir": Path("a${b}")}, r"runs_dir=a\$\{b\} holds"),
        (
            {"hydra.mode": "MULTIRUN"},
            r"hydra\.mode is for the command line, as llmbench.evaluate makes one run",
        ),
    ],
)
def test_what_is_refused_is_one_sentence_and_leaves_nothing(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as refused:
        llmbench.evaluate("arithmetic", **FAKE | settings)
    assert "\n" not in str(refused.value)
    assert not any(Path().glob("runs/*/*"))
    assert not any(Path().glob("*{*"))


def test_a_benchmark_is_asked_for_and_one_that_does_not_exist_named() -> None:
    with pytest.raises(ConfigError, match="takes the name of a benchmark"):
        llmbench.evaluate(**FAKE)
    with pytest.raises(ConfigError, match="There is no benchmark called 'gsm8'; did you mean gsm8k"):
        llmbench.evaluate("gsm8", **FAKE)
    with pytest.raises(ConfigError, match="There is no benchmark called 'arithmetic,aime'"):
        llmbench.evaluate("arithmetic,aime", **FAKE)


def test_a_run_that_breaks_raises_its_own_error_says_where_it_is_and_goes_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(EngineError, match="broke after 3 completions") as broken:
        llmbench.evaluate(
            "arithmetic", **FAKE, limit=5, batch_size=1, folder="run", **{"engine.args": {"break_after": 3}}
        )
    (note,) = broken.value.__notes__
    assert f"What was finished is in {Path.cwd() / 'run'}." in note
    assert "resume=" in note
    assert capfd.readouterr() == ("", "")
    run = llmbench.evaluate(resume="run", quiet=True)  # it breaks after each three
    assert (run.summary.status, len(run.results)) == ("finished", 5)
    again = llmbench.evaluate(resume=Path("run"), quiet=True)
    assert len(again.results) == 5


def test_a_folder_that_is_taken_and_a_sweep_to_resume_are_refused() -> None:
    llmbench.evaluate("arithmetic", **FAKE, limit=2, folder="run")
    with pytest.raises(RunError, match="run"):
        llmbench.evaluate("arithmetic", **FAKE, limit=2, folder="run")
    assert (
        main(["-m", "engine=fake", "limit=2", "batch_size=1,2", "hydra.sweep.dir=sweep", "report=false"]) == 0
    )
    with pytest.raises(ConfigError, match="holds a sweep; `python -m llmbench resume="):
        llmbench.evaluate(resume="sweep")


def test_a_call_leaves_the_process_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def state() -> tuple[object, ...]:
        root = logging.getLogger()
        return (
            dict(os.environ), Path.cwd(), list(sys.argv), sys.stdout, sys.stderr, root.level, list(root.handlers),
            [list(handler.filters) for handler in root.handlers],
            [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
            GlobalHydra.instance().hydra, HydraConfig.instance().cfg, version.VersionBase.instance().getbase(),
        )  # fmt: skip

    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = state()
    (tmp_path / "elsewhere").mkdir()
    llmbench.evaluate("arithmetic", **FAKE, limit=2, folder="run")
    with pytest.raises(ConfigError):
        llmbench.evaluate("arithmetic", **FAKE, limt=2)
    monkeypatch.chdir("elsewhere")
    llmbench.evaluate("arithmetic", **FAKE, limit=2, **{"hydra.verbose": True})
    llmbench.evaluate(resume="../run", quiet=True)  # which works in the folder where it was begun
    assert Path.cwd() == tmp_path / "elsewhere"
    monkeypatch.chdir(tmp_path)
    assert state() == before


def test_a_program_s_log_gets_what_its_level_says(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("own").setLevel(logging.DEBUG)
    with caplog.at_level(logging.WARNING):
        run = llmbench.evaluate("arithmetic", **FAKE, limit=2)
    assert not [record for record in caplog.records if record.levelno < logging.WARNING]
    assert "INFO" in (run.folder / "llmbench.log").read_text()


def test_progress_goes_to_the_standard_error_without_control_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a notebook's kernel sets it
    llmbench.evaluate("arithmetic", engine="fake", limit=2, report=False)
    out, err = capsys.readouterr()
    assert not out
    assert "arithmetic 2/2" in err
    assert "written to runs/" in err
    assert "\x1b" not in err


def test_it_works_from_a_thread_and_within_an_event_loop() -> None:
    async def both() -> tuple[llmbench.Run, llmbench.Run]:
        here = llmbench.evaluate("arithmetic", **FAKE, limit=2)
        return here, await asyncio.to_thread(llmbench.evaluate, "arithmetic", **FAKE, limit=2)

    assert [run.summary.status for run in asyncio.run(both())] == ["finished", "finished"]


@pytest.fixture
def busy() -> Iterator[Path]:
    """A run that another thread makes meanwhile."""
    folder = Path.cwd() / "busy"
    thread = threading.Thread(
        target=llmbench.evaluate, args=("arithmetic",), kwargs=SLOW | {"folder": folder}
    )
    thread.start()
    wait_until(lambda: lines_in(folder / "samples.jsonl"))
    yield folder
    thread.join()
    assert llmbench.load_run(folder).summary.status == "finished"


def test_a_second_thread_is_refused_and_harms_nothing(busy: Path) -> None:
    with pytest.raises(ConfigError, match="Another thread of this process is running llmbench"):
        llmbench.evaluate("arithmetic", **FAKE, limit=2)
    assert busy.exists()


def test_ctrl_c_ends_a_run_in_order_and_the_program_goes_on() -> None:
    folder = Path.cwd() / "run"
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    def interrupt() -> None:
        wait_until(lambda: lines_in(folder / "samples.jsonl") >= 3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with llmbench.Session() as session:
        with pytest.raises(KeyboardInterrupt) as interrupted:
            session.evaluate("arithmetic", **SLOW, folder=folder)
        thread.join()
        assert "resume=" in interrupted.value.__notes__[0]
        run = llmbench.load_run(folder)
        assert run.summary.status == "interrupted"
        assert 3 <= len(run.results) < 40
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
        assert session.evaluate(resume=folder, quiet=True).summary.status == "finished"


def test_a_program_s_own_signal_handlers_stay() -> None:
    came: list[int] = []

    def terminate() -> None:
        wait_until(lambda: lines_in(Path("run", "samples.jsonl")))
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    thread = threading.Thread(target=terminate)
    try:
        thread.start()
        run = llmbench.evaluate("arithmetic", **SLOW, folder="run")
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, before)
    assert (run.summary.status, came) == ("finished", [signal.SIGTERM])


def test_a_session_keeps_the_engine_while_the_settings_allow() -> None:
    with llmbench.Session(**FAKE, limit=4) as session:
        assert session.loads == 0
        first = session.evaluate("arithmetic")
        second = session.evaluate("arithmetic", limit=3, **{"sampling.temperature": 0.5})
        assert session.loads == 1
        third = session.evaluate("arithmetic", model={"max_length": 2048})
        assert session.loads == 2
    assert [len(run.results) for run in (first, second, third)] == [4, 3, 4]
    assert session.loads == 2
    session.close()
    with pytest.raises(LlmbenchError, match=r"^This llmbench\.Session was closed; begin another one\.$"):
        session.evaluate("arithmetic")


def test_a_session_goes_on_after_a_run_that_failed() -> None:
    with llmbench.Session(**FAKE, limit=6) as session:
        with pytest.raises(EngineError):
            session.evaluate("arithmetic", batch_size=1, **{"engine.args": {"break_after": 2}})
        with pytest.raises(ConfigError):
            session.evaluate("arithmetic", limit=0)
        assert len(session.evaluate("arithmetic").results) == 6


def test_a_session_refuses_a_setting_that_is_none_at_once_and_its_benchmark_may_be_a_default() -> None:
    with pytest.raises(ConfigError, match="is not a setting's name"):
        llmbench.Session(**{"a b": 1})
    with llmbench.Session(benchmark="arithmetic", **FAKE, limit=2) as session:
        run = session.evaluate()
        assert list(run.summary.benchmarks) == ["arithmetic"]
        assert session.evaluate(resume=run.folder).folder == run.folder  # with its own settings


def test_runs_are_compared_as_objects_or_by_their_folders(capsys: pytest.CaptureFixture[str]) -> None:
    with llmbench.Session(**FAKE, limit=5) as session:
        one, other = (
            session.evaluate("arithmetic", folder="one"),
            session.evaluate("arithmetic", folder="other"),
        )
    compared = llmbench.compare_runs(one, "other")
    difference: float = compared.runs[0].benchmarks[0].difference.difference
    assert difference == 0
    assert compared == llmbench.compare_runs(one.folder, Path("other"))
    from llmbench.compare import main as command

    assert other.folder == Path("other").absolute()
    assert command([str(one.folder), "other"]) == 0
    assert repr(compared).split() == capsys.readouterr().out.split()
    with pytest.raises(TypeError, match="not int"):
        llmbench.compare_runs(one, 3)  # type: ignore[arg-type]


def test_a_run_shows_its_scores_as_text_and_as_html() -> None:
    run: llmbench.Run = llmbench.evaluate("arithmetic", **FAKE, limit=4, folder="a<b")
    heading, titles, row = repr(run).splitlines()
    assert heading.endswith("a<b: fake, profile documented, finished")
    assert titles.split() == ["benchmark", "n", "accuracy", "95%", "interval", "answered"]
    assert row.split()[:2] == ["arithmetic", "4"]
    assert "a&lt;b" in run._repr_html_()
    assert "<td>arithmetic</td><td>4</td>" in run._repr_html_()


def test_results_become_a_row_each_with_types_that_last() -> None:
    run = llmbench.evaluate("arithmetic", **FAKE, limit=4, **{"engine.args": {"refuse": ["sum1-000"]}})
    table: pd.DataFrame = run.to_pandas()
    assert len(table) == len(run.results)
    kinds = {
        "id": "string", "repeat": "Int64", "value": "float64", "elicited": "bool", "output_tokens": "Int64",
        "e2e_s": "float64", "text": "string", "error": "string",
    }  # fmt: skip
    assert {name: str(table[name].dtype) for name in kinds} == kinds
    assert table["outcome"].tolist() == [result.score.outcome.value for result in run.results]
    assert table["fields.level"].tolist() == [result.fields["level"] for result in run.results]
    assert set(table["outcome"]) <= {outcome.value for outcome in Outcome}
    assert table["error"].isna().all() or table["error"].notna().any()


def test_sealed_texts_stay_out_of_the_table() -> None:
    mcq = {"benchmarks.gpqa.data_files": DATA / "mcq_sample.jsonl"}
    table = llmbench.evaluate("gpqa", **FAKE, limit=3, **mcq).to_pandas()
    assert table["sealed"].all()
    assert table[["prompt", "text", "answer", "explanation"]].isna().all(axis=None)
    assert not [name for name in table.columns if name.startswith("fields.")]


def test_a_run_without_results_is_an_empty_table() -> None:
    run = llmbench.evaluate("arithmetic", **FAKE, limit=2)
    empty = llmbench.Run(run.folder, run.summary, run.manifest, [])
    assert empty.to_pandas().empty
    assert "output_tokens" in empty.to_pandas().columns
