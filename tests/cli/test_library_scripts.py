"""Programs that use llmbench as a library, each in an interpreter of its own."""

import json
from pathlib import Path

from tests.helpers.commands import python

HEAVY = ("torch", "vllm", "hydra", "omegaconf", "pandas", "scipy", "datasets", "msgspec", "rich")
EVALUATE = 'llmbench.evaluate("arithmetic", engine="fake", limit=4, folder="run", report=False)\n'


def script(folder: Path, text: str) -> Path:
    path = folder / "script.py"
    path.write_text(text)
    return path


def test_importing_llmbench_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"import llmbench, sys; print([name for name in {HEAVY} if name in sys.modules])"
    assert python("-c", code, folder=tmp_path).stdout == "[]\n"


def test_a_script_without_a_guard_runs_once_and_prints_only_its_own_lines(tmp_path: Path) -> None:
    text = (
        f"import llmbench\nprint('begins')\nrun = {EVALUATE}print(run.summary.status)\n"
        "from llmbench.regrade import regrade_run\nprint(len(regrade_run('run').results))\n"
    )
    done = python(str(script(tmp_path, text)), folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "begins\nfinished\n4\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert "arithmetic 4/4" in done.stderr


def test_what_libraries_print_to_the_standard_output_goes_to_the_log(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import os\nfrom llmbench.benchmarks.arithmetic import *\n"
        "class Noisy(Arithmetic):\n"
        "    def load(self, *args):\n"
        "        print('from Python')\n        os.write(1, b'from C\\n')\n        return super().load(*args)\n"
        "BENCHMARK = Noisy()\n"
    )
    text = (
        "import llmbench\n"
        + EVALUATE.replace("report=False", "report=False, **{'benchmarks.arithmetic.module': 'noisy'}")
        + "print('mine')\n"
    )
    done = python(str(script(tmp_path, text)), folder=tmp_path)
    assert done.stdout == "mine\n", done.stderr
    log = (tmp_path / "run" / "llmbench.log").read_text()
    assert "from Python" in log
    assert "from C" in log


def test_a_process_of_the_script_s_own_that_imports_it_again_is_refused_in_one_sentence(
    tmp_path: Path,
) -> None:
    text = (
        "import multiprocessing, llmbench\ndef work(): pass\n"
        + EVALUATE.replace('folder="run"', "quiet=True")
        + "process = multiprocessing.get_context('spawn').Process(target=work)\n"
        "process.start(); process.join(); print(process.exitcode)\n"
    )
    done = python(str(script(tmp_path, text)), folder=tmp_path)
    assert done.stdout == "1\n"
    assert 'put the call below `if __name__ == "__main__":`.' in done.stderr.splitlines()[-1]
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_session_that_is_left_open_lets_the_program_end(tmp_path: Path) -> None:
    text = 'import llmbench\ns = llmbench.Session(engine="fake", quiet=True)\ns.evaluate("arithmetic", limit=2)\nprint("ends")\n'
    done = python(str(script(tmp_path, text)), folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ends\n", "")


def test_a_session_that_a_process_of_multiprocessing_leaves_open_lets_it_end(tmp_path: Path) -> None:
    text = (
        "import multiprocessing, llmbench\n"
        "def work():\n    global session\n    session = llmbench.Session()\n    session."
        + EVALUATE.partition(".")[2]
        + "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    process.start(); process.join(); print(process.exitcode)\n"
    )
    assert python(str(script(tmp_path, text)), folder=tmp_path).stdout == "0\n"


def test_a_refusal_is_an_exception_with_one_sentence_and_a_short_traceback(tmp_path: Path) -> None:
    text = 'import llmbench\nllmbench.evaluate("arithmetic", engine="fake", limt=4)\n'
    done = python(str(script(tmp_path, text)), folder=tmp_path)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.count("There is no setting called 'limt'") == 1
    assert "hydra" not in done.stderr
    assert done.stderr.count("Traceback") == 1


def test_a_second_ctrl_c_ends_the_run_at_once_and_not_the_program(tmp_path: Path) -> None:
    text = (
        "import json, os, signal, threading, llmbench\nfrom pathlib import Path\n"
        "from tests.helpers.commands import lines_in, wait_until\n"
        "def interrupt():\n"
        "    wait_until(lambda: lines_in(Path('run/samples.jsonl')))\n"
        "    os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt).start()\n"
        "try:\n"
        '    llmbench.evaluate("arithmetic", engine="fake", limit=40, batch_size=1, folder="run", **{"engine.args": {"step_s": 0.05}})\n'
        "except KeyboardInterrupt:\n"
        "    print(json.dumps(llmbench.load_run('run').summary.status))\n"
    )
    done = python(str(script(tmp_path, text)), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == "interrupted"
