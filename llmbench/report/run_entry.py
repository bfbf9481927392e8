"""A run with its settings, as pages and comparisons take it; and of several a short name for each, and what differs between them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from llmbench.records import Result
from llmbench.report.escaping import short, visible
from llmbench.results import settings
from llmbench.results.reader import Run, load_regraded, load_run
from llmbench.results.settings import benchmark_settings, read_config
from llmbench.results.summary import BenchmarkSummary, Summary
from llmbench.system.text import natural

Key = tuple[str, int]
"""A sample id and the number of the repeat."""

LONG, LONGEST = 48, 100
"""Characters of a setting in a run's name, and of the name."""
NO_SECONDS = "A run that was resumed, or had answers from the response cache, has no seconds."
"""Beside a plot that leaves such a run's time out (`RunEntry.generate_s`)."""


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run with its settings: what it set out to ask, whether it got there, and what it found."""

    run: Run
    config: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, folder: str | Path, *, show_sealed: bool = False, regraded: bool = False) -> Self:
        """From a run's folder; `show_sealed`: take no benchmark of it as sealed, `regraded`: as `llmbench.regrade` graded it.

        Raises:
            RunError: It holds no run, or one that was not graded again.
        """
        run = load_regraded(Path(folder)) if regraded else load_run(folder)
        return cls(replace(run, sealed=frozenset()) if show_sealed else run, read_config(run.folder))

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.run.folder.resolve().name

    @property
    def summary(self) -> Summary:
        """What the run found."""
        return self.run.summary

    def benchmark(self, name: str) -> BenchmarkSummary:
        """What the run found of a benchmark, with nothing in it where it had none of its questions."""
        return self.summary.benchmarks.get(name, BenchmarkSummary())

    @property
    def finished(self) -> bool:
        """Whether all that was planned was asked."""
        return self.summary.status == "finished"

    @property
    def generate_s(self) -> float | None:
        """Seconds of generating; None where they are not of all answers: the run was resumed, or had some from the response cache."""
        cached = any(each.cache is not None and each.cache.hits for each in self.summary.benchmarks.values())
        return None if cached or len(self.summary.sittings) > 1 else self.summary.time_s.generate

    def results(self, benchmark: str) -> dict[Key, Result]:
        """The answers to a benchmark's questions, by their ids as people count; they came in any order."""
        own = (result for result in self.run.results if result.benchmark == benchmark)
        return {
            (r.sample_id, r.repeat): r
            for r in sorted(own, key=lambda each: (natural(each.sample_id), each.repeat))
        }

    def benchmarks(self) -> list[str]:
        """The benchmarks that the run was made for or has answers to."""
        named = [*self.summary.benchmarks, *self.run.manifest.samples]
        return list(dict.fromkeys([*named, *(result.benchmark for result in self.run.results)]))

    def outstanding(self, benchmark: str, keys: Iterable[Key]) -> set[Key]:
        """Of keys that the run has no answers to, those that it would have had, had it finished and not stopped early."""
        if self.finished and self.benchmark(benchmark).stopping is None:
            return set()
        named = self.run.manifest.samples.get(benchmark)
        planned = None if named is None else set(named)
        repeats = benchmark_settings(self.config, benchmark).get("repeats")
        return {
            key
            for key in keys
            if (planned is None or key[0] in planned) and (repeats is None or key[1] < repeats)
        }


def benchmarks_of(entries: Sequence[RunEntry]) -> list[str]:
    """Every benchmark that some run asked, once."""
    return list(dict.fromkeys(name for entry in entries for name in entry.summary.benchmarks))


def names_of(entries: Sequence[RunEntry]) -> list[str]:
    """A short name for each run, none twice: the settings in which they differ, as typed; with the folder's name where they do not tell all apart."""
    typed = [entry.run.manifest.overrides for entry in entries]
    common = set(typed[0]).intersection(*typed[1:]) if typed else set()
    own = [[short(o.removeprefix("+ablation/"), LONG) for o in of_one if o not in common] for of_one in typed]
    found = [_name(of_one) for of_one in own]
    if len(set(found)) < len(found) or not all(found):
        found = [_name([entry.name, *of_one]) for entry, of_one in zip(entries, own, strict=True)]
    return unlike(found)


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
