"""The protocol of engines, and the factory that opens one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from llmbench.config.schema import Config, EarlyStopping, drawing
from llmbench.engine.batching import Batching
from llmbench.engine.checkpoint import Checkpoint, locate
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.engine.vllm.startup_history import Took
from llmbench.errors import ConfigError
from llmbench.records import Completion, EngineReport, Request
from llmbench.system.text import suggest

ENGINES = ("vllm", "transformers", "fake")


@dataclass(frozen=True, slots=True)
class Workload:
    """What an engine is going to be asked, as far as its start depends on it.

    Attributes:
        requests: How many there are.
        longest: The largest token limit among them, the tokens for asking for the answer included.
        output_tokens: The sum of those limits.
        batch_size: Requests that are to run at once, 0 where that is left open.
        at_once: Where it is left open, the requests that may run at once, else 0.
        fixed_length: Every output runs to its limit.
        greedy: Nothing is drawn at random, and nothing is penalised.
        prompt_tokens: A generous guess at the longest prompt, before any is written; 0 where nothing is known.
        batching: How an engine with static batches forms them; None where nobody said.
        jobs: The jobs that this is the sum of, one after another; empty for a single one.
    """

    requests: int
    longest: int
    output_tokens: int
    batch_size: int = 0
    at_once: int = 0
    fixed_length: bool = False
    greedy: bool = False
    prompt_tokens: int = 0
    batching: Batching | None = None
    jobs: "tuple[Workload, ...]" = ()

    @classmethod
    def of(cls, config: Config, counts: Mapping[str, int]) -> Self:
        """The work of a run that asks each benchmark so many requests."""
        asks = config.early_stopping is EarlyStopping.answer
        limits = {
            name: config.benchmarks[name].max_tokens + (config.benchmarks[name].cue_tokens if asks else 0)
            for name in counts
        }
        requests = sum(counts.values())
        return cls(
            requests=requests,
            longest=max(limits.values(), default=0),
            output_tokens=sum(count * limits[name] for name, count in counts.items()),
            batch_size=config.batch_size or 0,
            at_once=0 if config.batch_size else requests,
            fixed_length=config.sampling.ignore_eos,
            greedy=all(_greedy(config, name) for name in counts),
            batching=Batching.of(config),
        )


def _greedy(config: Config, name: str) -> bool:
    drawn = drawing(config, name)
    unpenalised = drawn["repetition_penalty"] == 1 and not (
        drawn["presence_penalty"] or drawn["frequency_penalty"]
    )
    return unpenalised and drawn["temperature"] == 0


Notice = Callable[[str], None]
"""Says a sentence to the person who waits."""


class Engine(Protocol):
    """Takes requests, also while others run, and gives completions as they finish.

    Its life: `prepare`, `load`, then for each run `begin` and requests, `close` at the end.
    """

    capacity: int
    """Requests that can run at once, known after `load`."""

    def prepare(self) -> None:
        """Imports what the engine needs and sets what its libraries find in the environment; `close` puts back what was there.

        Raises:
            EngineError: Something is missing or broken.
        """

    def load(self, workload: Workload, notice: Notice) -> None:
        """Loads the model; says beforehand how, and how long it will take.

        Raises:
            EngineError: It cannot start; the message says what would help.
        """

    def wanted_batch(self, workload: Workload) -> int:
        """Requests that should run at once for this work; known after `prepare`."""

    def serves(self, workload: Workload) -> bool:
        """Whether the engine as it was loaded can take this work without losing by it; known after `load`."""

    def begin(self, tokenizer: Tokenizer, workload: Workload, *, loaded: bool) -> None:
        """A run starts: its batch size holds, caches are empty, counters stand at zero; `loaded` for this very run."""

    def learn(self, took: Took) -> None:
        """Keeps what a finished run took, for the next choice of a start-up."""

    def close(self, *, process_ends: bool = False) -> None:
        """Frees the model; where the process ends anyway, only what would outlive it."""

    def submit(self, request: Request, *, first: bool = False) -> None:
        """Queues a request; at most the batch size are given to its scheduler, the rest wait without being timed.

        `first` puts it before those that wait, as suits a continuation whose prefix is still in the cache.
        """

    def step(self) -> list[Completion]:
        """Works for a moment and returns what finished meanwhile, perhaps nothing.

        Raises:
            EngineDiedError: It can do no more; a new engine could.
            OutOfMemoryError: Memory ran out.
        """

    @property
    def unfinished(self) -> int:
        """Requests that were submitted and have not come back."""

    def running(self) -> list[str]:
        """The ids of the requests that it works on; those that only wait are not among them. Also after it died."""

    def kill(self, reason: str) -> bool:
        """Kills the engine's processes, so that a step that hangs ends with an `EngineDiedError`; called from another thread.

        Args:
            reason: The error's sentence.

        Returns:
            Whether that could be done: an engine that computes in this process has none.
        """

    def abort(self) -> list[Completion]:
        """Drops everything unfinished and returns it as aborted."""

    def generated_tokens(self) -> int | None:
        """Output tokens so far, also of unfinished requests; None where the engine does not count them."""

    def state(self) -> dict[str, float | int | None]:
        """What it is doing now, for the trace (`telemetry.EngineState`); called from another thread.

        `queued` are the requests that it holds back from its scheduler; they are not timed.
        """

    def report(self) -> EngineReport:
        """What the engine was and did."""


def find_checkpoint(config: Config, *, to_run: bool = True) -> Checkpoint | None:
    """The checkpoint, before anything heavy is imported; None where the engine needs none.

    Args:
        config: The settings.
        to_run: Whether the model is going to be run here; otherwise the machine is not checked.

    Raises:
        ConfigError: There is no such engine.
        ModelError: The checkpoint cannot be used.
        EngineError: This machine cannot run the engine.
    """
    name = config.engine.name
    if name not in ENGINES:
        raise ConfigError(f"There is no engine called {name!r}{suggest(name, ENGINES)}")
    if name == "fake":
        return None
    if to_run and name == "transformers":
        from llmbench.engine.transformers import check_machine as check_for_transformers

        check_for_transformers(config)
    elif to_run:
        from llmbench.engine.vllm.checks import check_machine

        check_machine(config)
    return locate(config.model)


def load_tokenizer(config: Config, checkpoint: Checkpoint | None) -> Tokenizer:
    """The model's tokenizer, or the fake engine's.

    Raises:
        ModelError: The checkpoint has no usable tokenizer.
    """
    if checkpoint is None:
        from llmbench.engine.fake import WordTokenizer

        return WordTokenizer()
    return HubTokenizer(checkpoint, trust_remote_code=config.model.trust_remote_code)


def open_engine(config: Config, checkpoint: Checkpoint | None) -> Engine:
    """The chosen engine, not yet prepared."""
    if config.engine.name == "fake":
        from llmbench.engine.fake import FakeEngine

        return FakeEngine.from_config(config)
    if config.engine.name == "transformers":
        from llmbench.engine.transformers import TransformersEngine

        return TransformersEngine(config, checkpoint)
    from llmbench.engine.vllm.engine import VllmEngine

    return VllmEngine(config, checkpoint)
