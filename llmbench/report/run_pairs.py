"""Which runs of a page are compared with which: those that differ in one setting that was typed."""

from collections.abc import Mapping, Sequence

from llmbench.report.run_entry import RunEntry

ELSEWHERE = ("hydra.", "resume", "runs_dir", "report", "export", "tracker", "log_level")
"""Begin the names of settings that change no result."""

RunPair = tuple[int, int]
"""Places of two runs; the first is the one that is compared with."""


def pairs_of(entries: Sequence[RunEntry]) -> list[RunPair]:
    """The pairs of runs that answered a question in common, those with the most such questions first, then by the second run.

    A run is compared, for each setting, with the run that has the first value of it and all else alike. Where there is none, as
    that job failed, it is compared with one run that differs in one setting; where there is none either, with the first run.
    """
    typed = [_typed(entry.run.manifest.overrides) for entry in entries]
    answered = [frozenset((r.key, r.target) for r in entry.run.results) for entry in entries]
    first = _first_values(typed)
    found: list[RunPair] = []
    for place in range(1, len(typed)):
        others = [o for o in range(len(typed)) if o != place and not answered[o].isdisjoint(answered[place])]
        near = {o: name for o in others if (name := _changed(typed[o], typed[place])) is not None}
        partners = [o for o, name in near.items() if o < place and typed[o].get(name) == first[name]]
        partners = partners or list(near)[:1] or [o for o in others if o < place][:1]
        found += [(min(other, place), max(other, place)) for other in partners]
    in_common = {(one, other): len(answered[one] & answered[other]) for one, other in found}
    return sorted(in_common, key=lambda pair: (-in_common[pair], pair[1], pair[0]))


def unpaired(entries: Sequence[RunEntry], pairs: Sequence[RunPair]) -> list[int]:
    """The places of runs in no pair: none of their questions was answered in another run."""
    return sorted(set(range(len(entries))).difference(*pairs)) if len(entries) > 1 else []


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
