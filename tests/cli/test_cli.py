"""The command line as a user meets it: its exit status and what it prints; in a process of its own where that matters."""

import json
import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from llmbench import __version__
from llmbench.cli import resume
from llmbench.cli.main import main
from tests.helpers.commands import lines_in, llmbench_program, only_run, start_llmbench, wait_until
from tests.helpers.paths import DATA, ROOT

pytestmark = pytest.mark.slow

MCQ = DATA / "mcq_sample.jsonl"
SLOW = ("engine=fake", "report=false", "engine.args={step_s: 0.05}", "batch_size=2")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the test's process is in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_settings_can_be_shown_without_loading_anything(tmp_path: Path) -> None:
    done = llmbench_program(
        "--cfg", "job", "--resolve", "model=qwen14b", "benchmark=[aime,gpqa]", folder=tmp_path
    )
    assert done.returncode == 0
    assert "hub_id: Qwen/Qwen2.5-14B-Instruct" in done.stdout
    code = "import sys; from llmbench.cli.compose import compose; compose(['benchmark=[aime,math]']); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert not {"torch", "vllm", "transformers", "datasets", "scipy", "sympy"} & set(loaded.stdout.split())


def test_help_shows_the_groups_and_examples(tmp_path: Path) -> None:
    done = llmbench_program("--help", folder=tmp_path)
    assert done.returncode == 0
    for part in (
        "benchmark: aime",
        "model: ",
        "profile: ",
        "python -m llmbench benchmark=aime model=qwen14b",
        *(f"python -m llmbench.{name} " for name in ("report", "runs", "compare", "regrade", "export")),
    ):
        assert part in done.stdout


