"""The real engine in processes of its own, which are killed or stopped while it is asked: the run goes on and ends with the same scores."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmbench.store import JOURNAL, Run, load_run
from tests.helpers.commands import lines_in, start_llmbench, wait_until
from tests.helpers.families import all_end, command_lines, descendants
from tests.helpers.runs import outcomes

pytest.importorskip("vllm.version", reason="vLLM is not installed")

SETTINGS = (
    "engine.multiprocess=true",
    "engine.device=cpu",
    "model.dtype=float32",  # so that rounding decides no token, whatever runs beside it
    "limit=24",
    "batch_size=2",
    "benchmarks.arithmetic.max_tokens=24",
)


WAIT_S = 60  # far more than a step takes, on a busy machine too


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Run:
    assert smollm2.is_dir()
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start_llmbench(folder, "hydra.run.dir=run", *SETTINGS, errors=folder / "said")
    assert process.wait(600) == 0, (folder / "said").read_text()
    return load_run(folder / "run")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder of the runs, which has a short path, as sockets need it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def sockets(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_socket()]


@pytest.mark.parametrize("victim", ["EngineCore", "Worker"])
def test_a_killed_process_of_the_engines_costs_no_answer(
    tmp_path: Path, undisturbed: Run, victim: str, temporary: Path
) -> None:
    process = start_llmbench(tmp_path, "hydra.run.dir=run", *SETTINGS, errors=tmp_path / "said")
    wait_until(lambda: lines_in(tmp_path / "run" / JOURNAL), process)
    assert sockets(temporary)
    family = descendants(process)
    (killed,) = [p for p in family if victim in command_lines([p])]
    killed.send_signal(signal.SIGKILL)
    assert process.wait(600) == 0, (tmp_path / "said").read_text()
    run = load_run(tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert run.summary["engine"]["loads"] == 2
    (restart,) = run.manifest["restarts"]
    assert 0 < restart["running"] <= 3
    assert not restart["fresh"]
    ids = [result.sample_id for result in run.results]
    assert len(ids) == len(set(ids)) == 24
    texts = [{r.sample_id: (r.text, r.score.outcome) for r in one.results} for one in (run, undisturbed)]
    assert texts[0] == texts[1]
    scores = [one.summary["benchmarks"]["arithmetic"]["accuracy"] for one in (run, undisturbed)]
    assert scores[0] == scores[1]
    all_end(family)
    assert not sockets(temporary)


def test_a_stopped_process_of_the_engines_is_noticed_and_costs_no_answer(
    tmp_path: Path, undisturbed: Run
) -> None:
    process = start_llmbench(
        tmp_path, "hydra.run.dir=run", *SETTINGS, f"engine_wait_s={WAIT_S}", errors=tmp_path / "said"
    )
    wait_until(lambda: lines_in(tmp_path / "run" / JOURNAL), process)
    family = descendants(process)
    (stopped,) = [p for p in family if "EngineCore" in command_lines([p])]
    stopped.send_signal(signal.SIGSTOP)
    assert process.wait(600) == 0, (tmp_path / "said").read_text()
    said = (tmp_path / "said").read_text()
    assert "it is given up" in said
    assert f"did not answer for {WAIT_S} s (engine_wait_s) and was killed" in said
    run = load_run(tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert any("did not answer" in restart["error"] for restart in run.manifest["restarts"])
    assert outcomes(run) == outcomes(undisturbed)
    all_end(family)
