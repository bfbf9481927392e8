"""The guide's own method: transformers, 4-bit, static batches of prompts of similar length. Prints one line of JSON.

    python -m tests.bench.transformers_batches MODEL_DIR --requests 25x128+15x64 [--batch-size 4] [--seconds N]
    python -m tests.bench.transformers_batches MODEL_DIR --prompts FILE [--quantization bitsandbytes|none] …

As the guide has it: NF4 computing in bf16, KV cache, evaluation mode, FlashAttention 2 (where it is installed), prompts
sorted by length. Every request writes exactly its limit, greedily and without the repetition penalty that a model's own
settings may ask for. A batch holds one limit only, as in the guide each benchmark has its own.
"""

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from llmbench.system import clock
from tests.bench.bare_vllm import Prompt, add_workload, workload


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to generate, and how it was loaded."""

    model: Any
    pad_id: int
    quantization: str
    attention: str


def batches(prompts: Sequence[Prompt], size: int) -> list[list[Prompt]]:
    """Prompts of one limit, the longest first, `size` at a time."""
    ordered = sorted(prompts, key=lambda prompt: (prompt.max_tokens, len(prompt.ids)), reverse=True)
    groups = [list(group) for _, group in groupby(ordered, key=lambda prompt: prompt.max_tokens)]
    return [group[first : first + size] for group in groups for first in range(0, len(group), size)]


def load(path: str, quantization: str | None) -> Loaded:
    """The model on the GPU where there is one; `quantization` None is 4-bit there and nothing on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from transformers.utils import is_flash_attn_2_available

    device = "cuda" if torch.cuda.is_available() else "cpu"
    quantization = quantization or ("bitsandbytes" if device == "cuda" else "none")
    attention = "flash_attention_2" if device == "cuda" and is_flash_attn_2_available() else "sdpa"
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(
        path,
        dtype=torch.bfloat16,
        attn_implementation=attention,
        device_map=device,
        quantization_config=nf4 if quantization == "bitsandbytes" else None,
    )
    model.eval()
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return Loaded(model, pad_id, quantization, attention)


def generate(loaded: Loaded, batch: Sequence[Prompt]) -> int:
    """Output tokens of one batch, padded on the left."""
    import torch

    longest, limit = len(batch[0].ids), batch[0].max_tokens
    padding = [longest - len(prompt.ids) for prompt in batch]
    ids = [[loaded.pad_id] * pad + list(prompt.ids) for pad, prompt in zip(padding, batch, strict=True)]
    mask = [[0] * pad + [1] * (longest - pad) for pad in padding]
    with torch.inference_mode():
        output = loaded.model.generate(
            input_ids=torch.tensor(ids, device=loaded.model.device),
            attention_mask=torch.tensor(mask, device=loaded.model.device),
            min_new_tokens=limit,
            max_new_tokens=limit,
            do_sample=False,
            repetition_penalty=1.0,
            use_cache=True,
            pad_token_id=loaded.pad_id,
        )
    output.cpu()  # waits for the GPU
    assert output.shape[1] - longest == limit
    return limit * len(batch)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Loads, generates batch by batch until done or out of time, and says where the time went."""
    import torch
    import transformers

    imported = clock.since_start()
    prompts = workload(options)
    loaded = load(options.model, options.quantization)
    ready = clock.since_start()
    done, tokens = 0, 0
    for batch in batches(prompts, options.batch_size):
        tokens += generate(loaded, batch)
        done += len(batch)
        if options.seconds is not None and clock.since_start() - ready > options.seconds:
            break
    ended = clock.since_start()
    gpu = torch.cuda.is_available()
    return {
        "what": "transformers, static batches",
        "total_s": round(ended, 2),
        "import_s": round(imported, 2),
        "load_s": round(ready - imported, 2),
        "generate_s": round(ended - ready, 2),
        "requests": len(prompts),
        "requests_done": done,
        "output_tokens": tokens,
        "output_tokens_per_s": round(tokens / (ended - ready), 1),
        "batch_size": options.batch_size,
        "quantization": loaded.quantization,
        "attention": loaded.attention,
        "weight_bytes": loaded.model.get_memory_footprint(),
        "peak_gpu_bytes": torch.cuda.max_memory_reserved() if gpu else None,
        "device": torch.cuda.get_device_name() if gpu else platform.machine(),
        "versions": {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.transformers_batches",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL_DIR")
    add_workload(parser)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument(
        "--quantization", choices=["bitsandbytes", "none"], help="default: bitsandbytes on a GPU, else none"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="stop after the first batch that ends later"
    )
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
