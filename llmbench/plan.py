"""`python -m llmbench.plan NAME=VALUE …`: what a run will take, by the number of replicas and of GPUs for each, before it is started.

Needs no GPU and loads no model. Exit status: 0 planned, 1 not, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

import orjson

from llmbench.cli.arguments import taken_out, whole_number
from llmbench.cli.compose import compose
from llmbench.cli.plan_lengths import Earlier, expected
from llmbench.cli.plan_table import TENSOR, Plan, print_plan
from llmbench.cli.run_job import skip_benchmarks
from llmbench.config.schema import Config
from llmbench.engine import bundled_model, checkpoint_settings
from llmbench.engine.checkpoint import Checkpoint, locate
from llmbench.engine.factory import ENGINES
from llmbench.engine.vllm.forecast.forecast import fewest_worth, forecasts
from llmbench.engine.vllm.forecast.gpu_kinds import KNOWN, kind_of, named
from llmbench.engine.vllm.forecast.replica import GPUS_PER_HOST, Place
from llmbench.engine.vllm.startup_history import read_history
from llmbench.errors import ConfigError
from llmbench.system import hardware
from llmbench.system.commandline import Parser, guarded
from llmbench.system.console import Terminal

MOST_GPUS, MOST_REQUESTS = 100_000, 1_000_000
"""More would take minutes, and mean a mistyped number."""
UPPER_BOUND = "With stop_when these are upper bounds: they are for all questions, and a run that stops early asks fewer."
BUDGET = (
    "sampling.thinking_budget={budget} is known of no earlier run here, so these figures are for answers without a budget and likely too high; "
    "one run with it replaces them."
)
OTHER_ENGINES = tuple(name for name in ENGINES if name != "vllm")


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.plan",
        description="Says what a run will take before it is started: time, memory, energy and GPU-hours by the number of replicas and "
        "tensor parallelism.",
    )
    parser.add_argument(
        "settings",
        metavar="NAME=VALUE",
        nargs="*",
        help="settings as for a run: benchmark=, model=, profile=, batch_size=, limit=, sampling.repeats=; engine.tensor_parallel_size= "
        "plans for that size alone. And gpus= (how many; all of this machine) and gpu= (which kind, such as H100; this machine's)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON; seconds, bytes and joules, null where unknown"
    )
    chosen = parser.parse_args(arguments)
    plan(chosen.settings, as_json=chosen.json)


def plan(typed: Sequence[str], *, as_json: bool) -> None:
    """Prints what a run will take.

    Raises:
        ConfigError: A setting is refused, or the GPU is not known.
        LlmbenchError: The checkpoint or the questions cannot be read.
    """
    own, settings = taken_out(typed, ("gpu", "gpus"))
    gpus = whole_number("gpus", own.get("gpus"), MOST_GPUS)
    terminal = Terminal(quiet=as_json)
    config = _config(settings, terminal)
    kind, gpus = _gpus(own.get("gpu"), gpus)
    sizes = _tensor_sizes(config, gpus, chosen=any(word.startswith(f"{TENSOR}=") for word in settings))
    found = _plan(config, kind, gpus, sizes)
    if as_json:
        sys.stdout.write(orjson.dumps(_plain(found), option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    print_plan(terminal, found)


def _config(settings: Sequence[str], terminal: Terminal) -> Config:
    for name in OTHER_ENGINES:  # composing would look for a server
        if f"engine={name}" in settings:
            raise ConfigError(
                f"engine={name} is refused: only runs of vLLM on GPUs are planned; leave it out."
            )
    for group in ("sweep", "ablation"):
        if any(word.lstrip("+").startswith(f"{group}=") for word in settings):
            terminal.notice(
                f"A plan is of one run: {group}= is left out; type the value to plan for instead."
            )
    config, notices = checkpoint_settings.complete(compose(settings), _checkpoint)
    for sentence in notices:
        terminal.notice(sentence)
    named_benchmarks = any(word.lstrip("+").startswith("benchmark=") for word in settings)
    skip_benchmarks(config, terminal, named=named_benchmarks)
    return config


def _checkpoint(config: Config) -> Checkpoint | None:
    """The checkpoint as far as it is on this machine; nothing is downloaded or converted."""
    model = config.model
    if model.path is not None or (model.embedded is not None and bundled_model.ready(model.embedded)):
        return locate(model)
    if model.hub_id is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(model.hub_id, "config.json", revision=model.revision)
    folder = file.rpartition("/")[0] if isinstance(file, str) else None
    return Checkpoint(model.hub_id, model.revision, local=False, folder=folder)


def _gpus(typed: str | None, gpus: int | None) -> tuple[Place, int]:
    """Where the run is planned for, and how many GPUs it has."""
    here = hardware.gpus()
    if typed is None and not here:
        names = ", ".join(known.name for known in KNOWN)
        raise ConfigError(
            f"This machine has no GPU; say which one is planned for, such as gpu=H100 (known: {names})."
        )
    name = typed if typed is not None else here[0].name
    kind = named(name)
    own = bool(here) and kind_of(here[0].name) == kind
    memory_bytes = here[0].total_bytes if own else kind.memory_bytes
    place = Place(gpu=kind, memory_bytes=memory_bytes, history=tuple(read_history()))
    return place, gpus or (len(here) if own else 1)


def _tensor_sizes(config: Config, gpus: int, *, chosen: bool) -> list[int]:
    """The tensor parallel sizes to plan for: the one that was typed, else the powers of two that one host has GPUs for."""
    size, pipeline = config.engine.tensor_parallel_size, config.engine.pipeline_parallel_size
    if size * pipeline > gpus:
        also = f" with engine.pipeline_parallel_size={pipeline}" if pipeline > 1 else ""
        raise ConfigError(
            f"{TENSOR}={size}{also} is refused: a replica needs {size * pipeline} GPUs, more than gpus={gpus}; give more GPUs."
        )
    powers = [1, 2, 4, 8]
    return [size] if chosen else [power for power in powers if power * pipeline <= min(gpus, GPUS_PER_HOST)]


def _layouts(config: Config, gpus: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of replicas and tensor parallel size: 1, 2, 4 and so on, and as many as the GPUs allow."""
    found = []
    for size in sizes:
        most = gpus // (size * config.engine.pipeline_parallel_size)
        found += [(1 << power, size) for power in range(most.bit_length())]
        found += [(most, size)] if most & (most - 1) else []
    return found


