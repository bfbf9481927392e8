"""Prints ratios measured in one process, alternating, so that the machine's ups and downs meet both sides alike.

    python -m tests.bench [--rounds 3] [--requests 64] [SETTING=VALUE …]

The same requests (token ids, output lengths fixed by ignoring the end of text) go through llmbench, with its grading workers,
journal and telemetry, and through a bare `LLM.generate` of the same loaded vLLM; the prefix cache is emptied before each pass.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmbench.benchmarks import arithmetic
from llmbench.benchmarks.arithmetic import Arithmetic
from llmbench.cli.compose import compose
from llmbench.config.schema import Config
from llmbench.engine.base import Engine
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.factory import find_checkpoint, load_tokenizer
from llmbench.engine.restarting import RestartingEngine
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.vllm.engine import VllmEngine
from llmbench.engine.watching import Watch
from llmbench.engine.workload import Workload
from llmbench.errors import EngineError
from llmbench.records import Request, Sample, Sampling
from llmbench.results.run_folder import RunFolder
from llmbench.run.engine_pool import EnginePool
from llmbench.run.loop import EvaluationLoop
from llmbench.run.options import RunOptions
from llmbench.run.progress import Progress
from llmbench.run.prompts import Asked
from llmbench.run.request_plan import Questions
from llmbench.run.run_record import RunRecord
from llmbench.system.console import Terminal
from llmbench.system.log_capture import captured
from llmbench.system.signals import Stop
from llmbench.telemetry.sampler import Sampler
from tests.bench.variants import machine

NAME = "arithmetic"


def make_requests(count: int, longest: int, seed: int = 0) -> list[Request]:
    """Prompts of 100 to 300 random tokens, outputs of an eighth of the longest to the longest."""
    generator = random.Random(seed)
    return [
        Request(
            id=f"{NAME}/{number}/0",
            benchmark=NAME,
            sample_id=str(number),
            repeat=0,
            prompt_ids=tuple(generator.randrange(1000, 40000) for _ in range(generator.randint(100, 300))),
            sampling=Sampling(max_tokens=generator.randint(longest // 8, longest), ignore_eos=True),
        )
        for number in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Pass:
    """Seconds of one pass: until the last token, and until the last grade was written."""

    generate: float
    total: float


class NoSource:
    """Gives no other engine: a death ends the measurement."""

    def open(self) -> Engine:
        raise EngineError("nothing replaces an engine that is measured")

    def discard(self) -> None:
        """Nothing to close."""


@dataclass(slots=True)
class Bench:
    """A loaded engine and what is asked of it."""

    config: Config
    engine: VllmEngine
    pool: EnginePool
    tokenizer: Tokenizer
    requests: Sequence[Request]

    @property
    def work(self) -> Workload:
        """As the pipeline would state it."""
        limits = [request.sampling.max_tokens for request in self.requests]
        batch = self.config.batch_size or 0
        return Workload(len(limits), max(limits), sum(limits), batch, 0 if batch else len(limits), True)  # noqa: FBT003

    def through_llmbench(self) -> Pass:
        """The loop of a run: engine, graders, journal, telemetry."""
        self.engine.begin(self.tokenizer, self.work, loaded=False, notice=print)
        samples = [
            Sample(request.sample_id, {"question": "", "answer": "7"}, "7") for request in self.requests
        ]
        asked = {
            (NAME, request.sample_id): Asked(NAME, sample, "", request.prompt_ids)
            for request, sample in zip(self.requests, samples, strict=True)
        }
        questions = Questions({NAME: Arithmetic()}, {}, asked, self.requests)
        grader = self.pool.graders.get([arithmetic.__name__])
        with (
            tempfile.TemporaryDirectory() as folder,
            RunFolder(Path(folder) / "run") as files,
            Sampler() as sampler,
            Progress(Terminal(quiet=True), {NAME: len(self.requests)}) as progress,
        ):
            sampler.begin()
            begun = time.monotonic()
            record = RunRecord(self.config, files, RunOptions(), Terminal(quiet=True))
            watch = Watch()
            engine = RestartingEngine(
                self.engine,
                NoSource(),
                record.restart_log,
                print,
                finished=record.results,
                take_step=lambda _: watch.step(self.engine),
            )
            loop = EvaluationLoop(questions, self.tokenizer, engine, grader, record, progress, Stop())
            loop.run()
            seconds = time.monotonic() - begun
            made = sum(result.completions[0].output_tokens for result in record.results)
        assert made == sum(request.sampling.max_tokens for request in self.requests)
        return Pass(loop.generate_s, seconds)

    def warm_up(self) -> None:
        """The whole work once, so that nothing is met for the first time in a round: kernels, memory, the clocks of a GPU."""
        self.through_vllm()

    def through_vllm(self) -> float:
        """Seconds that `LLM.generate` takes."""
        self.engine.begin(self.tokenizer, self.work, loaded=False, notice=print)
        llm: Any = self.engine._llm
        params: Any = self.engine._package.vllm.SamplingParams
        prompts = [{"prompt_token_ids": list(request.prompt_ids)} for request in self.requests]
        sampling = [
            params(max_tokens=r.sampling.max_tokens, temperature=0.0, ignore_eos=True) for r in self.requests
        ]
        begun = time.monotonic()
        done = llm.generate(prompts, sampling, use_tqdm=False)
        seconds = time.monotonic() - begun
        assert sum(len(output.outputs[0].token_ids) for output in done) == sum(p.max_tokens for p in sampling)
        return seconds


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--longest", type=int, default=96, help="the longest output, tokens")
    parser.add_argument(
        "--refill", type=int, help="places that must be free before more requests are admitted"
    )
    parser.add_argument("settings", nargs="*", help="as on llmbench's command line, such as batch_size=256")
    options = parser.parse_args()
    settings = ["batch_size=32", "log_level=WARNING", "early_stopping=off", *options.settings]
    config = compose([f"benchmark={NAME}", *settings])
    requests = make_requests(options.requests, options.longest)
    checkpoint = find_checkpoint(config)
    assert checkpoint is not None
    with captured(Path(os.devnull), "WARNING") as (out, _), EnginePool() as pool:
        pool.graders.get([arithmetic.__name__])
        bench = _load(config, pool, checkpoint, requests)
        if options.refill:
            bench.engine._queue.refill = options.refill
        ours: list[Pass] = []
        bare: list[float] = []
        bench.warm_up()
        for number in range(options.rounds):
            if number % 2:  # each goes first in turn
                bare.append(bench.through_vllm())
            ours.append(bench.through_llmbench())
            if not number % 2:
                bare.append(bench.through_vllm())
            out.write(
                f"round {number}: llmbench {ours[-1].generate:.2f} s (with the last grade {ours[-1].total:.2f}), "
                f"LLM.generate {bare[-1]:.2f} s, ratio {bare[-1] / ours[-1].generate:.3f}\n"
            )
            out.flush()
        report = bench.engine.report()
    tokens = sum(request.sampling.max_tokens for request in requests)
    prompt_tokens = sum(len(request.prompt_ids) for request in requests)
    ratios = [theirs / one.generate for one, theirs in zip(ours, bare, strict=True)]
    found = {
        "ratio": statistics.median(ratios),
        "rounds": ratios,
        "output_tokens_per_s": {
            "llmbench": tokens / statistics.median(one.generate for one in ours),
            "bare": tokens / statistics.median(bare),
        },
        "grade_tail_s": statistics.median(one.total - one.generate for one in ours),
        "requests": len(requests),
        "prompt_tokens": prompt_tokens,
        "output_tokens": tokens,
        "batch_size": report.batch_size,
        "vllm": report.version,
        "model": config.model.name,
        "weights": report.quantization or report.dtype,
        "startup": report.startup,
        "load_parts": report.load_parts,
        "weights_bytes": report.weights_bytes,
        "kv_cache_tokens": report.kv_cache_tokens,
    }
    print(f"\nthroughput of llmbench / bare vLLM: median {found['ratio']:.3f} of {options.rounds} rounds")
    print(
        f"output tokens/s: llmbench {tokens / statistics.median(o.generate for o in ours):.0f}, "
        f"bare vLLM {tokens / statistics.median(bare):.0f}"
    )
    print(json.dumps(found))
    print(machine())


def _load(config: Config, pool: EnginePool, checkpoint: Checkpoint, requests: Sequence[Request]) -> Bench:
    engine = pool.prepare(config, checkpoint)
    assert isinstance(engine, VllmEngine)
    bench = Bench(config, engine, pool, load_tokenizer(config, checkpoint), requests)
    pool.load(config, bench.work, lambda _: None)
    return bench


if __name__ == "__main__":
    main()
