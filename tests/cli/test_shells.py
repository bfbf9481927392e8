"""Odd surroundings: encodings, folders that are gone, programs that call llmbench, threads, the first Ctrl-C."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import llmbench
from llmbench.cli.main import main
from llmbench.errors import RunError
from llmbench.results.reader import load_run
from llmbench.runs import main as list_runs
from llmbench.system import clock
from llmbench.system.signals import listening
from llmbench.system.stdio import unfailing

pytestmark = pytest.mark.slow

FAKE = ["benchmark=arithmetic", "engine=fake", "limit=2", "report=false"]


def python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(script)
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def test_characters_that_a_stream_lacks_cost_nothing_else() -> None:
    raw = io.BytesIO()
    stream = unfailing(io.TextIOWrapper(raw, encoding="latin-1", write_through=True))
    stream.write("0.0 … 24.2%, José\n")
    assert raw.getvalue().decode("latin-1") == "0.0 ? 24.2%, José\n"


def test_a_working_directory_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    shutil.rmtree(gone)
    assert main(FAKE) == 1
    assert "The working directory was deleted" in capfd.readouterr().err


def test_a_models_name_with_a_slash_is_one_folder_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FAKE, "model.name=org/model", "runs_dir=my runs"]) == 0
    (folder,) = (tmp_path / "my runs").iterdir()
    assert folder.name.endswith("_org-model_arithmetic")
    assert json.loads((folder / "summary.json").read_text())["model"] == "org/model"
    assert main(["resume=last", "runs_dir=my runs"]) == 0
    capfd.readouterr()
    assert list_runs(["runs_dir=my runs"]) == list_runs(["my runs"]) == 0
    assert capfd.readouterr().out.count("org/model") == 2


def test_a_sweeps_folder_is_no_run_but_holds_some(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    assert main(["-m", *FAKE, "batch_size=1,2", f"hydra.sweep.dir={sweep}"]) == 0
    with pytest.raises(RunError, match=f"holds a sweep.*such as {sweep}/0"):
        load_run(sweep)


def test_a_finished_run_is_not_begun_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = [*FAKE, f"hydra.run.dir={tmp_path / 'run'}"]
    assert main(command) == 0
    capfd.readouterr()
    assert main(command) == 1
    assert capfd.readouterr().err.count("resume=") == 1


def test_a_run_in_a_thread_counts_its_own_time_only(tmp_path: Path) -> None:
    statuses: list[int] = []
    before = clock.began()
    for number in range(2):
        command = [*FAKE, f"hydra.run.dir={tmp_path / str(number)}"]
        thread = threading.Thread(target=lambda command=command: statuses.append(main(command)))
        thread.start()
        thread.join()
    assert statuses == [0, 0]
    assert clock.began() > before


def test_a_program_of_hydras_can_grade(tmp_path: Path) -> None:
    done = python(
        "import hydra\n"
        "from hydra.core.hydra_config import HydraConfig\n"
        "@hydra.main(version_base='1.3', config_path=None)\n"
        "def app(cfg):\n"
        "    import llmbench\n"
        "    row = {'question': '1 + 1?', 'answer': '#### 2'}\n"
        "    print(llmbench.grade('gsm8k', row, 'The answer is 2.').value, HydraConfig.get().job.name)\n"
        "app()\n",
        tmp_path,
    )
    assert done.stdout.strip() == "1.0 script", done.stderr


def test_within_a_program_of_hydras_its_own_hydra_stays(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "theirs.yaml").write_text("a: 1\n")
    script = f"""
import hydra, llmbench
from llmbench.cli import main as cli
with hydra.initialize_config_dir({str(tmp_path / "conf")!r}, version_base=None):
    assert llmbench.grade("math", {{"answer": "5"}}, r"\\boxed{{5}}").value == 1
    assert hydra.compose("theirs", ["a=2"]).a == 2
    assert cli.main(["engine=fake", "limit=1", "report=false"]) == 0
    assert hydra.compose("theirs", ["a=3"]).a == 3
print("composed")
"""
    done = python(script, tmp_path)
    assert done.stdout.endswith("composed\n"), done.stderr


def test_threads_grade_side_by_side_and_run_one_after_another(tmp_path: Path) -> None:
    script = """
import threading, llmbench
from llmbench.cli import main as cli
found, statuses = [], []
def grade(n): found.append(llmbench.grade("math", {"answer": str(n)}, rf"\\boxed{{{n}}}").value)
def run(n): statuses.append(cli.main(["engine=fake", "limit=1", "report=false", f"hydra.run.dir=run{n}"]))
for work in (grade, run):
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print(found, 0 in statuses, set(statuses) <= {0, 1})
"""
    done = python(script, tmp_path)
    assert done.stdout.endswith(f"{[1.0] * 4} True True\n"), done.stderr
    if "Another thread" not in done.stderr:  # all of them had their turn
        assert all((tmp_path / f"run{n}" / "summary.json").is_file() for n in range(4))


def test_the_library_says_what_it_takes() -> None:
    for row, text in (
        ({"answer": "5"}, None),
        ({"answer": "5"}, b"5"),
        (None, "5"),
        ([("answer", "5")], "5"),
    ):
        with pytest.raises(TypeError, match="takes a row of the data as a mapping and the model's text"):
            llmbench.grade("math", row, text)  # type: ignore[arg-type]
    for path in (None, 5, b"x"):
        with pytest.raises(TypeError, match="PathLike"):
            llmbench.load_run(path)  # type: ignore[arg-type]


def test_the_first_ctrl_c_is_answered_at_once() -> None:
    reads, writes = os.pipe()
    with listening(writes) as stop:
        stop.listening = True
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal_number == signal.SIGINT
        said = os.read(reads, 1000).decode()
    assert "ending the run" in said
    assert "Once more leaves at once" in said
    os.close(reads)
    os.close(writes)