def test_a_run_prints_its_table_and_leaves_its_folder(tmp_path: Path) -> None:
    done = llmbench_program("engine=fake", "limit=5", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    first, *_ = done.stdout.splitlines()
    assert "does not compare with published" in first
    assert "profile=published" in first
    assert "arithmetic" in done.stdout
    table = [line for line in done.stdout.splitlines() if line.startswith(("benchmark ", "arithmetic "))]
    assert len(table) == 2
    assert max(map(len, table)) <= 100
    run = only_run(tmp_path)
    assert run.name.endswith("_smollm2_arithmetic")
    names = {"config.yaml", "manifest.json", "samples.jsonl", "summary.json", "llmbench.log"}
    assert names <= {path.name for path in run.iterdir()}
    log = (run / "llmbench.log").read_text()
    assert all(sentence in log for sentence in (first, "engine=fake answers nonsense", "time to score"))
    assert json.loads((run / "manifest.json").read_text())["overrides"] == ["engine=fake", "limit=5"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["benchmark=amie"], "aime"),
        (["modle=qwen14b"], "model"),
        (["suite=fast"], "fastest"),
        (["foo"], "NAME=VALUE"),
        (["model.path=/no/such/folder"], "/no/such/folder"),
        (["benchmark=math", "benchmarks.math.data_files=/no/such.jsonl"], "/no/such.jsonl"),
        (["benchmark=aime"], "benchmarks.aime.data_files=PATH"),
        (["benchmark=gpqa"], "gpqa"),
        (["engine=fake", "engine.args={nonsense: 1}"], "step_s"),
        (["limit=0"], "limit=0"),
        (["benchmark=[aime,math"], "cannot be read"),
        (["engine=fake", "hydra.run.dir=/proc/no/such"], "hydra.run.dir"),
        (["benchmark=null"], "There is no benchmark called 'null'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_every_mistake_is_one_sentence(
    here: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    assert here.is_dir()
    assert main(arguments) == 1
    out, errors = capfd.readouterr()
    said = [line for line in errors.splitlines() if line.startswith("llmbench: ")]
    assert len(said) == 1, errors
    assert hint in said[0]
    assert "Traceback" not in errors + out


@pytest.mark.usefixtures("here")
def test_a_system_prompt_may_be_one_long_word() -> None:
    run = ("benchmark=arithmetic", "engine=fake", "limit=1", "report=false", "hydra.run.dir=run")
    assert main([*run, f"system_prompt={'x' * 5000}"]) == 0


@pytest.mark.filterwarnings("ignore")  # of transformers, when it is imported
def test_prompts_are_shown_without_leaving_anything(
    here: Path, smollm2: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ("benchmark=gpqa", f"benchmarks.gpqa.data_files={MCQ}", f"model.path={smollm2}")
    assert main([*settings, "show_prompts=2"]) == 0
    shown = capfd.readouterr().out
    assert shown.count("<|im_start|>assistant") == 2
    assert shown.count("The last of its tokens: ") == 2
    assert r"'<|im_start|>' 'ass' 'istant' '\n'" in shown
    assert "\nA. " in shown
    assert not list((here / "runs").iterdir())


def test_a_multirun_shows_failed_jobs_and_continues(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "engine=fake", "limit=3", "engine.args={break_after: 1}, {}", "batch_size=1"]) == 1
    out, errors = capfd.readouterr()
    assert "2 jobs: 1 finished, 1 failed" in out
    assert "job 0 failed: The fake engine broke" in out
    assert "Traceback" not in errors
    assert "Error executing job" not in errors
    (sweep,) = (here / "runs" / "multi").iterdir()
    jobs = json.loads((sweep / "summary.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["failed", "finished"]
    for number, status in enumerate(("failed", "finished")):
        assert json.loads((sweep / str(number) / "summary.json").read_text())["status"] == status


def test_a_sweep_over_batch_sizes_keeps_each_jobs_folder(here: Path) -> None:
    assert main(["-m", "engine=fake", "limit=6", "batch_size=1,2,4"]) == 0
    (sweep,) = (here / "runs" / "multi").iterdir()
    jobs = json.loads((sweep / "summary.json").read_text())["jobs"]
    assert [job["summary"]["engine"]["batch_size"] for job in jobs] == [1, 2, 4]
    assert all((sweep / str(n) / "samples.jsonl").read_text().count("\n") == 6 for n in range(3))


@pytest.mark.usefixtures("here")
def test_settings_with_brackets_survive_the_table_and_the_flag_may_stand_anywhere(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["engine=fake", "limit=2", "-m", "benchmarks.arithmetic.stop=['[/x]'],['a']"]) == 0
    said = capfd.readouterr().out
    assert "2 jobs: 2 finished; one engine load; the same for all: engine=fake limit=2" in said


def test_runs_that_begin_together_get_folders_of_their_own(tmp_path: Path) -> None:
    started = [
        start_llmbench(tmp_path, "engine=fake", "limit=2", "report=false", errors=tmp_path / f"{n}.txt")
        for n in range(3)
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 3
    assert all((folder / "samples.jsonl").read_text().count("\n") == 2 for folder in folders)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_of_a_runs_processes_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with start_llmbench(tmp_path, *SLOW) as process:
        journal = wait_for_journal(tmp_path, process)
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    last = said.splitlines()[-1]
    assert last.startswith("llmbench: Interrupted")
    assert "Traceback" not in said
    assert json.loads((journal.parent / "summary.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_run_is_one_word(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def signalled(arguments: list[str]) -> list[str]:
        signal.raise_signal(number)
        return arguments

    monkeypatch.setattr(resume, "expand", signalled)
    assert main(["engine=fake", "limit=1"]) == 128 + number
    assert capfd.readouterr().err == "llmbench: Interrupted.\n"


def wait_for_journal(folder: Path, process: subprocess.Popen[str]) -> Path:
    """The journal of the one run, once it has three lines."""
    wait_until(lambda: any(lines_in(path) >= 3 for path in folder.glob("runs/*/samples.jsonl")), process)
    return only_run(folder) / "samples.jsonl"


@pytest.mark.usefixtures("here")
def test_a_second_run_in_the_same_folder_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    command = ["engine=fake", "limit=2", "hydra.run.dir=here"]
    assert [main(command), main(command)] == [0, 1]
    assert "holds a run already" in capfd.readouterr().err


def test_the_version_is_llmbenchs_own_and_names_what_a_result_depends_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"llmbench {__version__}"
    assert second.startswith("Python 3.")
    assert f"hydra-core {metadata.version('hydra-core')}" in second
