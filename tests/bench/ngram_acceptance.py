"""What n-grams would have drafted over the answers of a finished run, and how much of it the model wrote indeed. Needs vLLM, loads no model.

    python -m tests.bench.ngram_acceptance RUN_FOLDER model=smollm2

Greedy decoding accepts the drafted tokens up to the first that the answer has otherwise, so with the answers of a run at temperature 0 the figures are those of a
run with `engine.speculative={method: ngram, num_speculative_tokens: 5, prompt_lookup_min: MIN, prompt_lookup_max: 5}`. Drafts are of vLLM's own function.
Prompts and answers are made into tokens anew, which may differ from those that the model wrote in a few places.
"""

import argparse
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmbench.cli.compose import compose
from llmbench.engine.factory import find_checkpoint, load_tokenizer
from llmbench.results.reader import load_run

LONGEST, NO_LIMIT = 5, 1 << 30
SHORTEST = (1, 2, 3, 5)


@dataclass(slots=True)
class Drafted:
    """Decode steps of all answers one by one, steps with drafts, and tokens."""

    steps: int = 0
    with_drafts: int = 0
    drafted: int = 0
    accepted: int = 0

    def add(self, ids: Any, begins: int, shortest: int, tokens: int) -> None:  # noqa: ANN401 - a numpy array
        """Goes through an answer, whose first token comes of reading the prompt; `begins` is where the second stands."""
        module = importlib.import_module("vllm.v1.spec_decode.ngram_proposer")
        propose = module._find_longest_matched_ngram_and_propose_tokens
        while begins < len(ids):
            draft = propose(ids[:begins], shortest, LONGEST, NO_LIMIT, tokens)
            pairs = zip(draft, ids[begins:], strict=False)
            accepted = next((n for n, (one, other) in enumerate(pairs) if one != other), None)
            if accepted is None:
                accepted = min(len(draft), len(ids) - begins)
            self.steps += 1
            self.with_drafts += len(draft) > 0
            self.drafted += len(draft)
            self.accepted += accepted
            begins += accepted + 1

    def line(self) -> str:
        """The shares, and tokens for each step."""
        share = self.accepted / self.drafted if self.drafted else 0
        return (
            f"drafts in {self.with_drafts / self.steps:.1%} of {self.steps} steps, {share:.1%} of {self.drafted} drafted tokens accepted, "
            f"{1 + self.accepted / self.steps:.2f} tokens a step"
        )


def tokens_of(folder: Path, settings: Sequence[str]) -> list[tuple[Any, int]]:
    """The token ids of each prompt and its answer, and how many are the prompt's."""
    config = compose(list(settings))
    tokenizer = load_tokenizer(config, find_checkpoint(config))
    array = importlib.import_module("numpy").array
    found = []
    for result in load_run(folder).results:
        prompt = tokenizer.encode(result.prompt, special=False)
        answer = tokenizer.encode(result.text, special=False)
        found.append((array([*prompt, *answer], dtype="int32"), len(prompt)))
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.ngram_acceptance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--tokens", type=int, default=5, help="that are drafted at a time")
    parser.add_argument(
        "settings", nargs="+", help="of the model, whose tokenizer is used, such as model=smollm2"
    )
    options = parser.parse_intermixed_args()
    texts = tokens_of(options.folder, options.settings)
    print(f"{len(texts)} answers, {sum(len(ids) - prompt for ids, prompt in texts):,} tokens")
    for shortest in SHORTEST:
        drafted = Drafted()
        for ids, prompt in texts:
            drafted.add(ids, prompt + 1, shortest, options.tokens)
        print(f"prompt_lookup_min {shortest}, prompt_lookup_max {LONGEST}: {drafted.line()}")


if __name__ == "__main__":
    main()
