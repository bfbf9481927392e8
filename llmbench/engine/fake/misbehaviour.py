"""How the engine without a model misbehaves on demand, and how it judges: by the gold answer, or badly (`engine.args={judge: obey}`)."""

import queue
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from llmbench.config.schema import Config
from llmbench.engine.fake.tokenizer import Thoughts
from llmbench.errors import ConfigError, OutOfMemoryError, Shortage
from llmbench.records import Request
from llmbench.system import decoding
from llmbench.system.number_format import listed
from llmbench.system.text import suggest

HONEST = "honest"
_FORM = re.compile(r"one of the words (?P<words>[A-Z_, ]+), in this form:\s+(?P<verdict>VERDICT \w+:) WORD")


def _verdict(prompt: str, place: int) -> str:
    """The first or second of the words that the prompt offers, in the form that it asks for."""
    form = _FORM.search(prompt)
    if form is None:
        return "There is nothing to judge."
    return f"{form['verdict']} {form['words'].split(', ')[place]}"


def _part(prompt: str, name: str) -> str:
    """What stands in the prompt as the reference or the answer."""
    found = re.search(rf"\[BEGIN {name} (\w+)\]\n(.*?)\n\[END {name} \1\]", prompt, re.DOTALL)
    return found[2] if found else ""


def _honest(prompt: str) -> str:
    """Right where the gold answer stands in the answer, as words of its own."""
    gold = rf"(?<!\w){re.escape(_part(prompt, 'REFERENCE'))}(?!\w)"
    right = re.search(gold, _part(prompt, "ANSWER"), re.IGNORECASE) is not None
    reason = "The reference stands in the answer." if right else "The answer lacks the reference."
    return f"{reason}\n{_verdict(prompt, 0 if right else 1)}"


JUDGES: Mapping[str, Callable[[str], str]] = {
    HONEST: _honest,
    "yes": lambda prompt: f"Sure.\n{_verdict(prompt, 0)}",
    "refuse": lambda _: "I cannot grade this answer.",
    "malformed": lambda _: "The answer is right.\nVerdict: CORRECT",
    "obey": lambda prompt: _part(prompt, "ANSWER"),
}
"""Replies to a judge's prompt: `yes` finds everything right, `obey` writes what the answer says, word for word."""


@dataclass(frozen=True, slots=True)
class TooLittle(Shortage):
    """Memory that runs out on demand.

    Attributes:
        requests: It suffices for so many requests at once; None: for any number.
        utilization: It suffices from this `model.gpu_memory_utilization` down; None: at any.
        after: It runs out after so many completions; None: at the start.
    """

    requests: int | None = None
    utilization: float | None = None
    after: int | None = None

    def check(self, at_once: int, utilization: float, finished: int | None) -> None:
        """Runs out where it is the time for it and too much is asked.

        Raises:
            OutOfMemoryError: It did.
        """
        due = finished is None if self.after is None else finished is not None and finished >= self.after
        fits = (self.requests is None or at_once <= self.requests) and (
            self.utilization is None or utilization <= self.utilization
        )
        if due and not fits:
            raise OutOfMemoryError("The fake engine ran out of memory, as engine.args.too_little asks.", self)


@dataclass(frozen=True, slots=True)
class _Fault:
    """Something that goes wrong on demand.

    Attributes:
        on: Ids of samples on which it does, as soon as the engine works on them.
        after: It does after so many completions.
    """

    on: frozenset[str] = frozenset()
    after: int | None = None

    def due(self, running: Sequence[Request], finished: int) -> bool:
        """Whether it is the time for it."""
        late = self.after is not None and finished >= self.after
        return late or any(request.sample_id in self.on for request in running)


@dataclass(frozen=True, slots=True)
class Death(_Fault):
    """The engine dies, as one does that a new one can follow; `needs_new_process`: not in this process."""

    needs_new_process: bool = False


@dataclass(frozen=True, slots=True)
class Hang(_Fault):
    """A step does not end.

    Attributes:
        apart: As an engine in processes of its own does: killing it ends the step.
        killed: Set, with why, by who kills it.
    """

    apart: bool = False
    killed: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """All that an engine does wrong.

    Attributes:
        refuse: Ids of requests that come back as errors.
        break_after: It ends for good after so many completions.
        step_s: Real seconds that a step takes, for watching the display.
        too_little: Memory that runs out.
        die: Its death, which a new engine can follow.
        hang: A step that does not end.
        utilization: `model.gpu_memory_utilization`, for `too_little`.
        thinks: What it thinks before it answers.
        judge: How it judges the answers that it is asked about, a name in `JUDGES`.
        places: The scheduler runs at most so many of the requests of a batch, as with a KV cache that is too small; the others wait.
    """

    refuse: frozenset[str] = frozenset()
    break_after: int | None = None
    step_s: float = 0.0
    too_little: TooLittle | None = None
    die: Death = field(default_factory=Death)
    hang: Hang = field(default_factory=Hang)
    utilization: float = 1.0
    places: int | None = None
    judge: str = HONEST
    thinks: Thoughts = field(default_factory=Thoughts)

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Reads `engine.args`.

        Raises:
            ConfigError: `engine.args` holds something else.
        """
        args = config.engine.args
        _check_names("engine.args", args, cls, but="utilization")
        for name, kind in (("too_little", TooLittle), ("die", Death), ("hang", Hang), ("thinks", Thoughts)):
            _check_names(f"engine.args.{name}", args.get(name), kind, but="killed")
        try:
            found = decoding.build(args, cls)
        except TypeError as error:
            raise ConfigError(f"engine.args.{error}.") from error
        if found.judge not in JUDGES:
            raise ConfigError(
                f"engine.args.judge={found.judge} is refused: engine=fake judges as {listed(list(JUDGES))}."
            )
        little = found.too_little
        if little is not None and little.remembered and not config.engine.remember_kv_cache:
            little = None
        return replace(found, too_little=little, utilization=config.model.gpu_memory_utilization)

    def check_memory(self, at_once: int, finished: int | None) -> None:
        """Raises `OutOfMemoryError` where memory runs out with so many requests at once and finished; None: at the start."""
        if self.too_little:
            self.too_little.check(at_once, self.utilization, finished)


def _check_names(path: str, given: object, kind: type[Any], but: str) -> None:
    """Refuses what `engine.args`, or a part of it, does not have."""
    known = [each.name for each in fields(kind) if each.name != but]
    for name in given if isinstance(given, dict) else ():
        if name not in known:
            raise ConfigError(f"{path} has no {name!r} for engine=fake{suggest(name, known)}")
