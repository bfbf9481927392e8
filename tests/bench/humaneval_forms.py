"""HumanEval's canonical solutions in every form of `tests/helpers/humaneval_forms.py`, each extracted and run in the sandbox.

python -m tests.bench.humaneval_forms humaneval.jsonl
"""

import argparse
import collections
import json
import time
from pathlib import Path

from llmbench.benchmarks.humaneval import HumanEval
from llmbench.benchmarks.programs import ProgramVerdict
from tests.helpers.humaneval_forms import forms


def main() -> None:
    """Prints one line of JSON; programs that are the same run once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    rows = [json.loads(line) for line in parser.parse_args().rows.read_text().splitlines()]
    texts: collections.Counter[str] = collections.Counter()
    failed: dict[str, list[str]] = {}
    programs, begun = 0, time.monotonic()
    for sample in HumanEval().load(rows, {}, 0):
        verdicts: dict[str | None, ProgramVerdict | None] = {None: None}
        for form, text in forms(sample.fields["prompt"], sample.target):
            program = HumanEval().extract(sample, text, complete=True)
            if program is not None and program not in verdicts:
                verdicts[program] = HumanEval().judged(sample, program).verdict
            texts[form] += 1
            if verdicts[program] is not ProgramVerdict.PASSED:
                failed.setdefault(form, []).append(sample.id)
        programs += len(verdicts) - 1
    print(
        json.dumps(
            {
                "forms": len(texts),
                "texts": texts.total(),
                "programs_run": programs,
                "failed": failed,
                "seconds": time.monotonic() - begun,
            }
        )
    )


if __name__ == "__main__":
    main()
