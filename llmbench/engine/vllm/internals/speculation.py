"""vLLM's scheduler, with drafting only while few requests run, and with a count of steps.

vLLM takes a scheduler by name (`scheduler_cls`) and calls what the name stands for (vllm/v1/engine/core.py, since 0.26). Each step's plan says how many tokens are
drafted for the next one (`SchedulerOutput.num_spec_tokens_to_schedule`, since 0.26), and the model runner asks the drafter for as many.

vLLM has a setting of its own for this, `num_speculative_tokens_per_batch_size` (since 0.26). Where its first model runner works, as with n-grams and draft models, that setting
replaces full CUDA graphs by piecewise ones, which `engine.startup=graphs` does not have (`VllmConfig._maybe_override_dynamic_sd_cudagraph_mode`).
"""

from typing import Any

LIMIT = "llmbench_speculative_max_running"
"""The key in vLLM's `additional_config` with the most requests that are drafted for; without it all are."""


class Drafting:
    """What vLLM's schedulers gain."""

    vllm_config: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - vLLM's arguments
        """Starts the scheduler, and the counts at zero."""
        super().__init__(*args, **kwargs)
        self.llmbench_limit: int | None = self.vllm_config.additional_config.get(LIMIT)
        self.llmbench_steps = self.llmbench_drafted_steps = 0

    def _update_after_schedule(self, scheduled: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Is called with the plan of each step, before it runs (since 0.26)."""
        running = len(scheduled.num_scheduled_tokens)
        if self.llmbench_limit is not None and running > self.llmbench_limit:
            scheduled.num_spec_tokens_to_schedule = 0
        self.llmbench_steps += running > 0
        self.llmbench_drafted_steps += bool(scheduled.scheduled_spec_decode_tokens)
        super()._update_after_schedule(scheduled, *args, **kwargs)  # type: ignore[misc]


def scheduler(vllm_config: Any, **others: Any) -> Any:  # noqa: ANN401 - vLLM's classes
    """Makes the scheduler that vLLM would take, with `Drafting` (`get_scheduler_cls` of its `SchedulerConfig`, since 0.26)."""
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler
    from vllm.v1.core.sched.scheduler import Scheduler

    base = AsyncScheduler if vllm_config.scheduler_config.async_scheduling else Scheduler
    return type(base.__name__, (Drafting, base), {})(vllm_config=vllm_config, **others)
