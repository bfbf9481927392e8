"""vLLM alone, as a person would write it: one `LLM`, one `generate`, vLLM's own defaults. The last line printed is JSON.

    python -m tests.bench.bare_vllm MODEL_DIR --requests 25x128+15x64 [--quantization bitsandbytes] [--arg KEY=JSON …]
    python -m tests.bench.bare_vllm MODEL_DIR --prompts FILE [--until-eos] …
    python -m tests.bench.bare_vllm MODEL_DIR --prompts FILE --gsm8k ROWS.jsonl [--count 48] [--max-tokens 128]

The last form starts no engine: it writes FILE, the token ids of the first questions of ROWS in the words that llmbench
asks them, as [{"prompt_token_ids": […], "max_tokens": n}, …]. (A run's journal holds no token ids to take instead.)
"""

import argparse
import json
import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from llmbench.system import clock

BENCHMARK = Path(__file__).parents[2] / "conf" / "benchmark" / "gsm8k.yaml"


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids to continue by `max_tokens` tokens."""

    ids: tuple[int, ...]
    max_tokens: int


def random_prompts(spec: str, seed: int = 0) -> list[Prompt]:
    """Prompts of 100 to 300 random tokens; `25x128+15x64` is 25 of 128 output tokens and 15 of 64."""
    generator = random.Random(seed)
    made = []
    for part in spec.split("+"):
        count, _, limit = part.partition("x")
        for _ in range(int(count)):
            ids = tuple(generator.randrange(1000, 40000) for _ in range(generator.randint(100, 300)))
            made.append(Prompt(ids, int(limit)))
    return made


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a file that `--gsm8k` wrote."""
    return [Prompt(tuple(row["prompt_token_ids"]), row["max_tokens"]) for row in json.loads(path.read_text())]


def add_workload(parser: argparse.ArgumentParser) -> None:
    """The two ways to say what is to be done."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--prompts", type=Path, metavar="FILE", help="JSON, as --gsm8k writes it")
    group.add_argument("--requests", metavar="25x128+15x64", help="random prompts: number x output tokens")
    parser.add_argument("--seed", type=int, default=0, help="of --requests")


def workload(options: argparse.Namespace) -> list[Prompt]:
    """What `add_workload`'s options ask for."""
    if options.prompts is not None:
        return read_prompts(options.prompts)
    return random_prompts(options.requests, options.seed)


def gsm8k_prompts(rows: Path, model: str, count: int, max_tokens: int) -> list[Prompt]:
    """The first questions of a GSM8K file through the model's chat template."""
    import yaml
    from transformers import AutoTokenizer

    instruction = yaml.safe_load(BENCHMARK.read_text(encoding="utf-8"))["instruction"]
    tokenizer = AutoTokenizer.from_pretrained(model)
    made = []
    with rows.open(encoding="utf-8") as lines:
        for line in islice(lines, count):
            turn = {"role": "user", "content": f"{json.loads(line)['question']}\n\n{instruction}"}
            text = tokenizer.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
            made.append(Prompt(tuple(tokenizer(text, add_special_tokens=False)["input_ids"]), max_tokens))
    return made


def write_prompts(path: Path, prompts: Sequence[Prompt]) -> None:
    """Writes what `read_prompts` reads."""
    rows = [{"prompt_token_ids": prompt.ids, "max_tokens": prompt.max_tokens} for prompt in prompts]
    path.write_text(json.dumps(rows))


def engine_argument(text: str) -> tuple[str, Any]:
    """`KEY=JSON` as a pair.

    Raises:
        ValueError: The value is not JSON.
    """
    key, _, value = text.partition("=")
    return key, json.loads(value)


def measure(model: str, prompts: Sequence[Prompt], arguments: dict[str, Any], *, ignore_eos: bool) -> None:
    """Starts vLLM, has all prompts continued, and prints where the time went."""
    import torch
    import vllm
    from vllm import LLM, SamplingParams

    imported = clock.since_start()
    llm = LLM(model=model, **arguments)
    started = clock.since_start()
    params = [
        SamplingParams(temperature=0.0, max_tokens=prompt.max_tokens, ignore_eos=ignore_eos)
        for prompt in prompts
    ]
    outputs = llm.generate([{"prompt_token_ids": list(prompt.ids)} for prompt in prompts], params)
    ended = clock.since_start()
    tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    report = {
        "what": "bare vLLM",
        "total_s": round(ended, 2),
        "import_s": round(imported, 2),
        "engine_s": round(started - imported, 2),
        "generate_s": round(ended - started, 2),
        "requests": len(prompts),
        "prompt_tokens": sum(len(prompt.ids) for prompt in prompts),
        "output_tokens": tokens,
        "output_tokens_per_s": round(tokens / (ended - started), 1),
        "arguments": arguments,
        "device": vllm.platforms.current_platform.get_device_name(),
        "versions": {
            "vllm": vllm.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    print(json.dumps(report), flush=True)


def main() -> None:
    """Measures, or writes the prompts to measure with."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.bare_vllm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL_DIR")
    add_workload(parser)
    parser.add_argument("--quantization", help="as vLLM names it, such as bitsandbytes or fp8")
    parser.add_argument("--arg", action="append", default=[], type=engine_argument, metavar="KEY=JSON")
    parser.add_argument(
        "--until-eos", action="store_true", help="end at the end of text too, not at the limit alone"
    )
    parser.add_argument(
        "--gsm8k", type=Path, metavar="ROWS.jsonl", help="write --prompts from these and stop"
    )
    parser.add_argument("--count", type=int, default=48, help="questions of --gsm8k")
    parser.add_argument("--max-tokens", type=int, default=128, help="of each of them")
    options = parser.parse_args()
    if options.gsm8k is not None:
        if options.prompts is None:
            parser.error("--gsm8k needs --prompts FILE, where to write")
        prompts = gsm8k_prompts(options.gsm8k, options.model, options.count, options.max_tokens)
        write_prompts(options.prompts, prompts)
        return
    arguments = {
        "quantization": options.quantization,
        "dtype": "bfloat16",
        "max_model_len": 4096,
        "gpu_memory_utilization": 0.95,
        **dict(options.arg),
    }
    measure(options.model, workload(options), arguments, ignore_eos=not options.until_eos)


if __name__ == "__main__":
    main()
