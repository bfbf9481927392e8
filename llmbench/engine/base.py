"""The protocol of engines, and the factory that opens one."""

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from llmbench.config import Config, suggest
from llmbench.errors import ConfigError
from llmbench.models import Checkpoint, locate
from llmbench.records import Completion, Request
from llmbench.tokenizers import HubTokenizer, Tokenizer

ENGINES = ("vllm", "fake")


@dataclass(frozen=True, slots=True)
class Workload:
    """What an engine is going to be asked, as far as its start depends on it.

    Attributes:
        requests: How many there are.
        max_tokens: The largest token limit among them.
    """

    requests: int
    max_tokens: int


@dataclass(slots=True)
class EngineReport:
    """What an engine was and did; what it cannot know is None.

    Attributes:
        batch_size: Requests that could run at once.
        weights_bytes: Memory of the weights as loaded.
        kv_cache_tokens: Tokens the KV cache holds.
        load_parts: Seconds of the parts of loading.
    """

    name: str
    version: str | None = None
    device: str | None = None
    quantization: str | None = None
    dtype: str | None = None
    attention_backend: str | None = None
    startup: str | None = None
    startup_reason: str | None = None
    batch_size: int | None = None
    weights_bytes: int | None = None
    kv_cache_tokens: int | None = None
    preemptions: int | None = None
    prefix_cache_hit_rate: float | None = None
    loads: int = 1
    load_parts: dict[str, float | None] = field(default_factory=dict)


class Engine(Protocol):
    """Takes requests, also while others run, and gives completions as they finish.

    A context manager: entering loads the model, leaving frees it.
    """

    def __enter__(self) -> Self:
        """Loads the model.

        Raises:
            EngineError: It cannot start; the message says what would help.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Frees the model."""

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; at most the batch size run at once, the rest wait without being timed.

        `first` puts it before those that wait, as suits a continuation whose prefix is still in the cache.
        """

    def step(self) -> list[Completion]:
        """Works for a moment and returns what finished meanwhile, perhaps nothing."""

    @property
    def unfinished(self) -> int:
        """Requests that were submitted and have not come back."""

    def abort(self) -> list[Completion]:
        """Drops everything unfinished and returns it as aborted."""

    def generated_tokens(self) -> int | None:
        """Output tokens so far, also of unfinished requests; None where the engine does not count them."""

    def report(self) -> EngineReport:
        """What the engine was and did."""


Factory = Callable[[Config, "Source", Workload], Engine]


@dataclass(frozen=True, slots=True)
class Source:
    """A model found but not loaded: its checkpoint (None: the engine needs none) and its tokenizer.

    Attributes:
        import_s: Seconds that importing the tokenizer's library took, None where none was.
    """

    checkpoint: Checkpoint | None
    tokenizer: Tokenizer
    import_s: float | None = None


def find_model(config: Config, *, to_run: bool = True) -> Source:
    """The checkpoint and tokenizer, before anything is loaded.

    Args:
        config: The settings.
        to_run: Whether the model is going to be run here; otherwise the machine is not checked.

    Raises:
        ConfigError: There is no such engine.
        ModelError: The checkpoint or its tokenizer cannot be used.
        EngineError: This machine cannot run the engine.
    """
    name = config.engine.name
    if name not in ENGINES:
        raise ConfigError(f"There is no engine called {name!r}{suggest(name, ENGINES)}")
    if name == "fake":
        from llmbench.engine.fake import WordTokenizer

        return Source(None, WordTokenizer())
    if to_run:
        from llmbench.engine.vllm_choices import check_machine

        check_machine(config)
    checkpoint = locate(config.model)
    begun = time.monotonic()
    importlib.import_module("transformers")
    importlib.import_module("transformers.models.auto.tokenization_auto")
    import_s = time.monotonic() - begun
    tokenizer = HubTokenizer(checkpoint, trust_remote_code=config.model.trust_remote_code)
    return Source(checkpoint, tokenizer, import_s)


def open_engine(config: Config, source: Source, workload: Workload) -> Engine:
    """The chosen engine, not yet entered."""
    if config.engine.name == "fake":
        from llmbench.engine.fake import FakeEngine

        return FakeEngine.from_config(config, source, workload)
    from llmbench.engine.vllm import VllmEngine

    return VllmEngine(config, source, workload)
