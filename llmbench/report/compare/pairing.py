"""Which answers of two runs belong together: by benchmark, sample id and repeat, with the same prompt and gold answer."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llmbench.records import Result
from llmbench.report.run_entry import Key, RunEntry
from llmbench.system.number_format import count

NAMED = 3
"""So many ids are named in an error; the counts are always whole."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The answers of one benchmark that two runs have in common, and what keeps the others apart.

    Attributes:
        keys: What both have, in the order of their ids, with the same gold answer.
        only_baseline: Sample ids that the run was never to be asked; `only_run` the other way round.
        repeats: Sample ids that both have, but not for the same repeats.
        prompts: Sample ids with different prompt tokens; they are among `keys`.
        targets: Sample ids with different gold answers; they are not.
        unfinished_baseline: Answers that the baseline lacks because it did not finish; `unfinished_run` the run.
    """

    benchmark: str
    keys: tuple[Key, ...]
    only_baseline: tuple[str, ...]
    only_run: tuple[str, ...]
    repeats: tuple[str, ...]
    prompts: tuple[str, ...]
    targets: tuple[str, ...]
    unfinished_baseline: int
    unfinished_run: int

    @property
    def questions(self) -> tuple[str, ...]:
        """The sample ids of `keys`."""
        return _ids(self.keys)

    def differences(self) -> list[str]:
        """What the runs do not have in common, a phrase each, with counts and a few ids."""
        kinds = (
            (self.only_baseline, "only the baseline has {}"),
            (self.only_run, "only the run has {}"),
            (self.repeats, "the repeats differ for {}"),
            (self.prompts, "the prompt tokens differ for {}"),
            (self.targets, "the gold answers differ for {}"),
        )
        return [phrase.format(_counted(ids)) for ids, phrase in kinds if ids]


def pair(baseline: RunEntry, run: RunEntry, benchmark: str) -> Pairing:
    """Pairs the answers of two runs to the questions of one benchmark."""
    first, second = baseline.results(benchmark), run.results(benchmark)
    missing_first, missing_second = second.keys() - first.keys(), first.keys() - second.keys()
    waiting_first = baseline.outstanding(benchmark, missing_first)
    waiting_second = run.outstanding(benchmark, missing_second)
    only_first = [key for key in first if key in missing_second - waiting_second]
    only_second = [key for key in second if key in missing_first - waiting_first]
    ids_first, ids_second = {i for i, _ in first}, {i for i, _ in second}
    both = [key for key in first if key in second]
    return Pairing(
        benchmark=benchmark,
        keys=tuple(key for key in both if first[key].target == second[key].target),
        only_baseline=_ids(key for key in only_first if key[0] not in ids_second),
        only_run=_ids(key for key in only_second if key[0] not in ids_first),
        repeats=_ids(
            key for key in (*only_first, *only_second) if key[0] in ids_first and key[0] in ids_second
        ),
        prompts=_ids(key for key in both if first[key].prompt_hash != second[key].prompt_hash),
        targets=_ids(key for key in both if first[key].target != second[key].target),
        unfinished_baseline=len(waiting_first),
        unfinished_run=len(waiting_second),
    )


def by_question(results: Mapping[Key, Result], keys: Sequence[Key]) -> dict[str, list[Result]]:
    """The answers at these keys, by sample id in the order of the keys."""
    grouped: dict[str, list[Result]] = defaultdict(list)
    for key in keys:
        grouped[key[0]].append(results[key])
    return dict(grouped)


def _ids(keys: Iterable[Key]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sample_id for sample_id, _ in keys))


def _counted(ids: Sequence[str]) -> str:
    named = ", ".join(ids[:NAMED]) + (", …" if len(ids) > NAMED else "")
    return f"{count(len(ids), 'question')} ({named})"
