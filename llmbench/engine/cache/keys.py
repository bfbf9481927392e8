"""What decides a completion, as a key.

A key is the SHA-256 of the weights' fingerprint, the engine with its version and those of the packages that compute, the
device, the data types, the kernels, the context, the parallel layout, the engine's own arguments, the request's tokens and
its sampling. Settings that only change what runs beside what, and when (batch size, start-up, memory), are not in it: they
move a completion no more than its neighbours in the batch do.

Of a server's model nothing is known but what the server says: there the key is of its address, model, root and version, of the API, and of
the request's body. Whoever puts other weights there under the same name gets the answers of the old ones.

The number of the repeat is in the key, so that repeats at temperature 0, which may differ, are not made the same.
"""

import hashlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from llmbench._version import __version__
from llmbench.config.choices import Api
from llmbench.config.schema import Config
from llmbench.engine import fingerprint, lora
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.tokenizer import Tokenizer
from llmbench.errors import CacheError
from llmbench.records import Request
from llmbench.system import decoding, hardware, redaction
from llmbench.telemetry.engine_report import EngineReport, ServerIdentity

VERSION = 3
"""Of what keys are made of, and of what is kept under them."""
PACKAGES = ("torch", "transformers", "tokenizers", "bitsandbytes", "flash-attn")
ENVIRONMENT = (
    "VLLM_BATCH_INVARIANT",
    "VLLM_USE_FLASHINFER_SAMPLER",
    "VLLM_ATTENTION_BACKEND",
    "VLLM_FLASH_ATTN_VERSION",
    "CUBLAS_WORKSPACE_CONFIG",
)
TRANSPORT = ("stream", "stream_options")
"""Of a request's body: how the answer comes, not what it is."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Makes keys for one engine.

    Attributes:
        setup: Everything but the request.
        words: A tokenizer whose numbers mean other words in each process, so that text stands for them. Its engine answers by
            the question's name too.
        body: What a server gets for a request, which stands for its prompt and sampling.
    """

    setup: bytes
    words: Tokenizer | None = None
    body: Callable[[Request], Mapping[str, Any]] | None = None

    def of(self, request: Request) -> bytes | None:
        """The key; None where the completion is drawn at random without a seed, so that nothing decides it."""
        if self.body is not None:
            drawn = self.body(request)
            content: list[Any] = [drawn]
        else:
            drawn = asdict(request.sampling)
            content = [self._prompt(request), drawn]
            if request.choices:
                content.append([self._tokens(choice.ids) for choice in request.choices])
        if drawn.get("temperature") != 0 and drawn.get("seed") is None:
            return None
        own = orjson.dumps([*content, request.repeat], option=decoding.CANONICAL)
        return hashlib.sha256(self.setup + own).digest()

    def _prompt(self, request: Request) -> list[Any]:
        if self.words is not None:
            return [request.id, *self._tokens(request.prompt_ids)]
        return self._tokens(request.prompt_ids)

    def _tokens(self, ids: Sequence[int]) -> list[Any]:
        return list(ids) if self.words is None else [ascii(self.words.decode(ids))]


def keys_for(
    config: Config, report: EngineReport, checkpoint: Checkpoint | None, tokenizer: Tokenizer, since: float
) -> Keys:
    """Makes keys for an engine that is loaded.

    Raises:
        CacheError: The weights have no fingerprint.
    """
    if report.server is not None:
        return _for_server(config, report.server, tokenizer)
    texts = {text for _, text in redaction.texts([config.engine.args, config.engine.speculative])}
    paths = {text: Path(text).expanduser() for text in sorted(texts) if os.sep in text}  # adapters, drafts
    named = {text: path for text, path in paths.items() if path.exists()}
    adapter = lora.read(config.model)
    if adapter is not None:
        named |= {f"model.lora {file.name}": file for file in adapter.files}
    try:
        weights = fingerprint.of_checkpoint(checkpoint, since, all_files=True) if checkpoint else None
        contents = {
            name: "".join(fingerprint.of_path(path, since, all_files=True)) for name, path in named.items()
        }
    except OSError as error:
        raise CacheError(
            f"{error.filename} cannot be relied on ({error.strerror}), so no answer of this model is kept."
        ) from error
    return Keys(setup(config, report, weights, contents), tokenizer if checkpoint is None else None)


def _for_server(config: Config, server: ServerIdentity, tokenizer: Tokenizer) -> Keys:
    from llmbench.engine.endpoint.body import body_of
    from llmbench.engine.endpoint.server import Server

    known = Server.of(server)
    marks = server.api == Api.completions.value and bool(getattr(tokenizer, "marks_thinking", False))
    identity = asdict(server.identity())
    del identity["fingerprints"]  # which are known only afterwards
    parts = {"version": VERSION, "llmbench": __version__, "server": identity}

    def body(request: Request) -> Mapping[str, Any]:
        made = body_of(request, config, known, marks=marks)
        return {n: v for n, v in made.items() if n not in TRANSPORT} | {"limit": request.sampling.max_tokens}

    return Keys(hashlib.sha256(orjson.dumps(parts, option=decoding.CANONICAL)).digest(), body=body)


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
        "kv_cache_dtype": model.kv_cache_dtype,
        "attention_backend": [model.attention_backend, report.attention_backend],
        "max_length": model.max_length,
        "trust_remote_code": model.trust_remote_code,
        "parallel": [engine.tensor_parallel_size, engine.pipeline_parallel_size],
        "speculative": engine.speculative and {**engine.speculative, "below": engine.speculative_max_running},
        "deterministic": engine.deterministic,
        "args": engine.args,
        "named": named,
    }
    return hashlib.sha256(orjson.dumps(parts, option=decoding.CANONICAL, default=str)).digest()


def _device(report: EngineReport) -> list[str | None]:
    """The GPU's name: another generation has other kernels. Of replicas those of all."""
    names = sorted({name for replica in report.replicas for name in replica.gpus})
    if names:
        return [report.device, *names]
    gpus = hardware.gpus() if report.device == "cuda" else ()
    return [report.device, gpus[0].name if gpus else platform.machine()]
