"""A run of llmbench on GSM8K beside lm-evaluation-harness's, question by question.

python -m tests.bench.gsm8k_agreement RUN FOLDER

FOLDER is what tests/bench/lm_eval_gsm8k.sh wrote with `--log_samples --output_path FOLDER`. RUN asked the same rows with `custom.data=`. The
harness takes the last number of any text for its answer; llmbench takes none from a text that the token limit cut off before it
stated one, so the numbers of those texts are counted by themselves.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from llmbench.answers.equivalence import number_equal
from llmbench.records import FinishReason, Result
from llmbench.results.reader import load_run

SHOWN = 160
"""Characters of the end of a text on which both disagree."""


def samples(folder: Path) -> dict[int, dict[str, Any]]:
    """The harness's lines by the number of their row, counted from 1."""
    (found,) = sorted(folder.rglob("samples_*.jsonl"))
    return {line["doc_id"] + 1: line for line in map(json.loads, found.read_text().splitlines())}


def is_same_answer(ours: str | None, theirs: str) -> bool:
    """Whether both read the same number, or none, out of a text."""
    last = theirs.replace("$", "").replace(",", "").rstrip(".")
    return last == "[invalid]" if ours is None else number_equal(last, ours)


def main() -> None:
    """Prints how often both agree, and each verdict on which they do not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    theirs = samples(arguments.folder)
    pairs: list[tuple[Result, dict[str, Any]]] = [
        (result, theirs[int(result.sample_id)]) for result in load_run(arguments.run).results
    ]
    ended = [pair for pair in pairs if pair[0].completions[0].finish_reason is not FinishReason.LENGTH]
    other = [pair for pair in ended if not is_same_answer(pair[0].score.answer, pair[1]["filtered_resps"][0])]
    differ = [pair for pair in pairs if pair[0].score.value != float(pair[1]["exact_match"]) or pair in other]
    same_text = sum(ours.text.strip() == line["resps"][0][0].strip() for ours, line in pairs)
    same_verdict = sum(ours.score.value == float(line["exact_match"]) for ours, line in pairs)
    print(f"{len(pairs)} questions, {same_text} with the same text; {len(ended)} texts ended by themselves")
    print(
        f"right: {sum(ours.score.value for ours, _ in pairs):g} and {sum(line['exact_match'] for _, line in pairs):g}"
    )
    print(f"the same verdict: {same_verdict} of {len(pairs)}")
    print(f"the same number, of the texts that ended: {len(ended) - len(other)} of {len(ended)}")
    for ours, line in differ:
        print(
            f"\nquestion {ours.sample_id}: {ours.score.value:g} and {line['exact_match']:g}, gold {ours.target}, "
            f"answers {ours.score.answer} and {line['filtered_resps'][0]}, {ours.completions[0].finish_reason.value}: "
            f"… {ours.text[-SHOWN:]!r}"
        )


if __name__ == "__main__":
    main()
