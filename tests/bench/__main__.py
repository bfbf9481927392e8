"""Prints ratios measured in one process, alternating, so that the machine's ups and downs meet both sides alike.

    python -m tests.bench [--rounds 3] [--requests 64] [SETTING=VALUE …]

The same requests (token ids, output lengths fixed by ignoring the end of text) go through llmbench's engine loop and
through a bare `LLM.generate` of the same loaded vLLM; the prefix cache is emptied before each pass.
"""

import argparse
import os
import platform
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmbench.cli import compose
from llmbench.engine.base import Source, Workload
from llmbench.engine.vllm import VllmEngine
from llmbench.logs import captured
from llmbench.models import locate
from llmbench.records import Request, Sampling
from llmbench.tokenizers import HubTokenizer


def make_requests(count: int, seed: int = 0) -> list[Request]:
    """Prompts of 30 to 200 random tokens, outputs of 16 to 96."""
    generator = random.Random(seed)
    return [
        Request(
            id=f"bench/{number}/0",
            benchmark="bench",
            sample_id=str(number),
            repeat=0,
            prompt_ids=tuple(generator.randrange(1000, 40000) for _ in range(generator.randrange(30, 200))),
            sampling=Sampling(max_tokens=generator.randrange(16, 96), ignore_eos=True),
        )
        for number in range(count)
    ]


def through_llmbench(engine: VllmEngine, requests: Sequence[Request]) -> float:
    """Seconds that the engine loop takes."""
    begun = time.monotonic()
    for request in requests:
        engine.submit(request)
    tokens = 0
    while engine.unfinished:
        tokens += sum(completion.output_tokens for completion in engine.step())
    seconds = time.monotonic() - begun
    assert tokens == sum(request.sampling.max_tokens for request in requests)
    return seconds


def through_vllm(llm: Any, params: Any, requests: Sequence[Request]) -> float:  # noqa: ANN401 - vLLM's own
    """Seconds that `LLM.generate` takes."""
    prompts = [{"prompt_token_ids": list(request.prompt_ids)} for request in requests]
    sampling = [
        params.SamplingParams(max_tokens=r.sampling.max_tokens, temperature=0.0, ignore_eos=True)
        for r in requests
    ]
    begun = time.monotonic()
    llm.generate(prompts, sampling, use_tqdm=False)
    return time.monotonic() - begun


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("settings", nargs="*", help="as on llmbench's command line, such as batch_size=256")
    options = parser.parse_args()
    config = compose(["batch_size=32", "log_level=WARNING", *options.settings])
    checkpoint = locate(config.model)
    requests = make_requests(options.requests)
    tokens = sum(request.sampling.max_tokens for request in requests)
    source = Source(checkpoint, HubTokenizer(checkpoint, trust_remote_code=False))
    ours: list[float] = []
    bare: list[float] = []
    with (
        captured(Path(os.devnull), "WARNING") as (out, _),
        VllmEngine(config, source, Workload(len(requests), 96)) as engine,
    ):
        llm, params = engine._llm, engine._params
        through_llmbench(engine, requests)  # warms up
        for number in range(options.rounds):
            llm.llm_engine.reset_prefix_cache()
            ours.append(through_llmbench(engine, requests))
            llm.llm_engine.reset_prefix_cache()
            bare.append(through_vllm(llm, params, requests))
            ratio = bare[-1] / ours[-1]
            out.write(
                f"round {number}: llmbench {ours[-1]:.2f} s, LLM.generate {bare[-1]:.2f} s, ratio {ratio:.3f}\n"
            )
        report = engine.report()
    ratios = [b / o for o, b in zip(ours, bare, strict=True)]
    print(
        f"\nthroughput of llmbench / bare vLLM: median {statistics.median(ratios):.3f} of {options.rounds} rounds"
    )
    print(
        f"output tokens/s: llmbench {tokens / statistics.median(ours):.0f}, bare vLLM {tokens / statistics.median(bare):.0f}"
    )
    print(
        f"{len(requests)} requests, {tokens} output tokens, batch size {report.batch_size}; vLLM {report.version}, "
        f"{config.model.name}, {report.quantization or report.dtype}, start-up {report.startup}"
    )
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )


if __name__ == "__main__":
    main()
