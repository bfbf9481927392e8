"""The pictures in README.md and docs/: a real run in a pseudo-terminal, its report and a sweep's in headless Chromium.

python -m tests.bench.screenshots [SETTING …] [-- SETTING …]    runs here, such as with 'benchmark=[math,arithmetic]'; a sweep's follow --
python -m tests.bench.screenshots --record FOLDER [SETTING …] [-- SETTING …]   only runs, with all files in the folder: on a host without a browser
python -m tests.bench.screenshots --from FOLDER [PICTURE …]     takes the pictures of what was recorded
"""

import base64
import fcntl
import html
import io
import json
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from llmbench.records import Outcome, Result
from llmbench.report.sample_data import segments
from llmbench.report.write import runs_below, write_many, write_one
from llmbench.results.reader import load_run
from tests.helpers.browser import Page, chromium, show

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
COLUMNS, LINES = 100, 30
PICTURES = ("terminal", "report", "samples", "sweep")
SWEEP = ("-m", "batch_size=1,2,4,8,16")
SWEPT = ("benchmark=arithmetic", "limit=24")
"""What a sweep evaluates where nothing else is said."""
FORMULA = re.compile(r"\$[^$\n]+\$|\\\(|\\\[")
CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Screen:
    """As much of a terminal as Rich asks for: lines, going up, clearing a line; colours stay in the text."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.row = 0

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            code = CONTROL.match(text, at)
            if code:
                self._control(code[1], code[2], code[0])
                at = code.end()
                continue
            self._character(text[at])
            at += 1

    def _control(self, argument: str, letter: str, whole: str) -> None:
        if letter == "A":
            self.row = max(0, self.row - int(argument or 1))
        elif letter == "K":
            self.lines[self.row] = ""
        elif letter == "m":
            self.lines[self.row] += whole

    def _character(self, character: str) -> None:
        if character == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        elif character == "\r":
            pass  # Rich writes whole lines
        elif character >= " ":
            self.lines[self.row] += character


def in_terminal(arguments: Sequence[str], folder: Path) -> list[tuple[float, str]]:
    """Runs llmbench in a folder, in a terminal; what it showed, in pieces, each with the second it came in."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "llmbench", *arguments]
    begun, pieces = time.monotonic(), []
    with subprocess.Popen(
        command, cwd=folder, stdin=follower, stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            pieces.append((time.monotonic() - begun, piece.decode(errors="replace")))
    os.close(leader)
    if process.returncode:
        raise SystemExit(f"llmbench ended with {process.returncode}")
    return pieces


def terminal_page(command: str, pieces: Sequence[tuple[float, str]]) -> str:
    """The screen amid the run and at its end, as HTML."""
    live = [place for place, (_, text) in enumerate(pieces) if "\x1b[1A" in text]
    middle = live[len(live) * 2 // 3] if live else len(pieces) - 1
    shown: list[str] = []
    before: list[str] = []
    for end in (middle + 1, len(pieces)):
        screen = Screen()
        for _, text in pieces[:end]:
            screen.feed(text)
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(before, screen.lines, strict=False))
        same = len(list(alike))  # what stands above already
        before = screen.lines
        console = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True)
        console.print(Text.from_ansi("\n".join(before[same:]).strip("\n")), soft_wrap=True)
        body = console.export_html(theme=MONOKAI, inline_styles=True, code_format="<pre>{code}</pre>")
        shown.append(f"<p>{html.escape(f'after {pieces[end - 1][0]:.0f} s')}</p>{body}")
    style = (
        "body{margin:0;padding:18px;background:#10141b;color:#dfe4ec;font:15px 'DejaVu Sans Mono',monospace;width:960px}"
        "pre{margin:0 0 12px;white-space:pre-wrap;font:inherit}p{margin:0 0 4px;color:#8a94a6;font-size:12px}"
    )
    return f"<meta charset=utf-8><style>{style}</style><pre>$ {html.escape(command)}</pre>{''.join(shown)}"


