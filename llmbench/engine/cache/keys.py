"""What decides a completion, as a key.

A key is the SHA-256 of the weights' fingerprint, the engine with its version and those of the packages that compute, the
device, the data types, the kernels, the context, the parallel layout, the engine's own arguments, the request's tokens and
its sampling. Settings that only change what runs beside what, and when (batch size, start-up, memory), are not in it: they
move a completion no more than its neighbours in the batch do.

The number of the repeat is in the key, so that repeats at temperature 0, which may differ, are not made the same.
"""

import hashlib
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from llmbench._version import __version__
from llmbench.config.schema import Config
from llmbench.engine import fingerprint
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.tokenizer import Tokenizer
from llmbench.errors import CacheError
from llmbench.records import Request
from llmbench.system import hardware, redaction
from llmbench.telemetry.engine_report import EngineReport

VERSION = 2
"""Of what keys are made of, and of what is kept under them."""
PACKAGES = ("torch", "transformers", "tokenizers", "bitsandbytes", "flash-attn")
ENVIRONMENT = (
    "VLLM_BATCH_INVARIANT",
    "VLLM_ATTENTION_BACKEND",
    "VLLM_FLASH_ATTN_VERSION",
    "CUBLAS_WORKSPACE_CONFIG",
)
CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class Keys:
    """Makes keys for one engine.

    Attributes:
        setup: Everything but the request.
        words: A tokenizer whose numbers mean other words in each process, so that text stands for them. Its engine answers by
            the question's name too.
    """

    setup: bytes
    words: Tokenizer | None = None

    def of(self, request: Request) -> bytes | None:
        """The key; None where the completion is drawn at random without a seed, so that nothing decides it."""
        sampling = request.sampling
        if sampling.temperature > 0 and sampling.seed is None:
            return None
        prompt: list[int] | list[str] = list(request.prompt_ids)
        if self.words is not None:
            prompt = [request.id, ascii(self.words.decode(request.prompt_ids))]
        own = orjson.dumps([prompt, asdict(sampling), request.repeat], option=CANONICAL)
        return hashlib.sha256(self.setup + own).digest()


def keys_for(
    config: Config, report: EngineReport, checkpoint: Checkpoint | None, tokenizer: Tokenizer, since: float
) -> Keys:
    """Makes keys for an engine that is loaded.

    Raises:
        CacheError: The weights have no fingerprint.
    """
    weights = _of_checkpoint(checkpoint, since) if checkpoint is not None else None
    texts = {text for _, text in redaction.texts([config.engine.args, config.engine.speculative])}
    paths = {text: Path(text).expanduser() for text in sorted(texts) if os.sep in text}  # adapters, drafts
    named = {text: _of_path(path, since) for text, path in paths.items() if path.exists()}
    return Keys(setup(config, report, weights, named), tokenizer if checkpoint is None else None)


def _of_checkpoint(checkpoint: Checkpoint, since: float) -> str:
    if checkpoint.local:
        return _of_path(Path(checkpoint.name), since)
    commit = fingerprint.commit(checkpoint)
    if commit is None:
        raise CacheError(
            f"The commit that {checkpoint.name} was loaded from is not known, so no answer of it is kept."
        )
    return f"{checkpoint.name}@{commit}"


def _of_path(path: Path, since: float) -> str:
    try:
        return "".join(fingerprint.of_path(path, since, all_files=True))
    except OSError as error:
        raise CacheError(
            f"{error.filename or path} cannot be relied on ({error.strerror}), so no answer of this model is kept."
        ) from error


def setup(config: Config, report: EngineReport, weights: str | None, named: dict[str, str]) -> bytes:
    """Everything but the request that decides a completion, as SHA-256."""
    model, engine = config.model, config.engine
    parts = {
        "version": VERSION,
        "llmbench": __version__,
        "weights": weights,
        "revision": model.revision,
        "engine": [report.name, report.version],
        "packages": {name: hardware.distribution(name) for name in PACKAGES},
        "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
        "device": _device(report),
        "dtype": [model.dtype, report.dtype],
        "quantization": [model.quantization, report.quantization],
        "attention_backend": [model.attention_backend, report.attention_backend],
        "max_length": model.max_length,
        "trust_remote_code": model.trust_remote_code,
        "parallel": [engine.tensor_parallel_size, engine.pipeline_parallel_size],
        "speculative": engine.speculative,
        "args": engine.args,
        "named": named,
    }
    return hashlib.sha256(orjson.dumps(parts, option=CANONICAL, default=str)).digest()


def _device(report: EngineReport) -> list[str | None]:
    """The GPU's name: another generation has other kernels."""
    gpus = hardware.gpus() if report.device == "cuda" else ()
    return [report.device, gpus[0].name if gpus else platform.machine()]
