"""What vLLM says when it cannot start, turned into one sentence with the setting that would help; the log has its own words."""

import re
from collections.abc import Callable

from llmbench.config import Config

TORCH_EXTRAS = ("torchvision", "torchaudio", "torchcodec")
"""Packages whose ordinary builds cannot be imported beside the CPU build of torch, and then keep vLLM from importing."""


def explain_import(error: BaseException) -> str:
    """Why vLLM could not be imported."""
    text = str(error)
    if any(name in text for name in TORCH_EXTRAS):
        return (
            "vLLM cannot be imported because of torchvision, torchaudio or torchcodec; "
            f"run: pip uninstall -y {' '.join(TORCH_EXTRAS)}."
        )
    first = text.splitlines()[0] if text else "no message"
    return f"vLLM cannot be imported ({type(error).__name__}: {first}); run `make setup` again."


def explain_start(error: BaseException, config: Config) -> str:
    """Why vLLM could not start, found in the error and everything that led to it."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = "\n".join(texts)
    for pattern, explain in _CAUSES:
        match = re.search(pattern, text)
        if match:
            return explain(match, config)
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"vLLM could not start: {first.rstrip('.')}; the log has more."


def _less(config: Config) -> float:
    return max(0.1, round(config.model.gpu_memory_utilization - 0.1, 2))


_CAUSES: tuple[tuple[str, Callable[[re.Match[str], Config], str]], ...] = (
    (
        r"Free memory on device",
        lambda _, config: (
            "Less GPU memory is free than model.gpu_memory_utilization="
            f"{config.model.gpu_memory_utilization} asks for; end what else runs on the GPU, or set "
            f"model.gpu_memory_utilization={_less(config)}."
        ),
    ),
    (
        r"No available memory for the cache blocks",
        lambda _, config: (
            f"The weights of {config.model.name} leave no memory for the KV cache; use model.quantization=bitsandbytes, "
            "a smaller model, or a higher model.gpu_memory_utilization."
        ),
    ),
    (
        r"estimated maximum model length is (\d+)",
        lambda match, config: (
            f"The KV cache has no room for one sequence of model.max_length={config.model.max_length}; "
            f"set model.max_length={match.group(1)}."
        ),
    ),
    (
        r"(?i)out of memory",
        lambda _, config: (
            f"The GPU ran out of memory while loading; set model.gpu_memory_utilization={_less(config)} "
            "or a smaller batch_size."
        ),
    ),
    (
        r"is greater than the derived max_model_len \((?:\w+=)?(\d+)",
        lambda match, config: (
            f"model.max_length={config.model.max_length} is more than the model's context; "
            f"set model.max_length={match.group(1)}."
        ),
    ),
    (
        r"unexpected keyword argument '(\w+)'",
        lambda match, _: f"engine.args.{match.group(1)} is no argument of this vLLM's.",
    ),
    (
        r"Unknown quantization method: (\S+?)\. Must be one of",
        lambda match, _: f"model.quantization={match.group(1)} is no quantization that this vLLM knows.",
    ),
)
