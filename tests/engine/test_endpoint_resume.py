"""Runs on a server that are resumed, reported, compared and exported, with and without that server."""

import json
import re
import shutil
from collections import deque
from pathlib import Path

import pytest

import llmbench
from llmbench import compare, export, regrade
from llmbench.cli.main import main
from llmbench.records import Outcome
from llmbench.report import __main__ as report
from llmbench.report.trackers import metrics_of
from tests.helpers.endpoints import overrides
from tests.helpers.stand_in_server import Body, StandIn, serving

pytestmark = pytest.mark.slow
FEW = ("limit=6", "report=false", "hydra.run.dir=run", "batch_size=1")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def unfinished(stand_in: StandIn | None = None, *more: str) -> None:
    """Leaves a run with some of its six answers."""
    with serving(stand_in or StandIn()) as server:
        server.reply = lambda _: server.faults.append((404, "gone")) or "It is 4."  # type: ignore[func-returns-value]
        assert main(overrides(server, *FEW, *more)) == 1
    assert 0 < len(llmbench.load_run("run").results) < 6


def contents() -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in Path("run").iterdir()
        if path.name not in ("llmbench.log", "trace.jsonl", "memory.log")
    }


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"\s+", " ", capsys.readouterr().err)


@pytest.mark.parametrize("vllm", [True, False])
def test_a_finished_run_needs_no_server(
    vllm: bool,  # noqa: FBT001
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_PROVIDER", "sesame-sesame")
    with serving(StandIn(vllm=vllm)) as server:
        assert (
            main(
                overrides(
                    server,
                    *FEW,
                    "engine.api_key_env=MY_PROVIDER",
                    "engine.headers_env={X-Api-Key: MY_PROVIDER}",
                )
            )
            == 0
        )
    monkeypatch.delenv("MY_PROVIDER")
    assert main(["resume=run", "export=csv"]) == 0
    assert "nothing is left to ask" in capfd.readouterr().out
    assert Path("run/samples.csv").is_file()


def test_a_run_of_a_model_by_name_needs_no_server_once_it_is_finished(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with serving(StandIn(models=("Qwen/Qwen2.5-14B-Instruct",), vllm=False)) as server:
        assert main(overrides(server, *FEW, "model=qwen14b")) == 0
    assert main(["resume=run"]) == 0
    assert "nothing is left to ask" in capfd.readouterr().out


def test_a_resume_without_the_server_says_so_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    unfinished()
    before = contents()
    capsys.readouterr()
    assert main(["resume=run"]) == 1
    said = error_of(capsys)
    assert "does not answer" in said
    assert "Traceback" not in said
    assert contents() == before
    assert llmbench.load_run("run").summary.status == "failed"


MODELS = [("org/other", None), ("org/tiny", "/models/other")]


@pytest.mark.parametrize(("model", "root"), MODELS)
def test_another_model_does_not_go_on_with_a_run(
    model: str, root: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    unfinished()
    before = contents()
    with serving(StandIn(models=(model,), root=root)) as server:
        capsys.readouterr()
        assert main(["resume=run", f"engine.base_url={server.url}"]) == 1
        assert not server.asked
    said = error_of(capsys)
    assert (root or model) in said
    assert "org/tiny" in said
    assert contents() == before


def test_another_version_is_noted() -> None:
    unfinished()
    with serving(StandIn(version="0.28.0")) as server:
        assert main(["resume=run", f"engine.base_url={server.url}"]) == 0
    run = llmbench.load_run("run")
    assert run.summary.status == "finished"
    (note,) = [note for note in run.summary.notes if "other conditions" in note]
    assert "vLLM 0.27.1 and is vLLM 0.28.0 now" in note
    assert run.manifest.server is not None
    assert run.manifest.server.version == "0.28.0"


def test_what_is_refused_in_a_resumed_run_is_an_error_of_its_own() -> None:
    unfinished()
    with serving(StandIn(faults=deque([(400, "filtered")]))) as server:
        assert main(["resume=run", f"engine.base_url={server.url}"]) == 0
    outcomes = [result.score.outcome for result in llmbench.load_run("run").results]
    assert (len(outcomes), outcomes.count(Outcome.ERROR)) == (6, 1)


def test_a_sweeps_finished_jobs_need_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        swept = overrides(server, "limit=2", "report=false", "hydra.sweep.dir=sweep", "batch_size=1,2")
        assert main(["-m", *swept]) == 0
    capsys.readouterr()
    assert main(["resume=sweep"]) == 0
    assert "2 finished" in capsys.readouterr().out


def test_a_resumed_sweep_over_models_keeps_their_names() -> None:
    def reply(body: Body) -> str:
        if body["model"] == "b/two":
            server.faults.append((404, "gone"))
        return "It is 4."

    with serving(StandIn(reply=reply, models=("a/one", "b/two"))) as server:
        swept = overrides(server, "limit=2", "report=false", "hydra.sweep.dir=sweep", "batch_size=1")
        assert main(["-m", *swept, "engine.served_model=a/one,b/two"]) == 1
        server.reply = lambda _: "It is 4."
        server.faults.clear()
        assert main(["resume=sweep"]) == 0
    runs = [llmbench.load_run(f"sweep/{number}") for number in (0, 1)]
    assert [run.summary.model for run in runs] == ["a--one", "b--two"]
    assert [body["model"] for body in server.asked].count("a/one") == 2


def test_a_sweeps_finished_jobs_need_no_server_that_one_logs_in_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving() as server:
        url = server.url.replace("//", "//me:sesame-sesame@")
        swept = ["engine=endpoint", "benchmark=arithmetic", "limit=2", "report=false", "batch_size=1,2"]
        assert main(["-m", *swept, f"engine.base_url={url}", "hydra.sweep.dir=sweep"]) == 0
    capsys.readouterr()
    assert main(["resume=sweep", f"engine.base_url={url}"]) == 0
    assert "2 finished" in capsys.readouterr().out


def test_programs_that_read_runs_take_one_of_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        assert main(overrides(server, *FEW, "engine.price={input: 1, output: 2}")) == 0
    shutil.copytree("run", "other")
    capsys.readouterr()
    compare.main(["run", "other"])
    assert (
        f"The baseline asked org/tiny on vLLM 0.27.1 at {server.url}. Times are this client's view"
        in re.sub(r"\s+", " ", capsys.readouterr().out)
    )
    export.main(["run"])
    regrade.main(["run"])
    report.main(["run"])
    results = json.loads(next(Path("run").rglob("results_*.json")).read_text())
    arguments = results["config"]["model_args"]
    assert (arguments["pretrained"], arguments["base_url"]) == ("org/tiny", server.url)
    assert results["transformers_version"] is None
    assert llmbench.load_run("run").summary.cost == metrics_of(llmbench.load_run("run").summary)["cost"]
