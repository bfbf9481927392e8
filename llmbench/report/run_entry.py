"""The runs of a page of several: what each found, and a short name for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from llmbench.report.escaping import short, visible
from llmbench.results import settings
from llmbench.results.reader import Run, load_run
from llmbench.results.settings import read_config
from llmbench.results.summary import BenchmarkSummary, Summary

LONG, LONGEST = 48, 100
"""Characters of a setting in a run's name, and of the name."""


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run, its settings, and which of its benchmarks stay sealed."""

    name: str
    run: Run
    config: Mapping[str, Any] | None
    sealed: frozenset[str]

    @classmethod
    def read(cls, folder: Path, *, show_sealed: bool = False) -> Self:
        """From a run's folder.

        Raises:
            RunError: It holds no run.
        """
        run = load_run(folder)
        return cls(
            folder.resolve().name, run, read_config(folder), frozenset() if show_sealed else run.sealed
        )

    @property
    def summary(self) -> Summary:
        """What the run found."""
        return self.run.summary

    def benchmark(self, name: str) -> BenchmarkSummary:
        """What the run found of a benchmark, with nothing in it where it had none of its questions."""
        return self.summary.benchmarks.get(name, BenchmarkSummary())


def benchmarks_of(entries: Sequence[RunEntry]) -> list[str]:
    """Every benchmark that some run asked, once."""
    return list(dict.fromkeys(name for entry in entries for name in entry.summary.benchmarks))


def names_of(entries: Sequence[RunEntry]) -> list[str]:
    """A short name for each run, none twice: the settings in which they differ, as typed; with the folder's name where they do not tell all apart.

    Where judges do, their names stand for the settings `judge.*`.
    """
    typed = [entry.run.manifest.overrides for entry in entries]
    common = set(typed[0]).intersection(*typed[1:]) if typed else set()
    own = [[short(o.removeprefix("+ablation/"), LONG) for o in of_one if o not in common] for of_one in typed]
    own = _by_judge(own, entries)
    found = [_name(of_one) for of_one in own]
    if len(set(found)) < len(found) or not all(found):
        found = [_name([entry.name, *of_one]) for entry, of_one in zip(entries, own, strict=True)]
    return unlike(found)


def _by_judge(own: list[list[str]], entries: Sequence[RunEntry]) -> list[list[str]]:
    """The settings of each run with its judge's name for those of the judge, where these names tell the runs apart as well."""
    others = [[o for o in of_one if not o.startswith("judge.")] for of_one in own]
    if others == own:
        return own
    judges = [
        dict.fromkeys(found.judge.name for found in entry.summary.benchmarks.values() if found.judge)
        for entry in entries
    ]
    named = [
        [*of_one, *(f"judge {visible(name)}" for name in names)]
        for of_one, names in zip(others, judges, strict=True)
    ]
    return named if len(set(map(tuple, named))) == len({tuple(of_one) for of_one in own}) else own


def _name(parts: Sequence[str]) -> str:
    return visible(short(" ".join(parts), LONGEST)).replace("\n", " ")


def unlike(names: Iterable[str]) -> list[str]:
    """Names made different where two are the same."""
    found: list[str] = []
    for name in names:
        found.append(name if name not in found else f"{name} ({len(found) + 1})")
    return found


def differing(entries: Sequence[RunEntry]) -> list[str] | None:
    """The settings that are not the same in all runs, by name; a benchmark that not all runs have is one of them.

    None where there is but one run, or the settings of one are not known.
    """
    configs = [entry.config for entry in entries if entry.config is not None]
    if len(configs) != len(entries) or len(configs) < 2:  # noqa: PLR2004 - nothing to differ from
        return None
    own = [set(config.get("benchmarks") or ()) for config in configs]
    missing = sorted(set.union(*own) - set.intersection(*own))
    differ = {setting.name for other in configs[1:] for setting in settings.differing(configs[0], other)}
    unshared = tuple(f"benchmarks.{name}." for name in missing)
    named = dict.fromkeys(name for config in configs for name, _ in settings.flat(config))
    found = [name for name in named if name in differ and not name.startswith(unshared)]
    return [*found, *(f"benchmarks.{name}" for name in missing)]
