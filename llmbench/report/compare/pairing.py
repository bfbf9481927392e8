"""Which answers of two runs belong together: by benchmark, sample id and repeat, with the same prompt and gold answer."""

from collections.abc import Iterable
from dataclasses import dataclass

from llmbench.report.run_entry import Key, RunEntry
from llmbench.system.number_format import count

NAMED = 3
"""So many ids are named in an error; the counts are always whole."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The answers of one benchmark that two runs have in common, and what keeps the others apart.

    Attributes:
        keys: What both have, in the order of their ids, with the same gold answer.
        differences: What the runs were not asked alike, a phrase each, with counts and a few ids.
        unfinished: Answers that the baseline lacks because it did not finish, and those that the run lacks.
        whole: Whether `keys` are all answers of both.
    """

    benchmark: str
    keys: tuple[Key, ...]
    differences: tuple[str, ...]
    unfinished: tuple[int, int]
    whole: bool


def pair(baseline: RunEntry, run: RunEntry, benchmark: str) -> Pairing:
    """Pairs the answers of two runs to the questions of one benchmark."""
    first, second = baseline.results(benchmark), run.results(benchmark)
    late_first = baseline.outstanding(benchmark, second.keys() - first.keys())
    late_second = run.outstanding(benchmark, first.keys() - second.keys())
    only_first = [key for key in first if key not in second and key not in late_second]
    only_second = [key for key in second if key not in first and key not in late_first]
    asked = {i for i, _ in first} & {i for i, _ in second}
    both = [key for key in first if key in second]
    keys = tuple(key for key in both if first[key].target == second[key].target)
    kinds = {
        "only the baseline has {}": (i for i, _ in only_first if i not in asked),
        "only the run has {}": (i for i, _ in only_second if i not in asked),
        "the repeats differ for {}": (i for i, _ in (*only_first, *only_second) if i in asked),
        "the prompt tokens differ for {}": (
            key[0] for key in both if first[key].prompt_hash != second[key].prompt_hash
        ),
        "the gold answers differ for {}": (key[0] for key in both if first[key].target != second[key].target),
    }
    phrases = ((phrase, _counted(ids)) for phrase, ids in kinds.items())
    return Pairing(
        benchmark=benchmark,
        keys=keys,
        differences=tuple(phrase.format(counted) for phrase, counted in phrases if counted),
        unfinished=(len(late_first), len(late_second)),
        whole=len(keys) == len(first) == len(second),
    )


def _counted(found: Iterable[str]) -> str:
    """How many sample ids these are, each counted once, with a few of them; an empty text for none."""
    ids = list(dict.fromkeys(found))
    named = ", ".join(ids[:NAMED]) + (", …" if len(ids) > NAMED else "")
    return f"{count(len(ids), 'question')} ({named})" if ids else ""
