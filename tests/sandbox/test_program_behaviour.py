"""Programs in the sandbox behave as under `python solution.py`: each case here gives what that command gives."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmbench.sandbox import Limits, Program, SandboxBox, Status

pytestmark = pytest.mark.usefixtures("sandboxed")
LIMITS = Limits(cpu_s=2, idle_s=2, wall_s=30)
ADD = "a, b = map(int, input().split())\n"
PROGRAMS = {
    "a thread that is not joined": f"import threading\ndef main():\n    {ADD}    print(a + b)\nthreading.Thread(target=main).start()",
    "a thread that sleeps first": "import threading, time\ndef main():\n    time.sleep(0.05)\n    print(1)\nthreading.Thread(target=main).start()",
    "a thread that starts a thread": "import threading, time\ndef last():\n    time.sleep(0.02)\n    print(2)\ndef first():\n    time.sleep(0.02)\n    threading.Thread(target=last).start()\nthreading.Thread(target=first).start()",
    "a timer": "import threading\nthreading.Timer(0.05, lambda: print(3)).start()",
    "a thread with a large stack and deep recursion": "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(256 << 20)\ndef deep(n): return 0 if n == 0 else 1 + deep(n - 1)\nthreading.Thread(target=lambda: print(deep(50000))).start()",
    "an executor that is not shut down": "from concurrent.futures import ThreadPoolExecutor\nimport time\nThreadPoolExecutor(2).submit(lambda: (time.sleep(0.05), print(4)))",
    "a daemon thread, which nobody waits for": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(9), print(5)), daemon=True).start()\nprint(6)",
    "a thread that raises": "import threading\nthreading.Thread(target=lambda: 1 / 0).start()\nprint(7)",
    "sys.exit while a thread runs": "import sys, threading, time\nthreading.Thread(target=lambda: (time.sleep(0.05), print(8))).start()\nsys.exit()",
    "exit handlers, the last first": "import atexit\natexit.register(print, 1)\natexit.register(print, 2)\nprint(0)",
    "an exit handler that writes a buffer": f"import atexit, io, os\nbuffer = io.BytesIO()\natexit.register(lambda: os.write(1, buffer.getvalue()))\n{ADD}buffer.write(b'%d' % (a + b))",
    "an exit handler that raises": "import atexit\natexit.register(print, 9)\natexit.register(lambda: 1 / 0)",
    "an exit handler behind sys.exit": "import atexit, sys\natexit.register(print, 10)\nsys.exit(0)",
    "an exit handler behind a thread": "import atexit, threading, time\natexit.register(print, 'handler')\nthreading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()",
    "weakref.finalize": "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 11)",
    "a file that is not closed": "out = open(1, 'w')\nout.write('12\\n')",
    "a destructor": "class A:\n    def __del__(self): print(13)\na = A()",
    "sys.stdout in another wrapper": "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint(14)",
    "sys.stdout that is put aside": "import io, sys\nsys.stdout = io.StringIO()\nprint('no')\nsys.__stdout__.write('15')",
    "sys.stdout of its own that writes when flushed": "import sys, os, io\nclass Out(io.StringIO):\n    def flush(self): os.write(1, self.getvalue().encode()); self.truncate(0); self.seek(0)\nsys.stdout = Out()\nprint(16)",
    "quit()": f"{ADD}print(a + b)\nquit()\nprint('no')",
    "exit(1)": f"{ADD}print(a + b)\nexit(1)",
    "quit in a function that reads all": "def main():\n    for line in iter(input, ''):\n        print(line)\n        quit()\nmain()",
    "SystemExit in a thread": "import threading\ndef main():\n    print(17)\n    exit()\nthreading.Thread(target=main).start()",
    "no arguments": f"import sys\nassert len(sys.argv) == 1\nif len(sys.argv) > 1: sys.stdin = open(sys.argv[1])\n{ADD}print(a + b)",
    "fileinput": "import fileinput\nprint([line.split() for line in fileinput.input()])",
    "fileinput with arguments": "import fileinput, sys\nprint(sum(int(x) for line in fileinput.input(sys.argv[1:]) for x in line.split()))",
    "argparse": f"import argparse\nargparse.ArgumentParser().parse_args()\n{ADD}print(a + b)",
    "the name of the program": "import os, sys\nprint(os.path.basename(sys.argv[0]), os.path.basename(__file__), __name__, __spec__, __doc__)",
    "a pickled object of its own": "import pickle\nclass P:\n    x = 18\nprint(pickle.loads(pickle.dumps(P())).x)",
    "a deep copy and a named tuple, pickled": "import copy, pickle\nfrom collections import namedtuple\nN = namedtuple('N', 'a b')\nprint(copy.deepcopy(N(1, 2)), pickle.loads(pickle.dumps(N(1, 2))))",
    "a dataclass with annotations as text": "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass(order=True)\nclass P:\n    x: int\nprint(P(1) < P(2), P(3))",
    "type hints": "import typing\nclass A:\n    b: 'A'\nprint(typing.get_type_hints(A))",
    "import __main__": "import __main__\nx = 19\nprint(__main__.x, 'run' in dir(__main__))",
    "its own source": "import inspect\ndef f(): return 20\nprint(inspect.getsource(f))",
    "processes of its own": "from multiprocessing import Pool\ndef f(x): return x * x\nif __name__ == '__main__':\n    with Pool(2) as pool: print(pool.map(f, [1, 2, 3]))",
    "line ends of Windows": "import sys\nprint(ascii(sys.stdin.read()))",
    "open(0)": "print(sum(map(int, open(0).read().split())))",
    "a comment and a docstring of a module": '"""Adds."""\nprint(__doc__)',
}


@pytest.fixture(scope="module")
def opened() -> Iterator[SandboxBox]:
    with SandboxBox(LIMITS) as box:
        yield box


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_writes_what_it_writes_outside(name: str, opened: SandboxBox, tmp_path: Path) -> None:
    stdin = "3 4\r\n5 6\r\n" if "Windows" in name else "3 4\n"
    (tmp_path / "solution.py").write_text(PROGRAMS[name])
    done = subprocess.run(
        [sys.executable, "solution.py"], input=stdin.encode(), capture_output=True, check=False, cwd=tmp_path
    )
    ran = opened.run(Program(PROGRAMS[name], stdin=stdin))
    assert ran.status is Status.DONE, ran
    assert ran.output == done.stdout.decode() != ""


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()", Status.TIME_LIMIT),
        ("import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin).start()", Status.TIME_LIMIT),
        ("import atexit, time\natexit.register(time.sleep, 60)", Status.TIME_LIMIT),
        ("import threading\nthreading.Thread(target=print).start()\n1 / 0", Status.RUNTIME_ERROR),
        ("import atexit\natexit.register(print, 1)\nraise ValueError", Status.RUNTIME_ERROR),
        ("import pickle\npickle.dumps(lambda: 0)", Status.RUNTIME_ERROR),
        ("import sys\nopen(sys.argv[1])", Status.RUNTIME_ERROR),
    ],
)  # fmt: skip
def test_what_never_ends_or_fails_is_still_seen(code: str, status: Status, opened: SandboxBox) -> None:
    limits = Limits(cpu_s=0.3, idle_s=0.3, wall_s=30) if status is Status.TIME_LIMIT else LIMITS
    assert opened.run(Program(code), limits).status is status


def test_a_thread_that_works_while_the_program_waits_for_it_is_not_idle(opened: SandboxBox) -> None:
    work = "import threading, time\ndef main():\n    end = time.thread_time() + 1.2\n    while time.thread_time() < end: pass\n    print(1)\nthreading.Thread(target=main).start()"
    ran = opened.run(Program(work), Limits(cpu_s=5, idle_s=0.5, wall_s=60))
    assert (ran.status, ran.output) == (Status.DONE, "1\n")


def test_a_thread_that_is_not_joined_has_one_verdict(opened: SandboxBox) -> None:
    """`tests/bench/verdicts.py` runs it more often and beside busy processes."""
    program = Program(PROGRAMS["a thread that is not joined"], stdin="3 4\n")
    assert {opened.run(program).output for _ in range(50)} == {"7\n"}


def test_the_order_of_a_set_is_the_same_in_every_sandbox() -> None:
    seen = set()
    for _ in range(3):
        with SandboxBox(LIMITS) as box:
            seen.add(box.run(Program("print({str(n) for n in range(50)})")).output)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("code", "method_first", "value"),
    [
        ("class Solution:\n    def f(self): return 1\ndef f(): return 2", True, 1),
        ("class Solution:\n    def f(self): return 1\ndef f(): return 2", False, 2),
        ("class Solution:\n    def f(self): return 1", False, 1),
        ("class Solution:\n    def g(self): return 1\ndef f(): return Solution().g() + 1", True, 2),
        ("class Solution:\n    def __init__(self, x): self.x = x\ndef f(): return Solution(2).x", True, 2),
        ("Solution = 3\ndef f(): return Solution", True, 3),
        ("from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(): return P(4).x", True, 4),
        ("import pickle\nclass P:\n    x = 5\ndef f(): return pickle.loads(pickle.dumps(P())).x", True, 5),
    ],
)  # fmt: skip
def test_which_function_is_called(code: str, method_first: bool, value: int, opened: SandboxBox) -> None:  # noqa: FBT001 - a row of the table
    ran = opened.run(Program(code, call="f", method_first=method_first))
    assert (ran.status, ran.value) == (Status.DONE, value), ran
