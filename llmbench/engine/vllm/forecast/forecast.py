"""Time, memory and energy of a run by the number of replicas and of GPUs for each; how many replicas are worth having."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmbench.config.choices import Device, Startup
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.vllm.forecast.demand import Demand, drain, share, stated_demand
from llmbench.engine.vllm.forecast.gpu_kinds import kind_of
from llmbench.engine.vllm.forecast.rates import Source
from llmbench.engine.vllm.forecast.replica import Place, Replica
from llmbench.engine.vllm.startup_history import Work, read_history
from llmbench.engine.workload import Workload
from llmbench.errors import LlmbenchError
from llmbench.system import hardware
from llmbench.system.number_format import count, seconds

WORTH = 0.03
"""More replicas must save more than this share of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run, or several one after another, takes with so many replicas.

    Attributes:
        replicas: Engines with the whole model.
        tensor_parallel_size: GPUs that share each layer.
        gpus: Of all replicas.
        begin_s: Seconds of what is neither loading nor generating, Ray's start among it.
        load_s: Seconds of loading.
        generate_s: Seconds of generating.
        tail_s: Those of them, at the end, in which fewer than half of the first requests still run.
        total_s: Begin, load and generate.
        gpu_hours: GPUs times `total_s`, in hours.
        energy_j: Joules of all GPUs while they generate.
        memory_bytes: Of one GPU for the weights, the KV cache of what runs at once and the rest; None where the weights' size is not known.
        fits: Whether one GPU has room for the weights and the longest request; None where that is not known.
        running: Requests that run at once on a replica: the batch size, or what the KV cache holds.
        startup: The start-up that finishes first.
        source: Where the rates come from.
        runs: Measured runs that they were set by; `measured_tensor` is the tensor parallel size that those had.
    """

    replicas: int
    tensor_parallel_size: int
    gpus: int
    begin_s: float
    load_s: float
    generate_s: float
    tail_s: float
    total_s: float
    gpu_hours: float
    energy_j: float
    memory_bytes: int | None
    fits: bool | None
    running: int
    startup: Startup
    source: Source
    runs: int
    measured_tensor: int


def forecasts(
    config: Config,
    checkpoint: Checkpoint | None,
    demand: Demand,
    place: Place,
    layouts: Sequence[tuple[int, int]],
) -> list[Forecast]:
    """Returns what a run takes for each number of replicas and tensor parallel size.

    Args:
        config: The settings; replicas and tensor parallelism come from `layouts`.
        checkpoint: None where it is not at hand.
        demand: What is asked.
        place: Where, and what was measured there.
        layouts: Pairs of replicas and tensor parallel size.

    Raises:
        ConfigError: The model's number of parameters is not known.
    """
    kinds = {
        tensor: Replica.of(config, checkpoint, place, tensor, demand)
        for tensor in {tensor for _, tensor in layouts}
    }
    return [_forecast(kinds[tensor], [demand], replicas) for replicas, tensor in layouts]


def _forecast(replica: Replica, demands: Sequence[Demand], replicas: int) -> Forecast:
    """What jobs take, one after another; memory is what the one that takes most of it needs."""
    shares = [share(demand.lengths, replicas) for demand in demands]
    running = [replica.running(demand, len(mine)) for demand, mine in zip(demands, shares, strict=True)]
    jobs = list(zip(demands, shares, running, strict=True))
    rates, startup = replica.rates([Work.of(mine, at_once) for _, mine, at_once in jobs])
    drained = [drain(mine, at_once, rates, demand) for demand, mine, at_once in jobs]
    generate_s = sum(each.seconds for each in drained)
    gpus, measured = replicas * replica.gpus, replica.calibration
    begin_s, load_s = replica.start_s(rates, replicas)
    total_s = begin_s + load_s + generate_s
    return Forecast(
        replicas=replicas,
        tensor_parallel_size=replica.config.engine.tensor_parallel_size,
        gpus=gpus,
        begin_s=begin_s,
        load_s=load_s,
        generate_s=generate_s,
        tail_s=sum(each.tail_s for each in drained),
        total_s=total_s,
        gpu_hours=gpus * total_s / 3600,
        energy_j=rates.watts * gpus * generate_s,
        memory_bytes=replica.memory_bytes(max(at_once * demand.held for demand, _, at_once in jobs)),
        fits=replica.fits(max(demand.longest + demand.prompt_tokens for demand in demands)),
        running=max(running),
        startup=startup,
        source=replica.source,
        runs=0 if measured is None else measured.runs,
        measured_tensor=replica.measured_tensor,
    )


def fewest_worth(total_s: Sequence[float]) -> int:
    """Returns the place of the first time that all others undercut by no more than WORTH; more replicas gain nothing.

    >>> fewest_worth([100, 60, 41, 40])
    2
    """
    enough = min(total_s) / (1 - WORTH)
    return next(place for place, seconds in enumerate(total_s) if seconds <= enough)


def replicas_worth(
    config: Config, checkpoint: Checkpoint | None, workload: Workload, gpus: int
) -> tuple[int, str]:
    """Returns how many replicas finish the work first on this machine, and a sentence that says why.

    Of several numbers that take the same time but for 3%, it is the smallest. Where nothing can be foreseen it is 1.

    Args:
        config: The settings.
        checkpoint: The model's; None where there is none.
        workload: What is asked; its jobs, if it has any, run one after another.
        gpus: How many there are.
    """
    engine, found = config.engine, hardware.gpus()
    most = min(gpus // engine.gpus_each, max(1, workload.requests))
    if engine.name != "vllm" or engine.device is Device.cpu or not found or most <= 1:
        return 1, "1 replica: several need engine=vllm, a GPU for each, and as many requests."
    kind = kind_of(found[0].name)
    if kind is None:
        return 1, f"1 replica: the speed of {found[0].name} is not known; set engine.replicas to a number."
    place = Place(gpu=kind, memory_bytes=found[0].total_bytes, history=tuple(read_history()))
    demands = [stated_demand(config, job) for job in workload.jobs or (workload,)]
    try:
        replica = Replica.of(config, checkpoint, place, engine.tensor_parallel_size, demands[0])
    except LlmbenchError as error:
        return 1, f"1 replica: {error}"
    by_number = [_forecast(replica, demands, replicas) for replicas in range(1, most + 1)]
    chosen = fewest_worth([each.total_s for each in by_number])
    return chosen + 1, _reason(by_number, chosen)


def _reason(by_number: Sequence[Forecast], chosen: int) -> str:
    """Why so many replicas are taken, counted from 0."""
    taken = by_number[chosen]
    numbers = f"about {seconds(taken.total_s)} in all, {seconds(taken.generate_s)} of them generating"
    other = by_number[0] if chosen else min(by_number[1:], key=lambda each: each.total_s)
    than = f"instead of {seconds(other.total_s)} with {other.replicas}"
    return f"{count(chosen + 1, 'replica')}: {numbers}, {than} (rates: {taken.source.value})."
