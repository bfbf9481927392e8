"""vLLM's CPU worker with llmbench's stopwatch; vLLM imports it by name."""

from vllm.v1.worker.cpu_worker import CPUWorker

from llmbench.engine.vllm.internals.worker_timing import Probe


class CpuWorker(Probe, CPUWorker):  # type: ignore[misc]
    """See `Probe`."""
