"""From a patch to a score: what the sandbox found, in the project's outcomes."""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from llmbench import sandbox
from llmbench.records import Outcome, Score
from llmbench.sandbox import Limits, Program, Ran, SandboxBox, Status
from llmbench.sandbox.runner.values import json_of
from llmbench.sandbox.start import reachable

RUNNER = Path(__file__).with_name("runner")
LIMITS = Limits(
    cpu_s=300,
    idle_s=60,
    wall_s=1800,
    memory_bytes=4 << 30,
    processes=128,
    file_bytes=256 << 20,
    disk_bytes=1 << 30,
    may_hide=True,
)
"""Of one patch with its repository's tests."""
_PROGRAM = """
import json, os, sys, tempfile
from pathlib import Path
sources, job = json.load(sys.stdin)
place = Path(tempfile.mkdtemp())
(place / "swe").mkdir()
for name, source in sources.items():
    (place / "swe" / name).write_text(source)
sys.path.append(str(place))
from swe.judge import judge
print(json.dumps(judge(job, Path(tempfile.mkdtemp()))))
"""
"""Puts `runner/` where a process of its own can start from it, and judges."""


class PatchVerdict(StrEnum):
    """What is known of a patch: how a score's explanation begins."""

    RESOLVED = "resolved"
    UNRESOLVED = "not resolved"
    """The tests ran, and not all passed."""
    NOT_APPLYING = "does not apply"
    UNTESTED = "applies, not tested"
    UNCHECKED = "not checked"
    """Whether it applies is not known either."""


OUTCOMES = {
    PatchVerdict.RESOLVED: Outcome.CORRECT,
    PatchVerdict.UNRESOLVED: Outcome.WRONG,
    PatchVerdict.NOT_APPLYING: Outcome.WRONG,
    PatchVerdict.UNTESTED: Outcome.ERROR,
    PatchVerdict.UNCHECKED: Outcome.ERROR,
}


def scored(verdict: PatchVerdict, patch: str, why: str = "") -> Score:
    """The score of a patch by what is known of it."""
    explanation = f"{verdict}: {why}" if why else verdict.value
    return Score(float(verdict is PatchVerdict.RESOLVED), patch, OUTCOMES[verdict], explanation)


def verdict_of(score: Score) -> PatchVerdict | None:
    """What a score says of its patch; None where there is none."""
    if score.answer is None:
        return None
    said = score.explanation.partition(":")[0]
    return PatchVerdict(said) if said in list(PatchVerdict) else PatchVerdict.UNCHECKED


def judge(fields: Mapping[str, Any], patch: str) -> Score:
    """Checks a patch in the sandbox, and runs the tests where the repository comes with the data."""
    job: dict[str, Any] = {"patch": patch}
    seen: list[Path] = []
    if fields.get("files") is not None:
        tests = [*(fields.get("FAIL_TO_PASS") or ()), *(fields.get("PASS_TO_PASS") or ())]
        job |= {"files": fields["files"], "test_patch": fields.get("test_patch") or "", "tests": tests}
    elif fields.get("repository") is not None:
        clone = Path(fields["repository"])
        if not clone.is_dir() or not reachable(clone.resolve()):
            return scored(PatchVerdict.UNCHECKED, patch, f"the sandbox's user cannot reach {clone}")
        seen = [clone]
        job |= {"repository": "/folder/0" if sandbox.chosen() != "none" else str(clone)}
        job["base_commit"] = fields.get("base_commit")
    else:
        return scored(PatchVerdict.UNCHECKED, patch, f"no repository of {fields.get('repo')} at hand")
    sources = {path.name: path.read_text() for path in RUNNER.glob("*.py")}
    with SandboxBox(LIMITS, seen) as box:
        ran = box.run(Program(_PROGRAM, stdin=json.dumps([sources, job])))
    return _judged(ran, patch, tested=bool(job.get("tests")))


def _judged(ran: Ran, patch: str, *, tested: bool) -> Score:  # noqa: PLR0911 - a line for each verdict
    if ran.status in (Status.TIME_LIMIT, Status.MEMORY_LIMIT) and tested:
        return scored(PatchVerdict.UNRESOLVED, patch, f"{ran.status}, {ran.why}")
    if ran.status is Status.REFUSED:
        return scored(PatchVerdict.UNCHECKED, patch, ran.why)
    lines = ran.output.splitlines()
    try:
        found = json_of(lines[-1]) if ran.status is Status.DONE and lines else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        if tested:  # the patch's code ended the process that judges it
            return scored(PatchVerdict.UNRESOLVED, patch, ran.why or "its tests did not come to an end")
        return scored(PatchVerdict.UNCHECKED, patch, ran.why or "git gave no answer")
    applied = found.get("applied_with") and f"applied with `{found['applied_with']}`"
    why = "; ".join(str(part) for part in (applied, found.get("why")) if part)
    if found.get("applies") is None:
        return scored(PatchVerdict.UNCHECKED, patch, why)
    if not found["applies"]:
        return scored(PatchVerdict.NOT_APPLYING, patch, why)
    if found.get("passed") is None:
        return scored(PatchVerdict.UNTESTED, patch, why)
    return scored(PatchVerdict.UNRESOLVED if found.get("failed") else PatchVerdict.RESOLVED, patch, why)
