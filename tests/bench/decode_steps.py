"""Milliseconds of a decoding step by the number of running requests, in vLLM itself: what starts, kernels and scheduling are worth to long answers.

    python -m tests.bench.decode_steps MODEL_DIR [--weights fp8] [--way graphs|compiled|no_async] [--profile]

Each number of requests has prompts of random tokens as long as such a batch's texts are in the middle of a run of long answers; 60 steps pass, then 150 are
timed. `--profile` adds what a step of 4 and of 64 requests spends in which kernels, and the gaps between them. One process, one way; the same machine for all.
"""

import argparse
import json
import os
import platform
import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from llmbench.system.hardware import gpus

BATCHES = ((1, 3000), (4, 3000), (12, 3000), (32, 3000), (64, 2000), (128, 1000))
"""Requests, and tokens of each prompt."""
BEFORE, TIMED, PROFILED, SHOWN = 60, 150, 10, 15
SIZES = [1, 2, 4, 8, *range(16, 129, 8)]
WAYS: dict[str, dict[str, Any]] = {
    "graphs": {},
    "compiled": {"compilation_config": None},  # vLLM's own default
    "no_async": {"async_scheduling": False},
}


def profiled(engine: Any) -> None:  # noqa: ANN401 - vLLM's class
    """Prints where some steps' time goes."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as found:
        for _ in range(PROFILED):
            engine.step()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        found.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    ran = sorted(
        (each["ts"], each["ts"] + each["dur"], each["name"][:100])
        for each in events
        if each.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")
    )
    busy, until, kinds = 0.0, ran[0][0], defaultdict[str, float](float)
    for begun, ended, name in ran:
        busy += max(0.0, ended - max(begun, until))
        until = max(until, ended)
        kinds[name] += ended - begun
    whole = until - ran[0][0]
    print(
        f"  {whole / PROFILED / 1000:.2f} ms a step, {busy / whole:.1%} of it in {len(ran) // PROFILED} kernels"
    )
    for name, taken in sorted(kinds.items(), key=lambda kind: -kind[1])[:SHOWN]:
        print(f"  {taken / PROFILED / 1000:7.3f} ms {name}")


def main() -> None:
    """Measures one way and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.decode_steps", description=__doc__)
    parser.add_argument("model", metavar="MODEL_DIR")
    parser.add_argument("--weights", choices=("bf16", "fp8"), default="fp8", help="fp8: made at load")
    parser.add_argument("--way", choices=tuple(WAYS), default="graphs")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # so that steps are taken here
    import torch
    from vllm import LLM, SamplingParams

    graphs = {"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY", "cudagraph_capture_sizes": SIZES}
    arguments: dict[str, Any] = {
        "model": options.model, "dtype": "bfloat16", "quantization": "fp8" if options.weights == "fp8" else None, "max_model_len": 8704,
        "gpu_memory_utilization": 0.95, "max_num_seqs": 128, "compilation_config": graphs, "skip_tokenizer_init": True,
    }  # fmt: skip
    engine = LLM(**arguments | WAYS[options.way]).llm_engine
    generator, number, took = random.Random(1), 0, {}
    params = SamplingParams(temperature=0.0, max_tokens=400, ignore_eos=True, detokenize=False)
    for requests, length in BATCHES:
        for _ in range(requests):
            number += 1
            prompt = {"prompt_token_ids": [generator.randrange(1000, 40000) for _ in range(length)]}
            engine.add_request(str(number), prompt, params)
        for _ in range(BEFORE):
            engine.step()
        torch.cuda.synchronize()
        begun = time.monotonic()
        for _ in range(TIMED):
            engine.step()
        torch.cuda.synchronize()
        took[requests] = (time.monotonic() - begun) / TIMED * 1000
        print(
            f"{options.way}, {requests} requests of {length} tokens: {took[requests]:.2f} ms a step",
            flush=True,
        )
        if options.profile and requests in (4, 64):
            profiled(engine)
        while engine.has_unfinished_requests():
            engine.step()
    print(json.dumps({"way": options.way, "weights": options.weights, "step_ms": took}))
    names = ", ".join(gpu.name for gpu in gpus())
    print(f"{platform.platform()}, {names}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")


if __name__ == "__main__":
    main()
