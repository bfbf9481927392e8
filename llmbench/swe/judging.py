"""From a patch to a score: what the sandbox found, in the project's outcomes."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from llmbench.records import Outcome, Score


class Verdict(StrEnum):
    """What is known of a patch: how a score's explanation begins."""

    RESOLVED = "resolved"
    UNRESOLVED = "not resolved"
    """The tests ran, and not all passed."""
    NOT_APPLYING = "does not apply"
    UNTESTED = "applies, not tested"
    UNCHECKED = "not checked"
    """Whether it applies is not known either."""


OUTCOMES = {
    Verdict.RESOLVED: Outcome.CORRECT,
    Verdict.UNRESOLVED: Outcome.WRONG,
    Verdict.NOT_APPLYING: Outcome.WRONG,
    Verdict.UNTESTED: Outcome.ERROR,
    Verdict.UNCHECKED: Outcome.ERROR,
}


def scored(verdict: Verdict, patch: str, why: str = "") -> Score:
    """The score of a patch by what is known of it."""
    explanation = f"{verdict}: {why}" if why else verdict.value
    return Score(float(verdict is Verdict.RESOLVED), patch, OUTCOMES[verdict], explanation)


def verdict_of(score: Score) -> Verdict | None:
    """What a score says of its patch; None where there is none."""
    if score.answer is None:
        return None
    said = score.explanation.partition(":")[0]
    return Verdict(said) if said in list(Verdict) else Verdict.UNCHECKED


def judge(fields: Mapping[str, Any], patch: str) -> Score:
    """Checks a patch, and runs the tests where the repository comes with the data."""
    if fields.get("files") is None and fields.get("repository") is None:
        return scored(Verdict.UNCHECKED, patch, f"no repository of {fields.get('repo')} at hand")
    raise NotImplementedError