def _plan(config: Config, place: Place, gpus: int, sizes: Sequence[int]) -> Plan:
    earlier = Earlier.of(config)
    counts = _counts(config)
    if (requests := sum(counts.values())) > MOST_REQUESTS:
        raise ConfigError(
            f"{requests:,} requests are more than the {MOST_REQUESTS:,} that are planned; lower sampling.repeats or limit."
        )
    demand, lengths = expected(config, counts, earlier)
    checkpoint = _checkpoint(config)
    found = forecasts(config, checkpoint, demand, place, _layouts(config, gpus, sizes))
    alone = replace(demand, lengths=demand.lengths[:1])
    enough, longest_s = {}, {}
    for size in sizes:
        mine = [each for each in found if each.tensor_parallel_size == size and each.fits is not False]
        if mine:
            enough[size] = mine[fewest_worth([each.total_s for each in mine])]
            (longest,) = forecasts(config, checkpoint, alone, place, [(1, size)])
            longest_s[size] = longest.generate_s
    weights = config.model.quantization or config.model.dtype
    notes = [UPPER_BOUND] if config.stop_when.is_set else []
    budget = config.sampling.thinking_budget
    if budget is not None and not counts.keys() <= earlier.lengths.keys():
        notes.append(BUDGET.format(budget=budget))
    return Plan(config.model.name, weights, place.gpu.name, gpus, lengths, found, enough, longest_s, notes)


def _counts(config: Config) -> dict[str, int]:
    """Requests of each benchmark; the data is read only where the settings do not say how many questions there are.

    Raises:
        DataError: The data cannot be read.
    """
    counts = {}
    for name, benchmark in config.benchmarks.items():
        size = benchmark.size if benchmark.data_files is None else None
        known = [number for number in (benchmark.num_samples, size) if number is not None]
        counts[name] = (min(known) if known else _read(config, name)) * benchmark.repeats
    return counts


def _read(config: Config, name: str) -> int:
    from llmbench.run.request_plan import RequestPlan

    only = replace(config, benchmarks={name: config.benchmarks[name]})
    return len(RequestPlan.read(only).samples[name].chosen)


def _plain(planned: Plan) -> dict[str, object]:
    """A plan as JSON has it."""
    plain = asdict(planned)
    plain["enough"] = [
        {
            "tensor_parallel_size": size,
            "replicas": each.replicas,
            "total_s": each.total_s,
            "longest_answer_s": planned.longest_s[size],
        }
        for size, each in planned.enough.items()
    ]
    del plain["longest_s"]
    return plain


if __name__ == "__main__":
    sys.exit(main(None))
