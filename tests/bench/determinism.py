"""The same requests at several batch sizes, with `engine.deterministic` on and off: how many texts are equal to those at batch size 1, and what that costs.

    python -m tests.bench.determinism MODEL [--weights bf16|fp8] [--requests 32] [--tokens 128] [--sizes 1,32,128] [--fresh] [SETTING …]
    python -m tests.bench.determinism --engine fake --requests 4 --tokens 16 --sizes 1,4

MODEL is a checkpoint's folder, or a name of conf/model. Prompts are 100 to 300 random tokens; every other one begins with the same 256, so
that prefix caching has something to do. Lengths are forced, since weights may be random. A batch size above the number of requests gets as many
requests as fill it, of which the first are compared. Each mode is a process of its own, in which one engine serves all batch sizes, the largest
first; with --fresh each batch size is one, with an engine loaded for it. All else is a run as from the command line.

For each mode and size: the share of texts whose tokens are all those at the smallest batch size of the same mode; of those that differ the first
and the median position of the first other token, from 0; output tokens per second of the time in which requests ran; and `cost`, the speed with
the mode off over that with it on. What a mode is refused for stands in its place.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmbench.cli.compose import compose
from llmbench.config.schema import Config
from llmbench.engine.base import ModelEngine
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.factory import open_engine
from llmbench.errors import LlmbenchError
from llmbench.records import Completion, Request
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool, Engines
from llmbench.run.options import RunOptions
from tests.bench import variants
from tests.bench.long_outputs_bare import endless
from tests.bench.variants import in_own_process, machine, parsed

NAME = "arithmetic"
SEED, PROMPT, SHARED = 1127, (100, 300), 256
MODES = {"on": True, "off": False}
MOST = 200
"""Questions that the benchmark makes."""
SHOWN = (
    "version",
    "attention_backend",
    "batch_invariant",
    "startup",
    "dtype",
    "quantization",
    "batch_size",
    "prefix_cache_hit_rate",
)
"""Of the engine's report."""


def prompts(count: int) -> list[tuple[int, ...]]:
    """Token ids, the same for the same number; every other prompt has the shared beginning."""
    generator = random.Random(SEED)
    shared = tuple(generator.randrange(1000, 40000) for _ in range(SHARED))
    made = [
        tuple(generator.randrange(1000, 40000) for _ in range(generator.randint(*PROMPT)))
        for _ in range(count)
    ]
    return [shared + each if number % 2 else each for number, each in enumerate(made)]


def settings(options: argparse.Namespace, mode: str, size: int) -> Config:
    """The settings of one run."""
    typed = [
        f"benchmark={NAME}", f"benchmarks.{NAME}.num_samples={max(options.requests, size)}", f"benchmarks.{NAME}.max_tokens={options.tokens}",
        "early_stopping=off", "sampling.ignore_eos=true", "report=false", "log_level=WARNING", f"engine={options.engine}",
        f"batch_size={size}", f"engine.deterministic={str(MODES[mode]).lower()}",
    ]  # fmt: skip
    if options.engine == "vllm":
        folder = Path(options.model).expanduser()
        typed += (
            ["model=qwen14b", "model.parameters_b=null", f"model.path={folder}"]
            if folder.is_dir()
            else [f"model={options.model}"]
        )
        typed += [
            f"model.quantization={'fp8' if options.weights == 'fp8' else 'null'}",
            f"model.max_length={options.tokens + PROMPT[1] + SHARED + 16}",
        ]
    return compose([*typed, *options.settings])


class Recorder:
    """Gives an engine these prompts, whatever it is asked, and keeps the tokens of its answers by the prompts' numbers."""

    def __init__(self, config: Config, tokens: int) -> None:
        """Answers have so many tokens; where they are drawn, each has a seed of its own."""
        self._prompts, self._tokens = prompts(MOST), tokens
        self._seeded, self._has_model = config.sampling.temperature > 0, config.engine.name != "fake"
        self._numbers: dict[str, int] = {}
        self.answers: dict[int, list[Any]] = {}

    def begin(self) -> None:
        """Forgets the run before."""
        self._numbers, self.answers = {}, {}

    def around(self, engine: ModelEngine) -> ModelEngine:
        """The engine with its `submit` and `step` replaced."""
        submit, step = engine.submit, engine.step

        def submit_forced(request: Request, *, first: bool = False) -> None:
            number = self._numbers.setdefault(request.id, len(self._numbers))
            sampling = replace(request.sampling, max_tokens=self._tokens, ignore_eos=True)
            sampling = replace(sampling, seed=number) if self._seeded else sampling
            submit(replace(request, prompt_ids=self._prompts[number], sampling=sampling), first=first)

        def step_recorded() -> list[Completion]:
            made = step()
            for each in made:
                # without a model token ids are another tokenizer's each time
                ids = list(each.output_ids) if self._has_model else each.text.split()
                self.answers[self._numbers[each.request_id]] = ids
            return made

        engine.submit, engine.step = submit_forced, step_recorded  # type: ignore[method-assign]
        return engine


