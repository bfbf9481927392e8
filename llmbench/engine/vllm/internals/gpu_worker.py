"""vLLM's GPU worker with llmbench's stopwatch; vLLM imports it by name."""

from vllm.v1.worker.gpu_worker import Worker

from llmbench.engine.vllm.internals.worker_timing import Probe


class GpuWorker(Probe, Worker):  # type: ignore[misc]
    """See `Probe`."""
