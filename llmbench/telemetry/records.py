"""What one look at the machine saw, and what many of them add up to. None stands for what could not be read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU.

    Attributes:
        memory_bytes: Memory in use, by all processes on it.
        utilization: Share of the driver's last measuring period in which a kernel ran, 0 to 1.
        power_w: Power in watts; newer boards average it over a second.
        energy_j: Joules since the sampler began.
        sm_clock_mhz: Clock of the multiprocessors.
        memory_clock_mhz: Clock of the memory.
        throttle: Why the clocks are not higher; empty where nothing holds them back.
        temperature_c: Of the chip, in degrees Celsius.
    """

    memory_bytes: int | None = None
    utilization: float | None = None
    power_w: float | None = None
    energy_j: float | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    throttle: tuple[str, ...] | None = None
    temperature_c: int | None = None


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the engine was doing.

    Attributes:
        running: Requests that its scheduler ran: their prompts were read or their answers written.
        waiting: Requests that its scheduler had and did not run.
        kv_cache_use: Share of the KV cache that is taken, 0 to 1.
        preemptions: Running requests that were interrupted, so far.
        prefix_cache_hits: Prompt tokens that the prefix cache served, so far.
        generated_tokens: Output tokens, so far.
        queued: Requests that llmbench had not given to the scheduler: beyond the batch size, or not submitted yet.
    """

    running: float | None = None
    waiting: float | None = None
    kv_cache_use: float | None = None
    preemptions: float | None = None
    prefix_cache_hits: float | None = None
    generated_tokens: float | None = None
    queued: float | None = None


@dataclass(frozen=True, slots=True)
class TelemetrySample:
    """One look, and a line of trace.jsonl.

    Attributes:
        t: Seconds since the run began (`llmbench.system.clock`).
        rss_bytes: Resident memory of this process.
        cpu_share: Cores that this process kept busy since the last look; 1 is one core.
        children_rss_bytes: Resident memory of its children and theirs, read about once a second; pages that they share count for each.
        gpus: In the order of CUDA.
        engine: None where no engine is watched.
    """

    t: float
    rss_bytes: int | None = None
    cpu_share: float | None = None
    children_rss_bytes: int | None = None
    gpus: tuple[GpuSample, ...] = ()
    engine: EngineState | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and largest of the values that could be read."""

    mean: float | None = None
    peak: float | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """What a stretch of samples adds up to.

    Attributes:
        duration_s: Seconds from the first sample to the last.
        samples: How many there were.
        rss_bytes: Of this process.
        children_rss_bytes: Of its children together.
        gpu_bytes: Memory in use on all watched GPUs together.
        utilization: Mean over the GPUs, 0 to 1.
        power_w: All GPUs together.
        energy_j: All GPUs together, from the first sample to the last.
        throttled: Share of the samples in which some GPU was held back, for each reason seen; idling is no reason.
    """

    duration_s: float
    samples: int
    rss_bytes: Spread
    children_rss_bytes: Spread
    gpu_bytes: Spread
    utilization: Spread
    power_w: Spread
    energy_j: float | None
    throttled: dict[str, float]


@dataclass(slots=True)
class Memory:
    """Peaks in bytes."""

    peak_gpu_bytes: int | None = None
    peak_rss_bytes: int | None = None


@dataclass(slots=True)
class GpuUse:
    """Mean utilisation from 0 to 1 and energy in joules, while requests ran."""

    utilization_mean: float | None = None
    energy_j: float | None = None
