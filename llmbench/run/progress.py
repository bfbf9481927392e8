"""What a person sees while requests run: on a terminal a live display, elsewhere a plain line now and then."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.markup import escape
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


class Progress:
    """For each benchmark done of total and accuracy so far; speed, requests in hand, the machine, and how valid it looks.

    It names no time left: how long the last answers are is not known, and the rate of those that ended can mislead by a factor of seven.
    """

    def __init__(self, terminal: Terminal, totals: Mapping[str, int], *, writes: bool = True) -> None:
        self._console, self._totals, self._writes = terminal.err, dict(totals), writes
        self._results: dict[str, list[float]] = {name: [] for name in totals}
        self._unanswered = self._truncated = self._errors = 0
        self._latest: TelemetrySample | None = None
        self._begun = self._shown = time.monotonic()
        self._tokens: float | None = None
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True)
            if self._console.is_terminal
            else None
        )

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
        outcome = result.score.outcome
        self._unanswered += outcome in (Outcome.NO_ANSWER, Outcome.TRUNCATED)
        self._truncated += outcome is Outcome.TRUNCATED
        self._errors += outcome in (Outcome.ERROR, Outcome.TIMEOUT)

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

    @property
    def _done(self) -> int:
        return sum(map(len, self._results.values()))

    def _speed(self) -> str:
        if not self._writes:  # an engine may count a token for each choice that it scores
            return ""
        passed = time.monotonic() - self._begun
        return f"{number(self._tokens / passed if self._tokens and passed > 0 else None)} tokens/s"

    def _display(self) -> Group:
        """As many lines from the first to the last, so that nothing jumps."""
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, values in self._results.items():
            table.add_row(
                escape(printable(name)),
                _bar(len(values), self._totals[name], 30 if self._console.width >= WIDE else 16),
                f"{len(values)}/{self._totals[name]}",
                _accuracy(values),
            )
        lines = (
            [self._speed()],
            list(self._requests()),
            list(_machine(self._latest)),
        )
        texts = [
            Text(", ".join(filter(None, parts)) or " ", no_wrap=True, overflow="ellipsis") for parts in lines
        ]
        return Group(table, *texts, self._validity())

    def _validity(self) -> Text:
        """The shares that make a score doubtful, in a warning's colour where they do."""
        done = self._done
        parts = [("no answer", self._unanswered), ("cut off", self._truncated), ("errors", self._errors)]
        text = Text(no_wrap=True, overflow="ellipsis")
        for name, count in parts:
            share = count / done if done else None
            doubtful_share = share is not None and (share > DOUBTFUL or (name == "errors" and count))
            text.append(
                f"{', ' if text else ''}{name} {percent(share, 0)}",
                style="bold yellow" if doubtful_share else "",
            )
        return text

    def _requests(self) -> Iterator[str]:
        """Requests that its scheduler runs and holds back, those that it was not given, and its KV cache, as far as they are known."""
        state = self._latest.engine if self._latest is not None else None
        if state is None or self._done == sum(self._totals.values()):  # what was seen last is no longer so
            return
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


def _machine(sample: TelemetrySample | None) -> Iterator[str]:
    """GPU memory and use; without a GPU the process's own."""
    if sample is None:
        return
    held = whole(gpu.memory_bytes for gpu in sample.gpus)
    if held is not None:
        yield f"GPU memory {memory(held)}"
    used = utilization(sample.gpus)
    if used is not None:
        yield f"GPU {percent(used, 0)}"
    power = whole(gpu.power_w for gpu in sample.gpus)
    if power is not None:
        yield f"{power:.0f} W"
    if sample.gpus:
        return
    if sample.rss_bytes is not None:
        yield f"memory {memory(sample.rss_bytes)}"
    if sample.cpu_share is not None:
        yield f"CPU {sample.cpu_share:.1f} cores"


def _accuracy(values: Sequence[float]) -> str:
    return f"{percent(sum(values) / len(values) if values else None)} right"


def _bar(done: int, total: int, width: int) -> str:
    filled = width * done // max(total, 1)
    return "━" * filled + "╌" * (width - filled)