def measure_here(options: argparse.Namespace, mode: str, sizes: Sequence[int]) -> dict[str, Any]:
    """The tokens and the speed at each batch size, by one engine in this process; or why the mode is refused."""
    try:
        configs = {size: settings(options, mode, size) for size in sorted(sizes, reverse=True)}
        recorder = Recorder(next(iter(configs.values())), options.tokens)

        def opened(config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
            fake = config.engine.name == "fake"
            return recorder.around(endless(options.tokens) if fake else open_engine(config, checkpoint))

        found: dict[str, Any] = {}
        with (
            tempfile.TemporaryDirectory() as folder,
            EnginePool(Engines(open_engine=opened), process_ends=True) as pool,
        ):
            pool.plan(list(configs.values()))
            for size, config in configs.items():
                recorder.begin()
                summary = pipeline.run(config, Path(folder) / str(size), RunOptions(pool=pool))
                tokens, generate_s = summary.benchmarks[NAME].tokens.output, summary.time_s.generate
                answers = [recorder.answers[number] for number in range(options.requests)]
                assert all(len(answer) == options.tokens for answer in answers)
                assert summary.engine is not None
                found[str(size)] = {
                    "answers": answers,
                    "tokens_per_s": tokens / generate_s if generate_s else None,
                    "load_s": summary.time_s.load,
                    "engine": {name: getattr(summary.engine, name) for name in SHOWN},
                }
    except LlmbenchError as error:
        return {"refused": str(error)}
    return found


def measure(mode: str, sizes: Sequence[int]) -> dict[str, Any]:
    """The same in a process of its own."""
    own = ["--mode", mode, "--these", ",".join(map(str, sizes))]
    found: dict[str, Any] = in_own_process(mode, "determinism", [*sys.argv[1:], *own])
    return found


def first_difference(one: Sequence[Any], other: Sequence[Any]) -> int | None:
    """The position of the first token that differs; None where the answers are equal."""
    if one == other:
        return None
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def compared(one: Sequence[Sequence[Any]], other: Sequence[Sequence[Any]]) -> dict[str, float | None]:
    """The share of equal answers, and where the others part."""
    places = [first_difference(a, b) for a, b in zip(one, other, strict=True)]
    apart = [place for place in places if place is not None]
    return {
        "equal": places.count(None) / len(places),
        "first": min(apart, default=None),
        "median": statistics.median(apart) if apart else None,
    }


def table(found: dict[str, dict[str, Any]], sizes: Sequence[int]) -> dict[str, Any]:
    """The rows by mode and size, with the refused modes."""
    rows: dict[str, Any] = {}
    for mode, runs in found.items():
        if "refused" in runs:
            rows[mode] = runs
            continue
        least = runs[str(min(sizes))]
        rows[mode] = {
            str(size): compared(least["answers"], runs[str(size)]["answers"])
            | {name: value for name, value in runs[str(size)].items() if name != "answers"}
            for size in sizes
        }
    if all("refused" not in runs for runs in found.values()):
        for size in map(str, sizes):
            fast, slow = (found[mode][size]["tokens_per_s"] for mode in ("off", "on"))
            rows["on"][size]["cost"] = fast / slow if fast and slow else None
        least_size = str(min(sizes))
        rows["on_and_off"] = compared(found["on"][least_size]["answers"], found["off"][least_size]["answers"])
    return rows


def show(rows: dict[str, Any], sizes: Sequence[int]) -> None:
    """Prints the table."""
    print(
        f"{'deterministic':<14}{'batch':>6}{'equal':>8}{'first':>7}{'median':>8}{'tokens/s':>10}{'cost':>7}"
    )
    for mode in MODES:
        if "refused" in rows[mode]:
            print(f"{mode:<14}refused: {rows[mode]['refused']}")
            continue
        for size in sizes:
            row = rows[mode][str(size)]
            cells = (_shown(row[name]) for name in ("first", "median", "tokens_per_s"))
            first, median, speed = cells
            cost = _shown(row.get("cost"))
            print(f"{mode:<14}{size:>6}{row['equal']:>8.1%}{first:>7}{median:>8}{speed:>10}{cost:>7}")
    if "on_and_off" in rows:
        print(
            f"on and off at batch size {min(sizes)}: {rows['on_and_off']['equal']:.1%} of the texts are equal"
        )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _arguments() -> argparse.Namespace:
    parser = variants.parser("determinism", __doc__)
    parser.add_argument("--requests", type=int, default=32, help="that are compared")
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    parser.add_argument("--sizes", default="1,32,128", help="batch sizes")
    parser.add_argument("--fresh", action="store_true", help="an engine of its own for each batch size")
    parser.add_argument("--mode", choices=tuple(MODES), help="with --into")
    parser.add_argument("--these", metavar="SIZES", help="with --into")
    options = parsed(parser)
    largest = max(options.requests, *map(int, options.sizes.split(",")))
    if not 1 <= largest <= MOST:
        parser.error(f"--requests and --sizes are 1 to {MOST}")
    return options


def main() -> None:
    """Measures and prints."""
    options = _arguments()
    if options.into is not None:
        sizes = [int(size) for size in options.these.split(",")]
        options.into.write_text(json.dumps(measure_here(options, options.mode, sizes), default=str))
        return
    sizes = sorted({int(size) for size in options.sizes.split(",")})
    found: dict[str, dict[str, Any]] = {}
    for mode in MODES:
        found[mode] = {}
        for part in [[size] for size in sizes] if options.fresh else [sizes]:
            if "refused" not in found[mode]:
                found[mode] |= measure(mode, part)
    rows = table(found, sizes)
    show(rows, sizes)
    names = ("model", "engine", "weights", "requests", "tokens", "fresh", "settings")
    print(json.dumps({name: getattr(options, name) for name in names} | {"rows": rows}, default=str))
    print(machine())


if __name__ == "__main__":
    main()
