"""The sandbox: what programs may do, and one test for each thing that none may do to the host."""

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from llmbench import sandbox
from llmbench.errors import ConfigError
from llmbench.sandbox import Limits, Program, Ran, SandboxBox, Status, start
from llmbench.sandbox.runner.values import dumps, loads
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.usefixtures("sandboxed")
MIB = 1 << 20
TIGHT = Limits(
    cpu_s=1,
    idle_s=1,
    wall_s=30,
    memory_bytes=256 * MIB,
    processes=16,
    file_bytes=4 * MIB,
    disk_bytes=8 * MIB,
    output_bytes=MIB,
)


SHORT = replace(TIGHT, cpu_s=0.3, idle_s=0.3)
"""For what is to run out of time, which is run twice."""


@cache
def box() -> SandboxBox:
    return SandboxBox(TIGHT)


@pytest.fixture(scope="module", autouse=True)
def _box_is_closed() -> Iterator[None]:
    yield
    box().close()
    box.cache_clear()


def run(code: str, stdin: str = "", limits: Limits = TIGHT) -> Ran:
    """Runs a program; whatever it did, the box still works afterwards and nothing of the program is left in it."""
    ran = box().run(Program(code, stdin=stdin), limits)
    after = box().run(Program("import os\nprint(sorted(p for p in os.listdir('/proc') if p.isdigit()))"))
    assert after.status is Status.DONE, after
    assert after.output.count("'") == 4, after.output  # the box's own process, and this one
    return ran


def test_a_program_reads_and_writes() -> None:
    ran = run("print(input()[::-1])", "stressed\n")
    assert (ran.status, ran.output, ran.why) == (Status.DONE, "desserts\n", "")
    assert ran.cpu_s is not None


@pytest.mark.parametrize(
    ("code", "status", "why"),
    [
        ("def f(:", Status.COMPILE_ERROR, "SyntaxError"),
        ("1 / 0", Status.RUNTIME_ERROR, "ZeroDivisionError"),
        ("import os\nos.kill(os.getpid(), 11)", Status.RUNTIME_ERROR, "signal 11"),
        ("while True: pass", Status.TIME_LIMIT, "CPU time"),
        ("import time\ntime.sleep(60)", Status.TIME_LIMIT, "waits"),
        ("x = bytearray(1 << 40)", Status.MEMORY_LIMIT, "256 MiB"),
        ("raise SystemExit('no')", Status.DONE, ""),
        ("import os\nprint(1, flush=True)\nos._exit(3)", Status.DONE, ""),
    ],
)
def test_each_end_has_its_name(code: str, status: Status, why: str) -> None:
    ran = run(code, limits=SHORT if status is Status.TIME_LIMIT else TIGHT)
    assert ran.status is status, ran
    assert why in ran.why


def test_calls_keep_types_apart() -> None:
    code = "def give(*values): return [*values, (1, 2), {3}, {4: 5}, None, 2 ** 70, float('inf'), b'6', object()]"
    with SandboxBox(TIGHT) as opened:
        ran = opened.run(Program(code, call="give", arguments=[{"a": (1,)}, "ü"]))
    *plain, last = ran.value
    assert plain == [{"a": (1,)}, "ü", (1, 2), {3}, {4: 5}, None, 2**70, float("inf"), b"6"]
    assert repr(last) == "<object>"
    assert last != last.name


@pytest.mark.parametrize(
    "value", [[], (), {}, set(), frozenset({1}), [(1, {"a": [None, True]})], 1.5, 3j, -(2**80)]
)
def test_what_is_encoded_comes_back(value: object) -> None:
    back = loads(dumps(value))
    assert back == value
    assert type(back) is type(value)


def test_one_test_leaves_nothing_to_the_next_program() -> None:
    with SandboxBox(TIGHT) as opened:
        first = opened.run(Program("import sys, builtins\nbuiltins.print = None\nsys.modules['math'] = None"))
        assert first.status is Status.DONE
        assert opened.run(Program("import math\nprint(math.pi)")).output.startswith("3.14")


# What must not reach the host.


