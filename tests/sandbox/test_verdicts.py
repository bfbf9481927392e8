"""What a program does to its own sandbox, or says of itself, is its own failure; all its time counts; nothing of it is left for the next."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from llmbench.benchmarks import humaneval, programs
from llmbench.benchmarks.humaneval import HumanEval
from llmbench.benchmarks.programs import Judged, ProgramVerdict
from llmbench.records import Sample
from llmbench.sandbox import Limits, Program, Ran, SandboxBox, Status, start
from llmbench.sandbox.container import BrokenBoxError
from llmbench.sandbox.runner.values import Unknown, dumps, loads
from tests.helpers.humaneval_forms import ROW

pytestmark = pytest.mark.usefixtures("sandboxed")
LIMITS = Limits(cpu_s=1, idle_s=5, wall_s=120, memory_bytes=256 << 20, processes=32)
OVER = replace(LIMITS, cpu_s=0.4)
"""For what is to run out of CPU time."""
BURN = (
    "import os, signal, sys, time\n"
    "def burn(seconds):\n    end = time.process_time() + seconds\n    while time.process_time() < end: pass\n"
    "ended, alive = os.pipe()\n"
    "def until_all_end():\n    os.close(alive)\n    os.read(ended, 1)\n"
)


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxBox]:
    with SandboxBox(LIMITS) as opened:
        yield opened


# Verdicts.

SIGNALS = "import os\nfor number in range(1, 65):\n    for process in (1, os.getppid()):\n        try: os.kill(process, number)\n        except OSError: pass\n"


def test_no_signal_reaches_the_box() -> None:
    with SandboxBox(LIMITS) as opened:
        pid = opened._process.pid
        code = "import os, time\nfor number in (2, 15, 19, 9): os.kill(1, number)\ntime.sleep(0.2)\nprint(1)"
        assert opened.run(Program(code)).output == "1\n"
        assert opened.run(Program(SIGNALS + "print(2)")).output == "2\n"
        assert opened.run(Program("print(3)")).output == "3\n"
        assert opened._process.pid == pid


def said(text: str) -> str:
    """A program that writes this where a job's process says how it ended."""
    return (
        f"import os\ndef f(*_):\n    data = {text!r}.encode()\n"
        "    for number in range(3, 256):\n"
        "        try:\n            while data: data = data[os.write(number, data):]\n"
        "        except OSError: pass\n    os._exit(0)"
    )


