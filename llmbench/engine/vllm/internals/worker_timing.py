"""vLLM's workers, with a stopwatch and answers to what only they know.

vLLM takes a worker's class by name (`worker_cls`); `gpu_worker` and `cpu_worker` mix these methods into its
own (vllm/v1/worker/, since 0.26). Nothing is timed but the calls vLLM makes to start a worker, so serving costs nothing.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmbench.engine.vllm.internals import quantized_weights
from llmbench.system.processes import follow

GREEDY = "LLMBENCH_ONLY_GREEDY"
"""Set in the environment while an engine starts whose requests are all greedy."""
PARTS = ("device", "weights", "profile", "compile", "kv_cache", "capture", "warm_up")
"""What the stopwatch measures."""


class Probe:
    """Methods that vLLM's worker gains. Seconds are wall time of the worker's own calls."""

    model_runner: Any
    vllm_config: Any
    llmbench_digest: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - vLLM's arguments
        """Starts the worker and the stopwatch, and ties the worker's life to llmbench's."""
        follow()
        self.llmbench_created = time.monotonic()  # one clock for all processes of a machine
        self.llmbench_seconds: dict[str, float] = {}
        super().__init__(*args, **kwargs)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        parts, begun = self.llmbench_seconds, time.monotonic()
        before_s = sum(parts.values())
        try:
            yield
        finally:
            took_s, parts["compile"] = time.monotonic() - begun, self._compiled()
            others_s = sum(parts.values()) - before_s  # timed inside
            parts[name] = parts.get(name, 0.0) + took_s - others_s

    def _compiled(self) -> float:
        """Seconds that torch has compiled: `CompilationConfig.compilation_time` (since 0.26)."""
        return float(getattr(self.vllm_config.compilation_config, "compilation_time", 0.0))

    def init_device(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Times the call that takes the device and makes the model runner (since 0.26)."""
        with self._timed("device"):
            return super().init_device(*args, **kwargs)  # type: ignore[misc]

    def load_model(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Times loading; has the model runner's `capture_model` timed (since 0.26)."""
        with self._timed("weights"), quantized_weights.written():
            done = super().load_model(*args, **kwargs)  # type: ignore[misc]
        self.llmbench_digest = quantized_weights.digest_if_asked(self.model_runner)
        capture = getattr(self.model_runner, "capture_model", None)
        if capture is not None:
            self.model_runner.capture_model = self._timed("capture")(capture)
        return done

    def determine_available_memory(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Times the profiling run (since 0.26)."""
        with self._timed("profile"):
            return super().determine_available_memory(*args, **kwargs)  # type: ignore[misc]

    def initialize_from_config(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Times making the KV cache (since 0.26)."""
        with self._timed("kv_cache"):
            return super().initialize_from_config(*args, **kwargs)  # type: ignore[misc]

    def compile_or_warm_up_model(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Times capturing and warming up; restricts the latter to greedy decoding where that is all (since 0.26)."""
        with self._timed("warm_up"), self._own_sampling():
            return super().compile_or_warm_up_model(*args, **kwargs)  # type: ignore[misc]

    @contextmanager
    def _own_sampling(self) -> Iterator[None]:
        """Warms up greedy decoding where nothing else is asked for.

        vLLM's warm-up calls `execute_model` and `sample_tokens` for two steps with every feature that sampling has; compiling the kernels of those takes 19 s on
        an H100 the first time (BENCHMARKS.md), for requests that use none of them (`SchedulerOutput.scheduled_new_reqs`, since 0.26).
        """
        sample = getattr(self, "sample_tokens", None)
        if not os.environ.get(GREEDY) or sample is None:
            yield
            return
        from vllm.sampling_params import SamplingParams

        execute = self.execute_model  # type: ignore[has-type]

        def asked(scheduled: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            for request in getattr(scheduled, "scheduled_new_reqs", ()):
                if getattr(request, "sampling_params", None) is not None:
                    request.sampling_params = SamplingParams(temperature=0.0, max_tokens=2)
            return execute(scheduled, *args, **kwargs)

        self.execute_model, self.sample_tokens = asked, lambda *_: sample(None)
        try:
            yield
        finally:
            del self.execute_model, self.sample_tokens  # the class's own come back

    def llmbench_facts(self) -> dict[str, Any]:
        """Attention backends by name (`attn_groups` of the model runner, since 0.26) with FlashAttention's version, bytes of the weights, and seconds.

        And `available_kv_cache_memory_bytes`, which the GPU's worker sets where it measured it (since 0.26), and the digest that was asked for.
        """
        runner = self.model_runner
        groups = [group for groups in getattr(runner, "attn_groups", []) for group in groups]
        backends = sorted({group.backend.get_name() for group in groups})
        version = _flash_attention_version() if "FLASH_ATTN" in backends else ""
        return {
            "attention_backend": "+".join(backends) + version or None,
            "weights_bytes": _weights_bytes(runner),
            "kv_cache_bytes": getattr(self, "available_kv_cache_memory_bytes", None),
            "weights_digest": self.llmbench_digest,
            "created": self.llmbench_created,
            "seconds": dict(self.llmbench_seconds),
        }


def _weights_bytes(runner: Any) -> int | None:  # noqa: ANN401 - vLLM's own class, without a stable type
    """What loading took, as the runner measured it in `model_memory_usage` (since 0.26); the CPU's runner does not, and its packed weights are no parameters."""
    used = getattr(runner, "model_memory_usage", None)
    return int(used) if used else None


def _flash_attention_version() -> str:
    """The version in use, in brackets, by `get_flash_attn_version` (vllm/v1/attention/backends/fa_utils.py, since 0.26)."""
    from vllm.v1.attention.backends.fa_utils import get_flash_attn_version

    version = get_flash_attn_version()
    return f" (FlashAttention {version})" if version else ""