def test_no_shadow_and_no_home() -> None:
    assert "FileNotFoundError" in run("open('/etc/shadow')").why
    assert "FileNotFoundError" in run(f"import os\nos.listdir({str(Path.home())!r})").why
    seen = run("import os\nprint(os.listdir('/'), os.getuid(), os.environ)").output
    assert "home" not in seen
    assert "root" not in seen.replace("python", "")
    assert str(os.getuid() or "nobody") not in seen or os.getuid()


def test_no_writing_outside_tmp(tmp_path: Path) -> None:
    for place in (
        "/usr/x",
        "/x",
        "/etc/x",
        "/dev/x",
        "/runner/main.py",
        str(tmp_path / "x"),
        "/proc/sys/kernel/hostname",
    ):
        ran = run(f"open({place!r}, 'w').write('x')")
        assert ran.status is Status.RUNTIME_ERROR, (place, ran)
    assert list(tmp_path.iterdir()) == []
    assert run("open('/tmp/x', 'w').write('x')\nprint(open('/tmp/x').read())").output == "x\n"


def test_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)")
        assert ran.status is Status.RUNTIME_ERROR
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    assert "unreachable" in run("import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=1)").why


def test_a_fork_bomb_ends() -> None:
    ran = run("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", limits=SHORT)
    assert ran.status in {Status.TIME_LIMIT, Status.MEMORY_LIMIT, Status.RUNTIME_ERROR}
    assert run("import os\nwhile True: os.fork()", limits=SHORT).status is not Status.REFUSED


def test_memory_has_an_end_for_one_process_and_for_many() -> None:
    assert run("x = []\nwhile True: x.append(bytearray(1 << 20))").status is Status.MEMORY_LIMIT
    many = "import os, time\nfor _ in range(9):\n    if not os.fork(): break\nx = bytearray(60 << 20)\ntime.sleep(9)"
    assert run(many).status is Status.MEMORY_LIMIT


def test_cpu_time_of_children_counts() -> None:
    code = "import os\nif os.fork() or os.fork() or os.fork():\n    while True: pass\nwhile True: pass"
    assert run(code, limits=SHORT).status is Status.TIME_LIMIT


def test_cpu_time_of_a_process_with_any_name_counts() -> None:
    code = (
        "import ctypes, os, time\nfor _ in range(4):\n    if not os.fork():\n"
        "        ctypes.CDLL(None).prctl(15, b'\\xff) Z', 0, 0, 0)\n        while True: pass\ntime.sleep(9)"
    )
    ran = run(code, limits=replace(SHORT, idle_s=20))
    assert (ran.status, "all its processes" in ran.why) == (Status.TIME_LIMIT, True), ran


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])  # noqa: S108 - the box's own
def test_the_disk_has_an_end(folder: str) -> None:
    code = f"for n in range(99):\n    open(f'{folder}/{{n}}', 'wb').write(b'x' * (1 << 20))"
    assert "No space left" in run(code).why


def test_no_file_grows_past_its_limit() -> None:
    assert run("open('/tmp/x', 'wb').write(b'x' * (5 << 20))").status is Status.RUNTIME_ERROR


def test_signals_are_no_way_out_of_the_time_limit() -> None:
    code = "import signal\nfor n in (15, 24, 2, 14): signal.signal(n, signal.SIG_IGN)\nwhile True: pass"
    assert run(code, limits=SHORT).status is Status.TIME_LIMIT


def test_no_daemon_stays() -> None:
    code = "import os, time\nif not os.fork():\n    os.setsid()\n    if not os.fork(): time.sleep(99)\n    os._exit(0)\nprint('gone')"
    assert run(code).output == "gone\n"  # `run` looks for what is left


def test_the_box_cannot_be_killed_or_read_from_inside() -> None:
    killed = run("import os\nfor pid in (1, os.getppid()):\n    os.kill(pid, 9)\nprint('still here')")
    assert killed.output == "still here\n"
    assert "PermissionError" in run("open('/proc/1/mem', 'rb').read(1)").why
    assert run("import os\nprint(os.readlink('/proc/1/fd/0'))").status is Status.RUNTIME_ERROR


def test_a_flood_of_output_ends() -> None:
    ran = run("while True: print('x' * 10000)")
    assert (ran.status, ran.output) == (Status.RUNTIME_ERROR, "")
    assert "output" in ran.why


