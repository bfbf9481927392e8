"""What a person sees while requests run: on a terminal a live display, elsewhere a plain line now and then."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from llmbench.records import Outcome, Result
from llmbench.results.metrics import DOUBTFUL
from llmbench.system.console import Terminal
from llmbench.system.number_format import memory, number, percent
from llmbench.system.text import printable
from llmbench.telemetry.aggregate import utilization, whole
from llmbench.telemetry.records import TelemetrySample

PLAIN_PERIOD_S = 10.0
LIVE_PERIOD_S = 0.25
WIDE = 90
"""Columns from which on bars are long."""
DOUBTS = {
    "no answer": (Outcome.NO_ANSWER, Outcome.TRUNCATED),
    "cut off": (Outcome.TRUNCATED,),
    "errors": (Outcome.ERROR, Outcome.TIMEOUT),
}
"""Outcomes that make a score doubtful where there are many."""


class Progress:
    """For each benchmark done of total and accuracy so far; speed, requests in hand, the machine, and how valid it looks.

    It names no time left: how long the last answers are is not known, and the rate of those that ended can mislead by a factor of seven.
    """

    def __init__(self, terminal: Terminal, totals: Mapping[str, int], *, writes: bool = True) -> None:
        self._console, self._totals, self._writes = terminal.err, dict(totals), writes
        self._results: dict[str, list[float]] = {name: [] for name in totals}
        self._outcomes = Counter[Outcome]()
        self._latest: TelemetrySample | None = None
        self._begun = self._shown = time.monotonic()
        self._tokens: float | None = None
        is_live = self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if is_live else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        self._begun = self._shown = time.monotonic()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Removes the live display; without a terminal prints the last state."""
        self.leave()
        if not self._live and not kind:
            self._console.print(self._line(), soft_wrap=True)

    def leave(self) -> None:
        """Removes the live display."""
        if self._live:
            self._live.stop()

    def add(self, result: Result) -> None:
        """Counts a result."""
        self._results[result.benchmark].append(result.score.value)
        self._outcomes[result.score.outcome] += 1

    def look(self, sample: TelemetrySample) -> None:
        """Receives a telemetry sample, in telemetry's thread; shown at the next refresh."""
        self._latest = sample

    def due(self) -> bool:
        """Whether it is time to refresh."""
        period = LIVE_PERIOD_S if self._live else PLAIN_PERIOD_S
        return time.monotonic() - self._shown >= period

    def note(self, tokens: float | None) -> None:
        """Receives the number of output tokens so far."""
        self._tokens = tokens

    def show(self) -> None:
        """Shows the state."""
        self._shown = time.monotonic()
        if self._live:
            self._live.update(self._display(), refresh=True)
        else:
            self._console.print(self._line(), soft_wrap=True)

    def _speed(self) -> str:
        if not self._writes:  # an engine may count a token for each choice that it scores
            return ""
        passed = time.monotonic() - self._begun
        return f"{number(self._tokens / passed if self._tokens and passed > 0 else None)} tokens/s"

    def _display(self) -> Group:
        """As many lines from the first to the last, so that nothing jumps."""
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, values in self._results.items():
            done, total = len(values), self._totals[name]
            bar = ProgressBar(max(total, 1), done, width=30 if self._console.width >= WIDE else 16)
            table.add_row(escape(printable(name)), bar, f"{done}/{total}", _accuracy(values))
        lines = ([self._speed()], self._requests(), _machine(self._latest))
        texts = [
            Text(", ".join(filter(None, parts)) or " ", no_wrap=True, overflow="ellipsis") for parts in lines
        ]
        return Group(table, *texts, self._validity())

    def _validity(self) -> Text:
        """The shares that make a score doubtful, in a warning's colour where they do."""
        text, done = Text(no_wrap=True, overflow="ellipsis"), self._outcomes.total()
        for name, outcomes in DOUBTS.items():
            count = sum(self._outcomes[outcome] for outcome in outcomes)
            is_doubtful = count > (0 if name == "errors" else DOUBTFUL * done)
            share = percent(count / done if done else None, 0)
            text.append(f"{', ' if text else ''}{name} {share}", style="bold yellow" if is_doubtful else "")
        return text

    def _requests(self) -> Iterator[str]:
        """Requests that its scheduler runs and holds back, those that it was not given, and its KV cache, as far as they are known."""
        state = self._latest.engine if self._latest is not None else None
        if state is None or self._outcomes.total() == sum(self._totals.values()):
            return  # what was seen last is no longer so
        for name in ("running", "waiting", "queued"):
            count = getattr(state, name)
            if count is not None:
                yield f"{count:.0f} {name}"
        if state.kv_cache_use is not None:
            yield f"KV cache {percent(state.kv_cache_use, 0)}"

    def _line(self) -> str:
        parts = [
            f"{printable(name)} {len(values)}/{self._totals[name]} {_accuracy(values)}"
            for name, values in self._results.items()
        ]
        return escape(", ".join(filter(None, [*parts, self._speed(), *self._requests()])))


def _machine(sample: TelemetrySample | None) -> list[str | None]:
    """GPU memory and use; without a GPU the process's own."""
    if sample is None:
        return []
    if not sample.gpus:
        rss, cores = sample.rss_bytes, sample.cpu_share
        return [
            None if rss is None else f"memory {memory(rss)}",
            None if cores is None else f"CPU {cores:.1f} cores",
        ]
    held, used = whole(gpu.memory_bytes for gpu in sample.gpus), utilization(sample.gpus)
    power = whole(gpu.power_w for gpu in sample.gpus)
    return [
        None if held is None else f"GPU memory {memory(held)}",
        None if used is None else f"GPU {percent(used, 0)}",
        None if power is None else f"{power:.0f} W",
    ]


def _accuracy(values: Sequence[float]) -> str:
    return f"{percent(sum(values) / len(values) if values else None)} right"
