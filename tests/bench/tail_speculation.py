"""What drafting tokens brings and costs where a few long answers run last: each way in a process of its own, in turn.

    python -m tests.bench.tail_speculation MODEL_DIR [--below 16] [--acceptance 0.2,0.4,0.6] [--sides plain,sync,…] [--startup graphs|…] [SETTING …]
    python -m tests.bench.tail_speculation --engine fake --requests 8 --longest 64

The workload is that of `long_outputs`: 128 requests with forced lengths, log-normal around 2,000 tokens and at most 8,192. The sides:

    plain     without speculation
    sync      likewise, with `async_scheduling` off and vLLM's first model runner, as n-grams have it: what they cost before anything is drafted
    always    n-grams, drafted in every step
    below     n-grams, drafted while at most `--below` requests run
    SHARE     as `below`, with vLLM's synthetic acceptance: that share of the drafted tokens is accepted whatever the model says. The texts are
              nonsense, so weights may be random; the times are those of a run in which n-grams fit as often. Sides with this are `synthetic`.

Weights that are random accept what random weights accept; what a real model accepts has to be measured with it (`engine.speculation` of its summary).
A line has tokens/s, seconds of the tail (fewer than half of the most requests run), seconds of a decode step on average, the share of drafted tokens that
were accepted, the share of steps that had drafts, and the share of texts that equal those of the first round's plain side (in bf16 a step of another shape rounds otherwise).
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmbench.config.schema import Config
from llmbench.results.reader import load_run
from tests.bench import variants
from tests.bench.long_outputs import MOST, Work, settings, through_llmbench
from tests.bench.variants import add_long_outputs, in_own_process, machine, parsed

SIDES = ("plain", "sync", "always", "below")
NGRAMS = {"method": "ngram", "prompt_lookup_min": 2, "prompt_lookup_max": 5}
SHORTEST = 1
"""Tokens that an n-gram must have with synthetic acceptance, so that nearly every step has drafts."""


def typed(side: str, options: argparse.Namespace) -> list[str]:
    """The settings of a side; any name but those of `SIDES` is a share of drafted tokens that is to be accepted."""
    if side == "plain":
        return []
    if side == "sync":
        return ["+engine.args.async_scheduling=false"] if options.engine == "vllm" else []
    drafting: dict[str, Any] = NGRAMS | {"num_speculative_tokens": options.tokens}
    if side not in SIDES:
        length = 1 + float(side) * options.tokens
        drafting |= {"prompt_lookup_min": SHORTEST, "rejection_sample_method": "synthetic"}
        drafting["synthetic_acceptance_length"] = length
    below = "null" if side == "always" else options.below
    words = ", ".join(f"{name}: {value}" for name, value in drafting.items())
    return [f"engine.speculative={{{words}}}", f"engine.speculative_max_running={below}"]


def of_side(side: str, options: argparse.Namespace) -> Config:
    """All settings of a side; what was typed has the last word."""
    given = argparse.Namespace(**vars(options) | {"settings": [*typed(side, options), *options.settings]})
    return settings(given)


def run_side(side: str, options: argparse.Namespace) -> dict[str, Any]:
    """Runs a side in this process; returns what `long_outputs` does, and the texts."""
    work = Work.of(options.requests, options.longest)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        measured = through_llmbench(of_side(side, options), work, run)
        texts = {result.sample_id: result.text for result in load_run(run).results}
    return measured | {"texts": texts}


def measure(side: str) -> dict[str, Any]:
    """Runs a side in a process of its own, and returns what it measured."""
    runner = {"VLLM_USE_V2_MODEL_RUNNER": "0"} if side == "sync" else {}
    measured: dict[str, Any] = in_own_process(
        side, "tail_speculation", [*sys.argv[1:], "--side", side], runner
    )
    return measured


def figures(measured: dict[str, Any], texts: dict[str, str]) -> dict[str, float | None]:
    """What a side came to, beside the texts of the plain side."""
    drafted = measured["report"].get("speculation") or {}
    steps, with_drafts = drafted.get("steps"), drafted.get("drafted_steps")
    equal = [measured["texts"].get(name) == text for name, text in texts.items()]
    return {
        "tokens_per_s": measured["output_tokens"] / measured["generate_s"],
        "generate_s": measured["generate_s"],
        "tail_s": measured["generation"]["tail"],
        "step_s": measured["generation"]["step"],
        "accepted": drafted.get("acceptance_rate"),
        "steps_with_drafts": with_drafts / steps if steps else None,
        "equal_texts": statistics.mean(equal) if equal else None,
    }


def medians(rounds: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Each figure's median over the rounds; None where one has none."""
    found: dict[str, float | None] = {}
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        known = [value for value in values if value is not None]
        found[name] = statistics.median(known) if len(known) == len(values) else None
    return found


def show(side: str, found: dict[str, float | None], plain: dict[str, float | None] | None) -> None:
    """Prints a side's line."""
    shown = ", ".join(
        f"{name} {'-' if value is None else format(value, ',.4g')}" for name, value in found.items()
    )
    name = side if side in SIDES else f"below, synthetic acceptance {float(side):.0%}"
    speed, before = found["tokens_per_s"], plain and plain["tokens_per_s"]
    ratio = f"{speed / before:.3f} x plain, " if speed and before else ""
    print(f"{name}: {ratio}{shown}", flush=True)


def typed_options() -> argparse.Namespace:
    """What was typed."""
    parser = variants.parser("tail_speculation", __doc__)
    add_long_outputs(parser, 128)
    parser.add_argument("--below", type=int, default=16, metavar="REQUESTS")
    parser.add_argument("--tokens", type=int, default=5, help="that are drafted for a request at a time")
    parser.add_argument("--sides", default=",".join(SIDES), help="those to run, of the four above")
    parser.add_argument("--acceptance", default="", metavar="SHARES", help="such as 0.2,0.4,0.6")
    parser.add_argument("--side", help="the one to run in this process")
    options = parsed(parser)
    if not 1 <= options.requests <= MOST:
        parser.error(f"--requests is 1 to {MOST}")
    unknown = set(options.sides.split(",")) - set(SIDES)
    if unknown:
        parser.error(f"--sides has {', '.join(sorted(unknown))}; there are {', '.join(SIDES)}")
    return options


def main() -> None:
    """Measures and prints."""
    options = typed_options()
    if options.side is not None:
        options.into.write_text(json.dumps(run_side(options.side, options), default=str))
        return
    sides = [side for side in (*options.sides.split(","), *options.acceptance.split(",")) if side]
    found: dict[str, list[dict[str, float | None]]] = {side: [] for side in sides}
    texts: dict[str, str] = {}
    for number in range(options.rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            measured = measure(side)
            if side == "plain" and not texts:
                texts = measured["texts"]
            found[side].append(figures(measured, {} if side not in SIDES else texts))
            show(side, found[side][-1], found["plain"][0] if found.get("plain") else None)
    of = {side: medians(rounds) for side, rounds in found.items()}
    if options.rounds > 1:
        print(f"medians of {options.rounds} rounds:")
        for side, values in of.items():
            show(side, values, of.get("plain"))
    given = {name: value for name, value in vars(options).items() if name not in ("side", "into")}
    print(json.dumps(given | {"figures": of, "each_round": found}))
    print(machine())


if __name__ == "__main__":
    main()