def test_what_it_says_cannot_steer_a_terminal() -> None:
    ran = run(r"raise ValueError('\x1b[2J\x07')")
    assert ran.status is Status.RUNTIME_ERROR
    assert (
        "ValueError" in ran.why
    )  # shown escaped: by the terminal and by the report, as all that models write


def test_forged_findings_count_for_nothing() -> None:
    forged = (
        "import os\nfor fd in range(3, 256):\n"
        '    try: os.write(fd, b\'{"status": "done", "value": 42}\\n\')\n    except OSError: pass\n'
        "def f(): return 41"
    )
    ran = box().run(Program(forged, call="f"), SHORT)
    assert ran.value != 42 or ran.status is not Status.DONE
    assert box().run(Program("print(1)")).output == "1\n"


@pytest.mark.parametrize(
    "value",
    ['{"i": "x"}', '{"a": 1, "b": 2}', '{"s": [[1]]}', '{"t": 5}', '{"d": [1]}', "[" * 900 + "]" * 900, "{}"],
)
def test_a_forged_value_is_the_programs_own_error(value: str) -> None:
    code = f'import os\ndef f():\n    os.write(100, b\'{{"status": "done", "value": {value}}}\')\n    os._exit(0)'
    ran = box().run(Program(code, call="f"))
    assert ran.status is Status.RUNTIME_ERROR or ran.value is not None, ran
    assert box().run(Program("print(1)")).output == "1\n"


@pytest.mark.parametrize(
    "told", ['{"status": []}', '{"status": "done", "why": [[[]]]}', "[]", "null", "nonsense"]
)
def test_a_forged_status_does_not_break_the_box(told: str) -> None:
    code = f"import os\ndef f():\n    os.write(100, {told.encode()!r})\n    os._exit(0)"
    assert box().run(Program(code, call="f")).status in {Status.RUNTIME_ERROR, Status.DONE}
    assert box().run(Program("print(1)")).output == "1\n"


def test_what_is_said_can_be_written_down() -> None:
    assert run("raise ValueError('\\ud800\\x1b')").why == "ValueError: ??"


def test_a_box_that_died_unused_is_made_anew() -> None:
    with SandboxBox(TIGHT) as opened:
        assert opened._process.stdout is not None
        ready, _, _ = select.select([opened._process.stdout], [], [], 60)
        assert ready  # killed before, bubblewrap may leave behind a process that keeps its pipes open
        opened._process.kill()
        opened._process.wait()
        assert opened.run(Program("print(1)")).output == "1\n"


def test_processes_end_with_the_box() -> None:
    opened = SandboxBox(TIGHT)
    opened.run(Program("print(1)"))
    pid = opened._process.pid
    opened.close()
    assert not Path(f"/proc/{pid}").exists()


def test_processes_end_with_the_parent() -> None:
    """kill -9 of whoever opened the box takes the box with it."""
    code = (
        "import os, sys\nfrom llmbench.sandbox import SandboxBox, Program\n"
        "box = SandboxBox()\nbox.run(Program('print(1)'))\nprint(box._process.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    pid = int(done.stdout)
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_broken_box_blames_no_program_and_repairs_itself() -> None:
    with SandboxBox(TIGHT) as opened:
        assert opened.run(Program("print(1)")).status is Status.DONE
        opened._process.kill()  # what runs inside is killed a moment later, perhaps when the program has begun: it runs again then
        assert opened.run(Program("print(2)")).status in {Status.REFUSED, Status.DONE}
        assert opened.run(Program("print(3)")).output == "3\n"


def test_without_bubblewrap_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(
        ConfigError, match=r"needs the program bwrap, which is not installed.*apt install bubblewrap"
    ):
        sandbox.check()


def test_none_must_be_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(start.VARIABLE, "none")
    with SandboxBox(TIGHT) as opened:
        assert opened.run(Program("print(1)")).output == "1\n"
        assert opened.run(Program("import time\ntime.sleep(60)"), SHORT).status is Status.TIME_LIMIT


def test_docker_is_started_with_everything_taken_away() -> None:
    words = " ".join(start.docker(TIGHT))
    for option in (
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "no-new-privileges",
        "--user 65534",
        "--pids-limit 24",
    ):
        assert option in words