FORGED = {
    f"{name}, depth {depth}": f'{{"status": "done"}}\n{opening * depth}{closing * depth}'
    for name, opening, closing in (("lists", "[", "]"), ("tuples", '{"t":[', "]}"), ("dicts", '{"d":[[1,', "]]}"))
    for depth in (150, 500, 5000, 100_000)
} | {
    "a value that is none": '{"status": "done"}\n{"z": 1}',
    "no JSON": '{"status": "done"}\n[1',
    "a number of a million digits": '{"status": "done"}\n' + "9" * 1_000_000,
    "a deep head": "[" * 4000,
    "a long head": '{"status": "done", "why": "' + "x" * 100_000 + '"}\n6',
    "another status": '{"status": "refused"}\n6',
    "what the old form was": '{"status": "done", "value": 6}\n',
    "members with one hash": '{"status": "done"}\n' + json.dumps({"s": [{"i": hex(n * (2**61 - 1))} for n in range(40_000)]}),
    "keys with one hash": '{"status": "done"}\n' + json.dumps({"d": [[{"i": hex(n * (2**61 - 1))}, 1] for n in range(40_000)]}),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_answer_is_the_programs_own_failure(
    case: str, box: SandboxBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = programs.judge(box, said(FORGED[case]), "", [programs.Test("", "", (), 6)], "f")
    assert found.verdict in {ProgramVerdict.RUNTIME_ERROR, ProgramVerdict.WRONG_ANSWER}, found
    assert box.run(Program("print(1)")).output == "1\n"
    monkeypatch.setattr(humaneval, "CHECK_S", 1)  # which members with one hash use up, twice
    found = HumanEval().judged(problem(), said(FORGED[case]).replace("def f", "def total"))
    assert found.verdict in {ProgramVerdict.RUNTIME_ERROR, ProgramVerdict.WRONG_ANSWER}, found


@pytest.mark.parametrize("number", range(100, 103))
def test_whoever_closes_the_sandboxs_files_has_failed(number: int) -> None:
    with SandboxBox(LIMITS) as opened:
        pid = opened._process.pid
        ran = opened.run(Program(f"import os\nos.close({number})\ndef f(): return 6", call="f"))
        assert (ran.status, opened._process.pid) == (Status.RUNTIME_ERROR, pid), ran


def test_whoever_ends_the_sandbox_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(start.VARIABLE, "none")  # there, a program can
    with SandboxBox(LIMITS) as opened:
        assert opened.run(Program("print(1)")).output == "1\n"
        ran = opened.run(Program("import os, signal\nos.kill(os.getppid(), 9)"))
        assert ran.status is Status.RUNTIME_ERROR, ran
        assert opened.run(Program("print(1)")).output == "1\n"


def test_a_sandbox_that_ends_by_itself_while_a_program_runs_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with SandboxBox(LIMITS) as opened:
        receive, answers = opened._receive, []

        def dies_once(limit_s: float) -> dict[str, object]:
            answers.append(receive(limit_s))
            if len(answers) == 2:  # the box is ready, and the program has begun
                opened._process.kill()
                raise BrokenBoxError("it ended")
            return answers[-1]

        monkeypatch.setattr(opened, "_receive", dies_once)
        assert opened.run(Program("print(1)")).output == "1\n"


def test_a_sandbox_that_never_works_is_no_failure_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    with SandboxBox(LIMITS) as opened:
        assert opened.run(Program("print(1)")).output == "1\n"
        monkeypatch.setattr(start, "BEGIN", "raise SystemExit")
        opened._restart()
        assert opened.run(Program("print(1)")).status is Status.REFUSED


# Values.


def nested(levels: int) -> object:
    """Sets in sets, whose members differ but hash alike."""
    return (-1, -2) if not levels else {"f": [{"t": [n, nested(levels - 1)]} for n in (-1, -2)] * 12}


HARD = {
    "nested sets": {"s": [{"f": [{"t": [n, {"f": [{"t": [m, k]} for k in range(100)]}]} for m in (-1, -2) for k in range(80)]} for n in range(2)]},
    "keys on one path": {"d": [[n << 20, 0] for n in range(20_000)]},
    "keys of a view": {"K": [n << 20 for n in range(20_000)]},
    "pairs of a view": {"I": [[n << 20, 0] for n in range(20_000)]},
}  # fmt: skip


@pytest.mark.parametrize("case", HARD)
def test_what_could_take_long_to_read_is_equal_to_nothing(case: str) -> None:
    hard, other = loads(f"[{json.dumps(HARD[case])}, 7]")
    assert isinstance(hard, Unknown)
    assert other == 7


@pytest.mark.parametrize("limit", [1000, 100_000])
def test_deep_nesting_is_refused_whatever_the_recursion_limit(limit: int) -> None:
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(limit)
        for opening, closing in (("[", "]"), ('{"t":[', "]}"), ('["\\"[",', "]")):
            with pytest.raises(ValueError, match="nested deeper"):
                loads(opening * 100_000 + "1" + closing * 100_000)
    finally:
        sys.setrecursionlimit(before)
    assert loads(json.dumps(["[{" * 1000, '"[' * 1000, "\\"])) == ["[{" * 1000, '"[' * 1000, "\\"]


@pytest.mark.parametrize("kind", [set, frozenset, dict.fromkeys, lambda members: {(n,) for n in members}])
def test_members_that_hash_alike_are_equal_to_nothing(kind: object) -> None:
    few = [n * (2**61 - 1) for n in range(200)]
    for members in (few, [-1, -2], range(8_000)):
        assert loads(dumps(kind(members))) == kind(members)  # type: ignore[operator]
    text = dumps(kind([1]))  # type: ignore[operator]
    many = ",".join(
        text.partition("[")[2].rpartition("]")[0].replace("1", json.dumps({"i": hex(n * (2**61 - 1))}), 1)
        for n in range(40_000)
    )
    assert isinstance(loads(f"{text.partition('[')[0]}[{many}]}}"), Unknown)


def test_values_are_bounded() -> None:
    endless: list[object] = []
    endless.append(endless)
    for value in (endless, iter(int, 1)):
        with pytest.raises(ValueError, match=r"nested deeper|parts"):
            dumps(value)
    for text in ("[" * 10**6, "[" * 300 + "]" * 300, "[" + "[]," * (2 * 10**6) + "1]"):
        with pytest.raises(ValueError, match=r"Recursion|nested deeper|parts"):
            loads(text)


# Time.

ESCAPES = {
    "children that nobody waits for": "for _ in range(3):\n    if not os.fork():\n        burn(9)\nuntil_all_end()",
    "children that the kernel reaps": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nfor _ in range(20):\n    if not os.fork():\n        burn(0.2)\n        os._exit(0)\n    try: os.wait()\n    except OSError: pass",
    "short children that the kernel reaps": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nfor _ in range(500):\n    if not os.fork():\n        burn(0.008)\n        os._exit(0)\n    try: os.wait()\n    except OSError: pass",
    "double forks": "for _ in range(20):\n    r, w = os.pipe()\n    if not os.fork():\n        os.setsid()\n        if not os.fork():\n            burn(0.2)\n            os.write(w, b'x')\n        os._exit(0)\n    os.wait()\n    os.read(r, 1)",
    "children of children that ended": "def chain(n):\n    if n and not os.fork():\n        burn(0.2)\n        chain(n - 1)\n        os._exit(0)\nchain(20)\nuntil_all_end()",
}


@pytest.mark.parametrize("case", ESCAPES)
def test_the_time_of_all_processes_counts(case: str, box: SandboxBox) -> None:
    ran = box._run(Program(BURN + ESCAPES[case]), OVER)  # not again alone
    assert (ran.status, "CPU time" in ran.why) == (Status.TIME_LIMIT, True), ran


def test_children_that_are_waited_for_count_once() -> None:
    code = f"{BURN}for _ in range(40):\n    if not os.fork():\n        burn(0.02)\n        os._exit(0)\n    os.wait()\nprint(sum(os.times()[:4]))"
    with SandboxBox(LIMITS) as opened:
        ran = opened.run(Program(code), replace(LIMITS, cpu_s=20))
    assert ran.cpu_s is not None
    assert 0.75 < ran.cpu_s / float(ran.output) < 1.5, ran


def test_a_program_that_waits_for_its_busy_child_is_not_idle() -> None:
    code = f"{BURN}if not os.fork():\n    burn(1)\n    os._exit(0)\nos.wait()\nprint(1)"
    with SandboxBox(LIMITS) as opened:
        assert opened.run(Program(code), Limits(cpu_s=5, idle_s=0.5, wall_s=60)).output == "1\n"


STEAL = (
    "thief = os.open('/proc/self/fd/{fd}', os.O_RDONLY | os.O_NONBLOCK)\n"
    "def steal():\n    while True:\n        os.write({fd}, b' ')\n        try: os.read(thief, 10)\n        except BlockingIOError: pass\n"
)


@pytest.mark.parametrize("fd", [1, 100])
def test_whoever_takes_what_it_wrote_out_of_the_pipe_is_still_watched(fd: int) -> None:
    code = f"{BURN}{STEAL.format(fd=fd)}import threading\nfor _ in range(3): threading.Thread(target=steal).start()"
    with SandboxBox(LIMITS) as opened:
        assert opened._run(Program(code), OVER).status is not Status.DONE
        assert opened.run(Program("print(1)")).output == "1\n"


def test_files_in_flight_do_not_stay_for_the_next_test() -> None:
    code = (
        "import array, socket\nkept = open('/tmp/kept', 'wb')\nkept.write(b'x' * (8 << 20))\nkept.flush()\n"
        "one, two = socket.socketpair()\n"
        "for s, files in ((one, [kept, one, two]), (two, [kept, one, two])):\n"
        "    s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [f.fileno() for f in files]))])"
    )
    with SandboxBox(LIMITS) as opened:
        assert opened.run(Program(code)).status is Status.DONE
        left = opened.run(
            Program("import os\nabout = os.statvfs('/tmp')\nprint(about.f_files - about.f_ffree)")
        )
        assert left.output == "3\n", left  # the folder and the test's own input and arguments


@pytest.mark.parametrize("thread", [False, True])
def test_a_program_that_writes_on_when_its_first_process_has_ended_is_watched(*, thread: bool) -> None:
    code = f"{BURN}if not os.fork():\n    while True: os.write(1, b'x'); time.sleep(0.001)\n"
    code += "import threading\nthreading.Thread(target=time.sleep, args=(0.1,)).start()" if thread else ""
    with SandboxBox(LIMITS) as opened:
        opened.run(Program(code), replace(LIMITS, wall_s=3))
        assert opened.run(Program("print(1)")).output == "1\n"


def test_what_could_not_begin_is_tried_once_in_a_new_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    with SandboxBox(LIMITS) as opened:
        asked = opened._asked
        refused = [Ran(Status.REFUSED, "no space")]
        monkeypatch.setattr(opened, "_asked", lambda *given: refused.pop() if refused else asked(*given))
        assert opened.run(Program("print(1)")).output == "1\n"


def test_signals_are_as_python_has_them() -> None:
    code = (
        "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt: print('interrupted')\n"
        "r, w = os.pipe()\nos.close(r)\ntry: os.write(w, b'x')\nexcept BrokenPipeError: print('broken')"
    )
    with SandboxBox(LIMITS) as opened:
        assert opened.run(Program(code)).output == "interrupted\nbroken\n"


BUSY = {
    "short children": "for _ in range(90):\n    if not os.fork():\n        burn(0.012)\n        os._exit(0)\n    os.wait()",
    "pythons": "import subprocess\nfor _ in range(60): subprocess.run([sys.executable, '-S', '-c', 'pass'])",
    "pipelines": "import subprocess\nfor _ in range(200): subprocess.run('echo 1 | cat | cat', shell=True, stdout=subprocess.DEVNULL)",
    "threads that wait for each other": "import threading\nend = time.process_time() + 1.2\ndef spin():\n    while time.process_time() < end: pass\n"
    "spinning = [threading.Thread(target=spin) for _ in range(4)]\nfor t in spinning: t.start()\nfor t in spinning: t.join()",
}


@pytest.mark.parametrize("case", BUSY)
def test_a_program_whose_processes_or_threads_take_turns_is_not_idle(case: str, box: SandboxBox) -> None:
    code = f"{BURN}{BUSY[case]}\nprint(1)"
    ran = box.run(Program(code), Limits(cpu_s=60, idle_s=0.7, wall_s=120))
    assert ran.output == "1\n", ran


# What is left.

LEAVES = {
    "a file": "open('/tmp/kept', 'w').write('x')",
    "a hidden file in closed folders": "import os\nos.makedirs('/tmp/a/.b')\nopen('/tmp/a/.b/kept', 'w').write('x')\nos.chmod('/tmp/a', 0)",
    "more files than anyone counts": "for n in range(5000): open(f'/tmp/{n}', 'w')",
    "folders in folders": "import os\nfor _ in range(3000):\n    os.mkdir('a')\n    os.chdir('a')",
    "shared memory": "open('/dev/shm/kept', 'w').write('x')",
    "a link": "import os\nos.symlink('/usr', '/tmp/usr')",
    "a closed folder": "import os\nos.chmod('/tmp', 0o500)",
    "the time of a folder": "import os\nos.utime('/tmp', (12345, 67890))",
    "a process with a socket": "import os, socket, time\nif not os.fork():\n    os.setsid()\n    s = socket.socket(socket.AF_UNIX)\n    s.bind('\\0kept')\n    s.listen()\n    time.sleep(60)\ntime.sleep(0.2)",
}  # fmt: skip
LOOK = (
    "import os, socket\nprint(os.stat('/tmp').st_mtime == 67890)\nopen('/tmp/new', 'w').close()\nos.unlink('/tmp/new')\n"
    "try: socket.socket(socket.AF_UNIX).connect('\\0kept'); print('kept')\nexcept OSError: pass\n"
    "print([*os.listdir('/tmp'), *os.listdir('/dev/shm'), *(p for p in os.listdir('/proc') if p.isdigit() and p not in ('1', str(os.getpid())))])"
)


@pytest.mark.parametrize("case", LEAVES)
def test_a_test_begins_with_nothing_of_the_one_before(case: str, box: SandboxBox) -> None:
    assert box.run(Program(LEAVES[case])).status is Status.DONE
    assert box.run(Program(LOOK)).output == "False\n[]\n"


# HumanEval.


def problem(cpu_s: float = 1, **changes: object) -> Sample:
    (found,) = HumanEval().load([{**ROW, **changes}], {"cpu_s": cpu_s}, 0)
    return found


def judged(code: str, test: str, cpu_s: float = 1) -> Judged:
    """Of a function `total` and lines that call it `candidate`."""
    check = "def check(candidate):\n" + "".join(f"    {line}\n" for line in test.splitlines())
    return HumanEval().judged(problem(cpu_s, test=check), code)


def judged_values(values: Iterable[str], checks: Iterable[str]) -> Judged:
    """Of a function that returns the values, each by its number, and a check of all."""
    code = f"def total(n):\n    return [{', '.join(f'lambda: {value}' for value in values)}][n]()"
    return judged(code, "\n".join(checks), cpu_s=60)


VALUES = {
    "range(3)": {"== range(3)": True, "== [0, 1, 2]": False, "[1] == 1": True},
    "(x for x in [1, 2])": {"== [1, 2]": False, "== (1, 2)": False},
    "map(str, [1, 2])": {"== ['1', '2']": False},
    "{1: 2, 3: 4}.keys()": {"== {1, 3}": True, "== [1, 3]": False},
    "{1: 2}.items()": {"== {(1, 2)}": True, "== [(1, 2)]": False},
    "{1: 2}.values()": {"== [2]": False},
    "__import__('decimal').Decimal('3')": {"== 3": True, "== 3.0": True, "== '3'": False},
    "__import__('decimal').Decimal('0.1')": {"== 0.1": False},
    "__import__('fractions').Fraction(1, 2)": {"== 0.5": True, "== 0.25": False},
    "type('I', (), {'__index__': lambda self: 3})()": {"== 3": False},
    "type('F', (), {'__float__': lambda self: 3.0})()": {"== 3.0": False},
    "type('L', (list,), {})([1])": {"== [1]": True},
    "__import__('enum').IntEnum('E', 'A').A": {"== 1": True},
    "__import__('collections').deque([1])": {"== [1]": False},
    "__import__('collections').Counter('aa')": {"== {'a': 2}": True},
    "__import__('numpy').int64(3)": {"== 3": True},
    "__import__('numpy').float64(0.5)": {"== 0.5": True},
    "True": {"== 1": True, "is True": True},
    "b'x'": {"== b'x'": True, "== 'x'": False},
}


def test_values_equal_what_they_equal_in_python() -> None:
    found = judged_values(
        VALUES,
        (
            f"assert (candidate({number}){' ' * (rest[0] != '[')}{rest}) is {expected}, {f'{value} {rest}'!r}"
            for number, (value, same) in enumerate(VALUES.items())
            for rest, expected in same.items()
        ),
    )
    assert found.verdict is ProgramVerdict.PASSED, found


ITERABLE = (
    "range(3)",
    "(x for x in range(3))",
    "map(int, '012')",
    "dict.fromkeys(range(3)).keys()",
    "__import__('collections').deque(range(3))",
    "__import__('numpy').arange(3)",
)


def test_a_check_may_iterate_over_what_can_be_iterated() -> None:
    checks = (
        f"assert tuple(candidate({number})) == (0, 1, 2), {value!r}" for number, value in enumerate(ITERABLE)
    )
    found = judged_values(ITERABLE, checks)
    assert found.verdict is ProgramVerdict.PASSED, found


def test_what_a_value_does_to_the_check_is_the_programs_own_failure() -> None:
    code = "def total():\n    return range(10**15)"
    assert judged(code, "assert list(candidate()) == []").verdict is ProgramVerdict.WRONG_ANSWER
    code = "from decimal import Decimal\ndef total():\n    return Decimal('1e999999999')"
    assert judged(code, "assert int(candidate()) == 1").verdict is ProgramVerdict.WRONG_ANSWER


CALLS = "for n in range(4): assert candidate(n) == n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"{BURN}burn(0.25)\ndef total(n):\n    return n", ProgramVerdict.PASSED),  # every call loads it; that counts once
        (f"{BURN}burn(0.2)\ndef total(n):\n    burn(0.3)\n    return n", ProgramVerdict.TIME_LIMIT),
        (f"{BURN}def total(n):\n    burn(0.4)\n    return n", ProgramVerdict.TIME_LIMIT),
        (  # what says that it is loaded has begun its call
            f"{BURN}if sys._getframe(1).f_locals['job'].get('call'):\n    os.write(100, b'loaded\\n')\n    burn(0.3)\ndef total(n):\n    return n",
            ProgramVerdict.RUNTIME_ERROR,
        ),
        (  # arguments are not there before
            "import gc\nfound = [o for o in gc.get_objects() if isinstance(o, dict) and 'arguments' in o and 'code' in o]\ndef total(n):\n    return None if found else n",
            ProgramVerdict.PASSED,
        ),
    ],
)  # fmt: skip
def test_the_time_of_loading_is_apart(code: str, expected: ProgramVerdict) -> None:
    assert judged(code, CALLS).verdict is expected
