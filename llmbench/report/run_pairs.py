"""Which runs of a page are compared with which: those that differ in one setting that was typed."""

from collections.abc import Mapping, Sequence

from llmbench.report.run_entry import RunEntry

ELSEWHERE = ("hydra.", "resume", "runs_dir", "report", "export", "tracker", "log_level")
"""Begin the names of settings that change no result."""

RunPair = tuple[int, int]
"""Places of two runs; the first is the one that is compared with."""


def pairs_of(entries: Sequence[RunEntry]) -> list[RunPair]:
    """The pairs, by the second run.

    A run is compared, for each setting, with the run that has the first value of it and all else alike. A run for which there
    is none is compared with the first run.
    """
    typed = [_typed(entry.run.manifest.overrides) for entry in entries]
    first = _first_values(typed)
    found: list[RunPair] = []
    for place in range(1, len(typed)):
        partners = [
            other
            for other in range(place)
            if (changed := _changed(typed[other], typed[place])) is not None
            and typed[other].get(changed) == first[changed]
        ]
        found += [(other, place) for other in partners or [0]]
    return found


def _typed(overrides: Sequence[str]) -> dict[str, str]:
    """The settings that were typed and may change a result, with their values."""
    named = [override.lstrip("+").partition("=") for override in overrides]
    return {name: value for name, _, value in named if not name.startswith(ELSEWHERE)}


def _first_values(typed: Sequence[Mapping[str, str]]) -> dict[str, str | None]:
    """Of each setting the value that the first run has, None where it was not typed for it."""
    return {name: typed[0].get(name) for of_one in typed for name in of_one}


def _changed(one: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """The setting in which two runs differ, if it is a single one."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return names[0] if len(names) == 1 else None
