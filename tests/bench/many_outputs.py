"""More long answers than run at once: what their order, vLLM's watermark and its chunk of prompts are worth.

    python -m tests.bench.many_outputs MODEL_DIR [SETTING …] [--orders today longest …] [--watermarks 0 0.05] [--chunks 16384 8192]
    python -m tests.bench.many_outputs --engine fake --requests 24 --at-once 8 --longest 64

512 requests with forced lengths as in `long_outputs`, at most 256 at once, each variant a run as from the command line. Every pair of a watermark
(`0`: vLLM's default) and a chunk (`max_num_batched_tokens`; `-`: vLLM's default) has a process and a load of its own, and all orders run in it:

- `given`: as drawn, which says nothing of the lengths; `today`: by prompt, the longest first, as `run/order` has it where nothing is known;
- `longest`: the longest answer first, as `run/order` has it where the lengths are known.

Each order runs `--rounds` times, in this order and then backwards; a row has the medians. With `engine.kv_cache_memory_bytes=` as a SETTING the KV
cache is as small as is wanted; a model of another size than Qwen2.5-14B needs `model.parameters_b=` too.
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
from llmbench.engine.base import ModelEngine
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.factory import open_engine
from llmbench.records import Request, Sampling
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool, Engines
from llmbench.run.options import RunOptions
from llmbench.run.order import ordered, question
from tests.bench import long_outputs, variants
from tests.bench.long_outputs import MOST, NAME, Work, forced
from tests.bench.long_outputs_bare import endless
from tests.bench.variants import add_long_outputs, in_own_process, machine, parsed

ORDERS = ("given", "today", "longest")
FIGURES = ("generate_s", "tokens_per_s", "tail_s", "last_tenth_s", "preemptions", "steps", "step_s")
DEFAULT = "-"


def settings(options: argparse.Namespace, watermark: float, chunk: str) -> Config:
    """The settings of a process: as many questions as there are, each asked as often as the requests need it."""
    repeats = -(-options.requests // MOST)
    samples = -(-options.requests // repeats)
    chosen = [f"sampling.repeats={repeats}", f"batch_size={options.at_once}"]
    if options.engine == "vllm":
        given = {"watermark": watermark} | (
            {} if chunk == DEFAULT else {"max_num_batched_tokens": int(chunk)}
        )
        chosen += [f"+engine.args.{name}={value}" for name, value in given.items()]
    one = argparse.Namespace(
        **vars(options) | {"requests": samples, "settings": [*chosen, *options.settings]}
    )
    return long_outputs.settings(one)


def in_order(work: Work, order: str, config: Config) -> Work:
    """Returns the same work in another order."""
    if order == "given":
        return work
    known = {NAME: {question(str(number)): length for number, length in enumerate(work.lengths)}}
    limit = Sampling(max_tokens=max(work.lengths))
    asked = [Request(str(n), NAME, str(n), 0, prompt, limit) for n, prompt in enumerate(work.prompts)]
    made, _ = ordered(asked, config, known if order == "longest" else {})
    places = [int(request.id) for request in made]
    return Work(tuple(work.prompts[at] for at in places), tuple(work.lengths[at] for at in places))


def run_orders(config: Config, work: Work, orders: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    """Runs all orders with one load; a row of figures for each run."""
    now, engines = work, list[ModelEngine]()

    def opened(config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
        fake = config.engine.name == "fake"
        engines[:] = [endless(max(work.lengths)) if fake else open_engine(config, checkpoint)]
        return forced(now, engines[0])

    rows = []
    with EnginePool(Engines(open_engine=opened), process_ends=True) as pool:
        for number in range(rounds):
            for order in orders if number % 2 == 0 else orders[::-1]:
                now = in_order(work, order, config)
                for engine in engines:  # which has the order before
                    for name in ("submit", "load"):
                        vars(engine).pop(name)
                    forced(now, engine)
                with tempfile.TemporaryDirectory() as folder:
                    summary = pipeline.run(config, Path(folder) / "run", RunOptions(pool=pool))
                tokens, times, report = summary.benchmarks[NAME].tokens.output, summary.time_s, summary.engine
                assert tokens == sum(work.lengths)
                assert times.generate is not None
                assert times.generation is not None
                assert report is not None
                how = times.generation
                found: tuple[Any, ...] = (
                    times.generate,
                    tokens / times.generate,
                    how.tail,
                    how.last_tenth,
                    report.preemptions,
                    how.steps,
                    how.step,
                )
                rows.append(
                    {"order": order, "kv_cache_tokens": report.kv_cache_tokens}
                    | dict(zip(FIGURES, found, strict=True))
                )
    return rows


def measure(watermark: float, chunk: str) -> list[dict[str, Any]]:
    """Has a process of its own run all orders, and returns its rows."""
    own = ["--watermarks", str(watermark), "--chunks", chunk]
    rows: list[dict[str, Any]] = in_own_process(
        f"watermark {watermark}, chunk {chunk}", "many_outputs", [*sys.argv[1:], *own]
    )
    return rows


def show(rows: Sequence[dict[str, Any]], orders: Sequence[str], watermark: float, chunk: str) -> None:
    """Prints the medians of each order."""
    for order in orders:
        own = [row for row in rows if row["order"] == order]
        cells = []
        for name in FIGURES:
            values = [row[name] for row in own if row[name] is not None]
            cells.append(f"{statistics.median(values):,.4g}" if values else "-")
        print(f"| {watermark:g} | {chunk} | {order} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measures and prints."""
    parser = variants.parser("many_outputs", __doc__)
    add_long_outputs(parser, 512)
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=["today", "longest"])
    parser.add_argument("--watermarks", nargs="+", type=float, default=[0.05])
    parser.add_argument(
        "--chunks", nargs="+", default=[DEFAULT], metavar="TOKENS", help=f"{DEFAULT}: vLLM's default"
    )
    parser.add_argument("--at-once", type=int, default=256)
    options = parsed(parser)
    repeats = -(-options.requests // MOST)
    work = Work.of(-(-options.requests // repeats) * repeats, options.longest)
    if options.into is not None:
        config = settings(options, options.watermarks[0], options.chunks[0])
        options.into.write_text(json.dumps(run_orders(config, work, options.orders, options.rounds)))
        return
    print(f"{len(work.lengths)} requests, {sum(work.lengths):,} output tokens, {options.at_once} at once")
    print(f"| watermark | chunk | order | {' | '.join(FIGURES)} |\n|{'---|' * (3 + len(FIGURES))}")
    everything = []
    for watermark in options.watermarks:
        for chunk in options.chunks:
            rows = measure(watermark, chunk)
            show(rows, options.orders, watermark, chunk)
            everything += [row | {"watermark": watermark, "chunk": chunk} for row in rows]
    print(json.dumps(everything))
    print(machine())


if __name__ == "__main__":
    main()
