"""A replica's own process: an engine that `replica.Replica` asks from afar, one call after another.

Ray starts it and calls the methods of `Worker` in the order in which they were asked. Errors that are meant for the user come back as values.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmbench.config.choices import Device
from llmbench.config.schema import Config
from llmbench.engine import checkpoint_record, lora
from llmbench.engine.base import ModelEngine, Notice
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.checkpoint_files import check_folder
from llmbench.engine.factory import load_tokenizer, open_engine
from llmbench.engine.fake import WordTokenizer
from llmbench.engine.replicas import cluster
from llmbench.engine.replicas.cluster import ProcessPlace
from llmbench.engine.vllm.checks import check_machine
from llmbench.engine.workload import Workload
from llmbench.errors import LlmbenchError
from llmbench.records import Completion, Request
from llmbench.system import hardware
from llmbench.system.log_capture import share
from llmbench.system.processes import VARIABLE, environment, follow, process_space
from llmbench.telemetry import nvml
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.nvml import Pace
from llmbench.telemetry.records import EngineState, GpuSample

if TYPE_CHECKING:
    from llmbench.engine.tokenizer import Tokenizer

CHECKPOINT, ADAPTER = "the checkpoint", "the LoRA adapter"
"""What hosts have under these names is the content's fingerprint."""
GATHER_S = 0.01
"""Completions are gathered for so long before a call brings them, so that many short ones need few calls."""
GPU_LOOK_S, GPU_SHARE = 0.5, 0.005
"""How often the GPUs of another host are looked at, and the share of one core that it may cost."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a replica says of its process before anything is loaded.

    Attributes:
        place: Where it runs.
        gpus: Its GPUs.
        versions: Of the packages that decide a result.
        content: The fingerprint of a local checkpoint there.
        adapter: That of the LoRA adapter there.
    """

    place: ProcessPlace
    gpus: tuple[hardware.Gpu, ...]
    versions: dict[str, str | None]
    content: str | None
    adapter: str | None = None

    def decisive(self, *, gpus: bool = False) -> dict[str, str | None]:
        """What decides an answer, by name; with the kinds of its GPUs, where they do too."""
        found = {CHECKPOINT: self.content, ADAPTER: self.adapter, **self.versions}
        if gpus:
            kinds = sorted({gpu.name for gpu in self.gpus})
            found["GPUs (of one kind for engine.deterministic)"] = ", ".join(kinds)
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """What finished since the call before, what the replica does now, its GPUs where its host is not the run's, and why it can do no more."""

    completions: tuple[Completion, ...] = ()
    state: EngineState = field(default_factory=EngineState)
    gpus: tuple[GpuSample, ...] = ()
    error: LlmbenchError | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gave, or the error that ended it; with what it had to say meanwhile."""

    value: Any = None
    error: LlmbenchError | None = None
    notices: tuple[str, ...] = ()


class Worker:
    """One engine."""

    def __init__(
        self,
        config: Config,
        checkpoint: Checkpoint | None,
        cores: Sequence[int],
        leader: tuple[str, int],
        log_file: Path | None,
    ) -> None:
        """Ends with the run, whose process space and number is `leader`, where that is on this host; computes on `cores`, if there are any."""
        space, pid = leader
        if space == process_space():
            with environment({VARIABLE: str(pid)}):
                follow()
        self._share_log(log_file)
        if cores:
            os.sched_setaffinity(0, cores)
        self._config, self._checkpoint = config, checkpoint
        self._engine: ModelEngine | None = None
        self._tokenizer: Tokenizer | None = None
        self._open = 0  # requests that the engine has
        self._readers: tuple[nvml.GpuReader, ...] = ()
        self._pace = Pace(GPU_LOOK_S, GPU_SHARE)
        self._gpus: tuple[GpuSample, ...] = ()

    def _share_log(self, log_file: Path | None) -> None:
        """Writes to the run's log where this host has it, else to one file of Ray's: the reason of a failure is looked for there."""
        os.dup2(2, 1)
        if log_file is not None:
            share(log_file)

    def describe(self) -> Answer:
        """Returns its `Facts`; an error where this host cannot run the engine, or the checkpoint is not there."""
        return _answer(self._describe)

    def _describe(self, _: Notice) -> Facts:
        checkpoint, content = self._checkpoint, None
        if self._config.engine.name == "vllm":
            check_machine(self._config)
        if checkpoint is not None and checkpoint.local:
            check_folder(Path(checkpoint.name))
            content = checkpoint_record.row(checkpoint).get("content")
        where = ProcessPlace(socket.gethostname(), process_space(), os.getpid(), cluster.node_id())
        versions = hardware.versions(*hardware.TOKENIZER_PACKAGES, *hardware.ENGINE_PACKAGES)
        gpus = () if self._config.engine.device is Device.cpu else hardware.gpus()
        return Facts(where, gpus, versions, content, lora.content_of(self._config.model))

    def monotonic_s(self) -> float:
        """Returns this host's monotonic clock."""
        return time.monotonic()

    def prepare(self) -> Answer:
        """Imports the engine's libraries."""
        return _answer(self._prepare)

    def _prepare(self, _: Notice) -> None:
        self._engine = open_engine(self._config, self._checkpoint)
        self._engine.prepare()

    def ask(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - a method's
        """Returns what a method of the engine gives."""
        return getattr(self._ready, name)(*arguments)

    def load(self, workload: Workload) -> Answer:
        """Loads the model; returns the seconds and the capacity."""

        def load(notice: Notice) -> tuple[float, int]:
            begun = time.monotonic()
            self._ready.load(workload, notice)
            return time.monotonic() - begun, self._ready.capacity

        return _answer(load)

    def begin(self, workload: Workload, loaded: bool, watch_gpus: bool, log_file: Path | None) -> Answer:  # noqa: FBT001 - called by Ray
        """Starts a run with this replica's share of its work; returns the engine's report and what its GPUs do, whose energy counts from here."""
        self._share_log(log_file)

        def begin(notice: Notice) -> tuple[EngineReport, tuple[GpuSample, ...]]:
            self._tokenizer = self._tokenizer or load_tokenizer(self._config, self._checkpoint)
            self._ready.begin(self._tokenizer, workload, loaded=loaded, notice=notice)
            self._open = 0
            self._readers = nvml.readers(self._config.engine.gpus_each) if watch_gpus else ()
            return self._ready.report(), self._look()

        return _answer(begin)

    def advance(self, requests: Sequence[tuple[Request, bool]], period_s: float) -> Reply:
        """Takes more requests, each with whether it goes first, and works for `period_s` and at most a step more, or until something finished."""
        begun, finished, engine = time.monotonic(), list[Completion](), self._ready
        for request, first in requests:
            engine.submit(request, first=first)
        self._open += len(requests)
        try:
            while self._open > len(finished):
                finished += engine.step()
                if time.monotonic() - begun >= (GATHER_S if finished else period_s):
                    break
        except LlmbenchError as error:
            return Reply(self._for_others(finished), error=error)
        self._open -= len(finished)
        return Reply(self._for_others(finished), engine.state(), self._look())

    def _for_others(self, completions: Sequence[Completion]) -> tuple[Completion, ...]:
        """The completions as other processes can read them: the fake engine's tokenizer numbers words in each as they come up."""
        if isinstance(self._tokenizer, WordTokenizer):
            return tuple(replace(completion, output_ids=()) for completion in completions)
        return tuple(completions)

    def _look(self) -> tuple[GpuSample, ...]:
        now = time.monotonic()
        if self._readers and not self._pace.wait_s(now):
            cost = time.thread_time()
            self._gpus = tuple(reader.read() for reader in self._readers)
            self._pace.done(now, time.thread_time() - cost)
        return self._gpus

    def abort(self) -> None:
        """Drops everything unfinished."""
        self._ready.abort()
        self._open = 0

    @property
    def _ready(self) -> ModelEngine:
        if self._engine is None:
            raise RuntimeError("the engine was not prepared")
        return self._engine


def _answer(call: Callable[[Notice], object]) -> Answer:
    said: list[str] = []
    try:
        return Answer(call(said.append), notices=tuple(said))
    except LlmbenchError as error:
        return Answer(error=error, notices=tuple(said))


def on_clock(completion: Completion, offset_s: float) -> Completion:
    """The completion with its stamps on a clock that is so much ahead."""
    timing = completion.timing
    if timing is None or not offset_s:
        return completion
    moved = replace(timing, queued=timing.queued + offset_s, finished=timing.finished + offset_s)
    return replace(completion, timing=moved)
