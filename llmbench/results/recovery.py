"""Settings that were lowered because memory ran out: rows of the manifest."""

from dataclasses import dataclass

UTILISATION, CONTEXT, SEQUENCES = "model.gpu_memory_utilization", "model.max_length", "batch_size"
STARTUP, REMEMBERED = "engine.startup", "engine.remember_kv_cache"
STATIC, LARGEST = "static_batch_size", "max_batch_size"
SETTINGS = (UTILISATION, CONTEXT, SEQUENCES, STARTUP, STATIC, LARGEST, REMEMBERED)
WORDS = {
    "free": "less GPU memory was free than asked for",
    "kv_cache": "no memory was left for the KV cache",
    "context": "the KV cache had no room for one sequence of the full context",
    "weights": "memory ran out while the weights were loaded",
    "profiling": "memory ran out while vLLM tried the largest batch",
    "capture": "memory ran out while CUDA graphs were captured",
    "warm_up": "memory ran out while the engine warmed up",
    "running": "memory ran out while requests ran",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One setting that was lowered because memory ran out.

    Attributes:
        cause: What memory was short for (`errors.Shortage`).
        setting: Which setting was lowered.
        before: Its value when memory ran out; None: left open.
        after: Its value from then on.
        fresh: The next try was in a new process.
        kept: Results that were finished before and were not asked again.
    """

    cause: str
    setting: str
    before: bool | float | int | str | None
    after: bool | float | int | str
    fresh: bool = False
    kept: int = 0

    def __post_init__(self) -> None:
        for name, known in (("cause", WORDS), ("setting", SETTINGS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")

    def sentence(self) -> str:
        """The message for the user."""
        where = " in a new process" if self.fresh else ""
        kept = f"; {self.kept} finished results are kept" if self.kept else ""
        said = WORDS[self.cause]
        if self.setting == REMEMBERED:
            return f"{said[0].upper()}{said[1:]}; trying again{where} without the remembered size of the KV cache{kept}."
        before = "" if self.before is None else f" instead of {self.before}"
        return f"{said[0].upper()}{said[1:]}; trying again{where} with {self.setting}={self.after}{before}{kept}."