def shoot(page: Page, path: Path, width: int, highest: int) -> None:
    """A picture of the page from its top to the end of the last of its parts that is whole in a window of that height."""
    size = {"width": width, "height": highest, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    )
    end = page.run(
        "const below = (part) => part.getBoundingClientRect().bottom + (part.tagName === 'LI' ? 0 : 12)\n"
        "const ends = [...document.querySelectorAll('figure, #list > li, pre')].map(below)\n"
        "return Math.ceil(Math.max(...ends.filter((end) => end <= innerHeight)))"
    )
    clip = {"x": 0, "y": 0, "width": width, "height": end, "scale": 1}
    taken = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip})
    path.write_bytes(base64.b64decode(taken["data"]))
    print(f"{path}: {path.stat().st_size} bytes")


def record(folder: Path, settings: Sequence[str], sweep: Sequence[str]) -> None:
    """Runs once in a terminal and once as a sweep; everything goes into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = in_terminal(settings, folder)
    short = [re.sub(r"=/.*/", "=", part) for part in settings]
    shown = " ".join(["python -m llmbench", *(shlex.quote(part) if "[" in part else part for part in short)])
    (folder / "terminal.json").write_text(json.dumps([shown, pieces]))
    in_terminal(sweep, folder)


def take(folder: Path, pictures: Sequence[str] = PICTURES) -> None:
    """The pictures of what was recorded."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    (run,) = (folder / "runs").glob("[0-9]*")
    (sweep,) = (folder / "runs" / "multi").iterdir()
    if "terminal" in pictures:
        command, pieces = json.loads((folder / "terminal.json").read_text())
        terminal = folder / "terminal.html"
        terminal.write_text(terminal_page(command, pieces))
        with chromium(996) as page:
            show(page, terminal)
            shoot(page, IMAGES / "terminal.png", 996, 1500)
    with chromium() as page:
        show(page, write_one(run, folder / "run.html"))
        page.ready()
        if "report" in pictures:
            shoot(page, IMAGES / "report.png", 1280, 2040)
        if "samples" in pictures:
            show(page, folder / "run.html", telling(run))
            page.ready()
            page.run(
                "document.querySelector('main').replaceChildren(document.getElementById('samples'))\n"
                "const item = document.querySelector('.detail').parentElement\n"
                "while (item.previousElementSibling?.previousElementSibling) item.parentElement.firstElementChild.remove()\n"
                "window.scrollTo(0, 0)"
            )
            shoot(page, IMAGES / "samples.png", 1280, 1420)
    if "sweep" in pictures:
        with chromium() as page:
            show(page, write_many(runs_below(sweep), folder / "sweep.html"))
            page.ready(samples=bool(page.run("return document.getElementById('list')")))
            shoot(page, IMAGES / "sweep.png", 1280, 1600)


def telling(run: Path) -> str:
    """The link to the sample that shows most: a stop string and an elicited part, mathematics, a right answer, not too long."""

    def worth(result: Result) -> tuple[bool, bool, bool, int]:
        kinds = {kind for kind, _ in segments(result)}
        own = result.completions[0].text if result.completions else ""
        right = result.score.outcome is Outcome.CORRECT
        return {"stop", "elicited"} <= kinds, bool(FORMULA.search(own)), right, -len(result.prompt + own)

    best = max(load_run(run).results, key=worth)
    return f"#sample={best.benchmark}/{quote(best.sample_id, safe='')}/{best.repeat}"


def settings_of(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of the run, and of the sweep, which follow `--`."""
    place = list(arguments).index("--") if "--" in arguments else len(arguments)
    return list(arguments[:place]), [*SWEEP, *(arguments[place + 1 :] or SWEPT)]


def main(arguments: Sequence[str]) -> None:
    """Runs, opens and takes the pictures.

    Raises:
        SystemExit: There is no browser to take them with.
    """
    if arguments[:1] != ["--record"] and not (shutil.which("chromium") and shutil.which("chromedriver")):
        raise SystemExit("Pictures need chromium and chromedriver; --record runs without them.")
    if arguments[:1] == ["--from"]:
        take(Path(arguments[1]), arguments[2:] or PICTURES)
    elif arguments[:1] == ["--record"]:
        record(Path(arguments[1]), *settings_of(arguments[2:]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            record(Path(folder), *settings_of(arguments))
            take(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
