"""What the machine does while a run goes on: samples, the trace, and `MemoryTracker`. Imports neither torch nor vllm."""

from llmbench.telemetry.records import EngineState, GpuSample, TelemetrySample, Totals
from llmbench.telemetry.sampler import Sampler
from llmbench.telemetry.trace import read_trace
from llmbench.telemetry.tracker import MemoryTracker

Sample = TelemetrySample
"""Its name in 0.1.0."""
__all__ = [
    "EngineState",
    "GpuSample",
    "MemoryTracker",
    "Sample",
    "Sampler",
    "TelemetrySample",
    "Totals",
    "read_trace",
]
