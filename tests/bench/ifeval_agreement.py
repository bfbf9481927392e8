"""llmbench's checks of IFEval beside those of lm-evaluation-harness (0.4.13), which are the published ones.

python -m tests.bench.ifeval_agreement FOLDER [RUN …]

Each text is put to every instruction of tests/data/ifeval_sample.jsonl, strictly and loosely. Texts are the answers of the RUNs, or without any the right
and wrong answers of tests/data in several disguises. FOLDER holds lm-eval's package: `pip install --no-deps --target FOLDER lm-eval`; its
checks import immutabledict, nltk, packaging and typing_extensions too, and read NLTK's data `punkt_tab` (from NLTK_DATA; the wheel of
llama-index-core carries it). The harness gives langdetect no seed; `--seed 0` does. NLTK from 3.10 on takes a zero-width joiner, as in
emoji, for a word; the published code and ours, with Python's `re`, do not.
"""

import argparse
import collections
import json
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from llmbench.benchmarks.ifeval import Followed, IFEval, followed, language
from llmbench.records import Sample
from llmbench.results.reader import load_run
from tests.helpers.paths import DATA

SHOWN = 300
"""Characters of a text on which both disagree."""


def lines(name: str) -> list[dict[str, Any]]:
    """The rows of a file in tests/data."""
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def import_harness(folder: Path) -> Any:  # noqa: ANN401 - a module without types
    """The module of lm-eval's that has the strict and the loose test; lm-eval itself, which imports torch, is left out."""
    for name, path in (("lm_eval", folder / "lm_eval"), ("lm_eval.tasks", folder / "lm_eval" / "tasks")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    return import_module("lm_eval.tasks.ifeval.utils")


def disguised(text: str) -> Iterator[str]:
    """A text as models vary it."""
    yield text
    yield f"Sure! Here is what you asked for, in short:\n{text}"
    yield f"{text}\n\nI hope that helps. Is there anything else I can help with?"
    yield f"**{text}**"
    yield f'"{text}"'
    yield text.replace(",", "").upper()
    yield text.lower().replace(". ", ".\n\n")
    yield "\n".join(f"* {line}" for line in text.splitlines())
    yield f"{text}\n***\n{text} It's GONNA be [so], e.g. at 5 p.m. or in the U.S. again... P.S. I'm not <<sure>>!\n"


def texts_of(runs: Sequence[str]) -> list[str]:
    """What is put to the checks, each text once."""
    if runs:
        found = [IFEval().extract(_ANY, r.text, complete=True) for run in runs for r in load_run(run).results]
        return list(dict.fromkeys(text for text in found if text is not None))
    outputs = [output[name] for output in lines("ifeval_sample_outputs.jsonl") for name in ("right", "wrong")]
    return list(dict.fromkeys(text for output in outputs for text in disguised(output)))


_ANY = Sample("", {}, "")


def compare_counts(texts: Sequence[str]) -> None:
    """Prints on how many texts both count as many sentences, words and words in capitals."""
    theirs = import_module("lm_eval.tasks.ifeval.instructions_util")
    counters: dict[str, tuple[Callable[[str], int], Callable[[str], int]]] = {
        "sentences": (language.count_sentences, theirs.count_sentences),
        "words": (language.count_words, theirs.count_words),
        "words in capitals": (
            language.count_capital_words,
            lambda text: sum(word.isupper() for word in theirs.nltk.word_tokenize(text)),
        ),
    }
    for name, (ours, other) in counters.items():
        same = sum(ours(text) == other(text) for text in texts)
        print(f"as many {name} in {same} of {len(texts)} texts")


def main() -> None:
    """Prints a line for each check, and each difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    harness = import_harness(given.folder)
    import_module("langdetect").DetectorFactory.seed = given.seed
    texts, counts = texts_of(given.runs), collections.Counter[tuple[str, str]]()
    for sample in IFEval().load(lines("ifeval_sample.jsonl"), {}, 0):
        fields = sample.fields
        row = harness.InputExample(
            sample.id, fields["instruction_id_list"], fields["prompt"], fields["kwargs"]
        )
        for text in texts:
            strict = harness.test_instruction_following_strict(row, text).follow_instruction_list
            loose = harness.test_instruction_following_loose(row, text).follow_instruction_list
            pairs = zip(fields["instruction_id_list"], fields["kwargs"], strict, loose, strict=True)
            for name, arguments, *theirs in pairs:
                how = followed(name, arguments, text)
                ours = [how is Followed.STRICTLY, how is not Followed.NOT]
                counts[name, "n"] += 1
                counts[name, "passed"] += ours[0]
                for kind, our, their in zip(("strict", "loose"), ours, theirs, strict=True):
                    counts[name, kind] += our == their
                    if our != their:
                        print(
                            f"{name} {arguments}, {kind}: {our}, the harness says {their}: {text[:SHOWN]!r}"
                        )
    compare_counts(texts)
    for name in dict.fromkeys(name for name, _ in counts):
        n, passed, strict, loose = (counts[name, kind] for kind in ("n", "passed", "strict", "loose"))
        print(
            f"{name:46}{n:6} judged, {passed:5} followed; the same: strict {strict / n:.2%}, loose {loose / n:.2%}"
        )
    judged, same = (
        sum(counts[pair] for pair in counts if pair[1] in kinds) for kinds in (("n",), ("strict", "loose"))
    )
    print(f"in all {same:,} of {2 * judged:,} verdicts are the same: {same / (2 * judged):.3%}")


if __name__ == "__main__":
    main()
