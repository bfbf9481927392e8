"""What is tried when memory was too little: less of it, step by step, and a new process where CUDA may hold on to what it had.

No step changes a score: neither the weights nor the questions nor what may be answered, only how much runs at once, what is
set aside for it, and a context that nobody would have filled.
"""

import copy
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from llmbench.config.choices import Startup
from llmbench.config.schema import Config
from llmbench.errors import Shortage
from llmbench.results.recovery import (
    CONTEXT,
    LARGEST,
    REMEMBERED,
    SEQUENCES,
    STARTUP,
    STATIC,
    UTILISATION,
    Step,
)

LOWER, LOWEST = 0.1, 0.3
"""How much less of the GPU each step takes, and the least."""
SLACK = 0.01
"""Share of the GPU that is left beside what was free: other processes move."""
CONTEXT_STEP = 16
"""Contexts are multiples of this, a KV block's tokens."""


def lowered(config: Config, steps: Sequence[Step]) -> Config:
    """Returns a copy of the settings with each step applied; never raises a value."""
    config = copy.deepcopy(config)
    for step in steps:
        group, _, name = step.setting.rpartition(".")
        owner: Any = attrgetter(group)(config) if group else config
        before = getattr(owner, name)
        if step.setting == STARTUP:
            owner.startup = Startup.eager
        elif before is None or before > step.after:
            setattr(owner, name, step.after)
    config.min_batch_size = min(config.min_batch_size, config.max_batch_size)
    return config


def next_step(
    config: Config, shortage: Shortage, taken: Sequence[Step], *, needed: int, at_once: int
) -> Step | None:
    """What to try next; None where nothing is left that could help, or `oom_retries` settings were lowered.

    A size of the KV cache that was remembered goes first: the engine measures it then.

    Args:
        config: The settings that were too much.
        shortage: What was short.
        taken: The steps before.
        needed: Tokens of the longest prompt and its answer together.
        at_once: Requests that were to run at once.
    """
    if shortage.remembered and config.engine.remember_kv_cache:
        # nothing is lowered, so it is no retry
        return Step(shortage.cause, REMEMBERED, before=True, after=False)
    if sum(step.setting != REMEMBERED for step in taken) >= config.oom_retries:
        return None
    change = _change(config, shortage, taken, needed, at_once)
    if change is None:
        return None
    setting, after = change
    return Step(shortage.cause, setting, _value(config, setting), after)


Change = tuple[str, float | int | str] | None


def _change(config: Config, shortage: Shortage, taken: Sequence[Step], needed: int, at_once: int) -> Change:
    if config.engine.name == "transformers":  # which sets nothing aside: only a batch can be smaller
        return _smaller_batch(config, shortage.size) if shortage.cause == "running" else None
    match shortage.cause:
        case "free" | "weights":
            return _less_memory(config, shortage.free_share)
        case "kv_cache":
            return _fewer(at_once)
        case "context":  # one that has room for what is asked
            length = (shortage.fits or 0) // CONTEXT_STEP * CONTEXT_STEP
            return (CONTEXT, length) if needed <= length < config.model.max_length else None
    others = [_less_memory(config), _fewer(at_once)]
    if shortage.cause == "capture" and config.engine.startup is not Startup.eager:
        others.insert(1, (STARTUP, Startup.eager.value))
    tried = [step.setting for step in taken]
    possible = [change for change in others if change is not None]
    return min(possible, key=lambda change: tried.count(change[0]), default=None)  # each in turn


def _less_memory(config: Config, free_share: float | None = None) -> Change:
    """The next lower utilisation, low enough for what was free."""
    use = config.model.gpu_memory_utilization
    while use > LOWEST:
        use = max(LOWEST, round(use - LOWER, 2))
        if free_share is None or use <= free_share - SLACK:
            return UTILISATION, use
    return None


def _fewer(at_once: int) -> Change:
    return (SEQUENCES, at_once // 2) if at_once > 1 else None


def _smaller_batch(config: Config, failed: int | None) -> Change:
    """Half of the batch that was too much, which may have been smaller than the setting allows."""
    setting = LARGEST if config.use_dynamic_batching else STATIC
    setting = SEQUENCES if config.batch_size is not None else setting
    size = int(_value(config, setting) or 0)
    size = min(size, failed) if failed else size
    return (setting, size // 2) if size > 1 else None


def _value(config: Config, setting: str) -> float | int | str | None:
    value: Any = attrgetter(setting)(config)
    return value.value if isinstance(value, Startup) else value
