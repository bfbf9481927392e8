"""Which request an engine dies of: what is asked next after a death, until it is known.

Only what the engine worked on when it died can be to blame, so that is set aside and the rest goes on. When the rest is done,
each set that was put aside is asked again as a whole, with nothing beside it: a death that had nothing to do with it is
over with that. A set that kills the engine again is cut into eighths, which are asked one after another, those that
kill again are cut again when all others had their turn, and so on down to single requests. One that killed the engine
twice while it was alone is guilty.

A guilty request of 256 that ran at once costs at most six engines, 256 being cut to 32, 4 and 1; one that was alone from the beginning two.

An engine that is itself broken would accuse everybody. Therefore each death without an answer since the last makes the next try an eighth
as large, and before there are too many the engine has to answer a request that was answered before.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Self

from llmbench.records import CONTINUATION_SUFFIX

PARTS = 8
"""Into how many a set is cut: many make few sets that cost an engine, and smaller batches."""
TWICE = 2
"""Times that a lone request has to kill the engine."""


def parts(ids: Sequence[str]) -> list[tuple[str, ...]]:
    """A set in eighths, none of them empty."""
    size = -(-len(ids) // PARTS)
    return [tuple(ids[begin : begin + size]) for begin in range(0, len(ids), size)]


@dataclass(slots=True)
class FatalRequestSearch:
    """Decides which requests to ask next after engine deaths, until the one that kills the engine is known. Holds request ids.

    Attributes:
        bound: Deaths in a row without an answer between that are followed by another try.
        waiting: To be asked as usual.
        aside: Sets to be asked apart, each with nothing beside it, when nothing else is left.
        asked: Given to the engine and not answered.
        alone: How often a request, or its continuation, killed the engine while it was alone.
        accused: How often a request, or its continuation, was running when an engine died.
        consecutive_deaths: Deaths since the last answer.
        limit: How much may be asked at once; None: everything.
    """

    bound: int
    waiting: deque[str] = field(default_factory=deque)
    aside: deque[tuple[str, ...]] = field(default_factory=deque)
    asked: dict[str, None] = field(default_factory=dict)
    alone: dict[str, int] = field(default_factory=dict)
    accused: dict[str, int] = field(default_factory=dict)
    consecutive_deaths: int = 0
    limit: int | None = None
    _apart: bool = False  # what is asked was set aside before
    _expected: set[str] = field(default_factory=set)  # set aside by an earlier process and not submitted yet

    def add(self, ids: Iterable[str], *, first: bool = False) -> None:
        """Adds requests, `first` before those that wait; those that an earlier process set aside stay set aside.

        A continuation is asked alone where it may be what kills: its beginning was answered, and two deaths came all the same.
        """
        for name in ids:
            if name in self._expected:
                self._expected.remove(name)
            elif name.endswith(CONTINUATION_SUFFIX) and self.accused.get(_begin(name), 0) >= TWICE:
                self.aside.append((name,))
            elif first:
                self.waiting.appendleft(name)
            else:
                self.waiting.append(name)

    @property
    def left(self) -> bool:
        """Whether anything that was added has no answer yet."""
        return bool(self.asked or self.waiting or self.held)

    @property
    def held(self) -> int:
        """Requests that the engine was not given; called from another thread."""
        return len(self.waiting) + sum(map(len, tuple(self.aside))) - len(self._expected)

    @property
    def spent(self) -> bool:
        """Whether there were too many deaths in a row without an answer."""
        return self.consecutive_deaths > self.bound

    @property
    def needs_probe(self) -> bool:
        """Whether the next death would be one too many: the engine should first answer something that was answered before."""
        return 0 < self.bound <= self.consecutive_deaths

    def next(self) -> list[str]:
        """Returns the ids to submit now; often none."""
        if self.waiting and not (self._apart and self.asked):
            self._apart = False
            room = len(self.waiting) if self.limit is None else self.limit - len(self.asked)
            chosen = [self.waiting.popleft() for _ in range(min(room, len(self.waiting)))]
        elif self.aside and not self.asked:
            chosen = self._next_apart()
        else:
            return []
        self.asked.update(dict.fromkeys(chosen))
        return chosen

    def _next_apart(self) -> list[str]:
        """Takes from the first set of which something was submitted; the rest of the set stays."""
        for place, group in enumerate(self.aside):
            chosen = [name for name in group if name not in self._expected][: self.limit]
            if not chosen:
                continue
            del self.aside[place]
            taken = set(chosen)
            if rest := tuple(name for name in group if name not in taken):
                self.aside.insert(place, rest)
            self._apart = True
            return chosen
        return []

    def release(self, keep: Callable[[str], bool]) -> list[str]:
        """Forgets the requests that the engine was not given, but those to keep; returns their ids, in the order of asking."""
        released = [name for name in (*self.waiting, *chain(*self.aside)) if not keep(name)]
        gone = set(released)
        self.waiting = deque(name for name in self.waiting if name not in gone)
        groups = (tuple(name for name in group if name not in gone) for group in self.aside)
        self.aside = deque(group for group in groups if group)
        return released

    def drop(self) -> None:
        """Forgets all requests: nothing more is asked."""
        for kept in (self.waiting, self.aside, self.asked, self._expected):
            kept.clear()

    def works(self) -> None:
        """The engine gave an answer."""
        self.consecutive_deaths, self.limit = 0, None

    def answered(self, name: str) -> None:
        """A request has its answer, whatever it is."""
        self.asked.pop(name, None)

    def died(self, running: Collection[str]) -> list[str]:
        """The engine died while it worked on `running`; all that it was given is asked again, but for the guilty, which are returned."""
        seen = set(running)
        accused = tuple(name for name in self.asked if name in seen)
        others = [name for name in self.asked if name not in seen]
        self.asked.clear()
        if self.consecutive_deaths and accused:
            self.limit = -(-len(accused) // PARTS)
        self.consecutive_deaths += 1
        if self._apart:
            if others:
                self.aside.appendleft(tuple(others))
        else:
            self.waiting.extendleft(reversed(others))
        for name in accused:
            self.accused[_begin(name)] = self.accused.get(_begin(name), 0) + 1
        if len(accused) == 1:
            (name,) = accused
            self.alone[_begin(name)] = self.alone.get(_begin(name), 0) + 1
            if self.alone[_begin(name)] >= TWICE:
                return [name]
        if accused:
            self.aside.extend(parts(accused) if self._apart else [accused])
        return []

    def as_data(self) -> dict[str, Any]:
        """The state as plain data, for a new process."""
        return {
            "aside": [list(group) for group in self.aside],
            "alone": self.alone,
            "accused": self.accused,
            "consecutive_deaths": self.consecutive_deaths,
            "limit": self.limit,
        }

    @classmethod
    def of(cls, bound: int, data: Mapping[str, Any], answered: Collection[str] = ()) -> Self:
        """Restores the state of an earlier process, without requests that are `answered` by now; continuations begin again from their start."""
        sets = [dict.fromkeys(map(_begin, names)) for names in data.get("aside", ())]
        groups = (tuple(name for name in names if name not in answered) for names in sets)
        aside = deque(group for group in groups if group)
        names = ("alone", "accused", "consecutive_deaths", "limit")
        known = {name: data[name] for name in names if name in data}
        expected = {name for group in aside for name in group}
        return cls(bound, aside=aside, **known, _expected=expected)


def _begin(name: str) -> str:
    """Returns the id of the request that a continuation goes on with."""
    return name.removesuffix(CONTINUATION_SUFFIX)
