"""What a run will take, by hand-made cases; and how many replicas are worth having."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench.config.choices import Device, Startup
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.vllm import startup_history
from llmbench.engine.vllm.forecast.demand import Demand, drain, resampled, share, stated_lengths
from llmbench.engine.vllm.forecast.forecast import Forecast, fewest_worth, forecasts, replicas_worth
from llmbench.engine.vllm.forecast.gpu_kinds import KNOWN, kind_of, named
from llmbench.engine.vllm.forecast.rates import Rates, Source, adjusted, stated
from llmbench.engine.vllm.forecast.replica import Place
from llmbench.engine.vllm.startup import history_key
from llmbench.engine.vllm.startup_history import HistoryEntry
from llmbench.engine.workload import Took, Workload
from llmbench.errors import ConfigError
from llmbench.system import hardware
from llmbench.system.hardware import Gpu
from tests.helpers.factories import measured_start
from tests.helpers.settings import compose

H100 = named("H100")
BF16 = ("benchmark=math", "model=qwen14b", "model.quantization=null")
GRAPHS = (*BF16, "engine.startup=graphs")
TENTH = Rates(steps={1: 0.1}, token_s=0.0, context_token_s=0.0, load_s=10.0, watts=500.0)
"""A tenth of a second for each step, whatever runs."""


def demand(*lengths: int, prompt_tokens: float = 0.0) -> Demand:
    return Demand(tuple(sorted(lengths, reverse=True)), prompt_tokens)


def seconds(lengths: list[int], places: int, rates: Rates = TENTH, prompt_tokens: float = 0.0) -> float:
    return drain(lengths, places, rates, demand(prompt_tokens=prompt_tokens)).seconds


def planned(
    of: Demand,
    *layouts: tuple[int, int],
    config: Config | None = None,
    history: tuple[HistoryEntry, ...] = (),
    gpu: str = "H100",
) -> list[Forecast]:
    kind = named(gpu)
    place = Place(gpu=kind, memory_bytes=kind.memory_bytes, history=history)
    return forecasts(config or compose(BF16), None, of, place, layouts)


# The queue of a replica


def test_one_request_takes_a_step_for_each_token() -> None:
    assert seconds([100], 8) == pytest.approx(10)
    assert seconds([], 8) == 0


def test_requests_of_one_length_run_in_whole_rounds() -> None:
    assert seconds([50] * 8, 8) == pytest.approx(5)
    assert seconds([50] * 9, 8) == pytest.approx(10)
    assert seconds([50] * 16, 8) == pytest.approx(10)
    assert seconds([50] * 3, 1000) == pytest.approx(5), "places without requests cost nothing"


def test_the_longest_answer_bounds_all() -> None:
    took = drain([1000] + [10] * 50, 64, TENTH, demand())
    assert took.seconds == pytest.approx(100)
    assert took.tail_s == pytest.approx(99)


def test_a_place_that_becomes_free_takes_the_next() -> None:
    assert seconds([60, 30, 30, 20], 2) == pytest.approx(8)


def test_prompts_and_their_cache_cost_what_the_rates_say() -> None:
    reading = dataclasses.replace(TENTH, token_s=0.001)
    assert seconds([10, 10], 2, reading, prompt_tokens=100) == pytest.approx(2 * 0.1 + 1)
    context = dataclasses.replace(TENTH, context_token_s=0.001)
    assert seconds([10], 1, context, prompt_tokens=100) == pytest.approx(1 + 10 * 0.105)
    later = seconds([10, 10], 1, context, prompt_tokens=100)
    assert later == pytest.approx(2 * (1 + 10 * 0.105)), (
        "a request begins with its own context, not with the one before"
    )


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 20))
def test_no_order_is_faster_than_the_work_or_the_longest(lengths: list[int], places: int) -> None:
    steps = seconds(sorted(lengths, reverse=True), places) * 10
    assert steps >= max(*lengths, sum(lengths) / places) - 1e-6
    assert steps <= sum(lengths) / places + max(lengths) + 1e-6


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 12))
def test_the_busiest_replica_has_the_longest_and_at_most_one_more_than_its_part(
    lengths: list[int], replicas: int
) -> None:
    ordered = sorted(lengths, reverse=True)
    mine = share(ordered, replicas)
    assert mine[:1] == ordered[:1]
    assert len(mine) in (len(lengths) // replicas, -(-len(lengths) // replicas))
    assert sum(mine) <= sum(lengths) / replicas + max(lengths, default=0)


# Rates


def test_the_stated_rates_give_what_was_measured() -> None:
    """Output tokens/s of 128 tokens behind prompts of 200, by requests at once, and 500 of MATH on one and on two GPUs (BENCHMARKS.md, FACTS)."""
    rates = stated(14.8, None, 196_608, H100)
    for running, tokens_per_s in {1: 85, 8: 634, 32: 2135, 128: 5330, 256: 6832}.items():
        took = seconds([128] * running, running, rates, prompt_tokens=200)
        assert running * 128 / took == pytest.approx(tokens_per_s, rel=0.05)
    assert seconds([128] * 500, 500, rates, prompt_tokens=110) == pytest.approx(6.74, rel=0.1)
    assert seconds(
        [128] * 500, 500, adjusted(rates, (Startup.graphs, None), None, 2, 1), prompt_tokens=110
    ) == pytest.approx(4.21, rel=0.1)


def test_other_gpus_decode_by_their_bandwidth() -> None:
    ours, theirs = (stated(14.8, None, 196_608, named(name)).step_s(1, 1000) for name in ("H100", "A100"))
    assert theirs / ours == pytest.approx(3350 / 2039)


def test_gpus_are_known_by_the_names_that_drivers_give_them() -> None:
    names = {
        "NVIDIA H100 80GB HBM3": "H100",
        "NVIDIA H100 PCIe": "H100 PCIe",
        "NVIDIA A100-SXM4-40GB": "A100 40GB",
        "NVIDIA A100-SXM4-80GB": "A100",
        "NVIDIA GeForce RTX 4090": "RTX 4090",
        "rtx4090": "RTX 4090",
        "NVIDIA L40S": "L40S",
        "NVIDIA L4": "L4",
        "2x NVIDIA H200": "H200",
    }
    assert {name: kind.name for name in names if (kind := kind_of(name))} == names
    assert kind_of("NVIDIA H100 80GB HBM3 (MIG)") is None
    with pytest.raises(ConfigError, match=r"gpu=H300 is refused: .*H100.*RTX 4090"):
        named("H300")


# Forecasts


def test_twice_the_replicas_halve_large_work() -> None:
    one, two, four = planned(demand(*[512] * 20_000), (1, 1), (2, 1), (4, 1))
    assert two.generate_s / one.generate_s == pytest.approx(0.5, rel=0.03)
    assert four.generate_s / two.generate_s == pytest.approx(0.5, rel=0.03)
    assert two.gpu_hours == pytest.approx(2 * two.total_s / 3600)


def test_replicas_do_not_shorten_the_longest_answer() -> None:
    work = demand(20_000, *[100] * 200)
    one, many = planned(work, (1, 1), (64, 1))
    (alone,) = planned(demand(20_000), (1, 1))
    assert one.generate_s >= many.generate_s >= 0.99 * alone.generate_s
    assert many.tail_s > 0.9 * many.generate_s
    assert one.gpu_hours < many.gpu_hours / 20


def test_replicas_without_requests_change_nothing() -> None:
    ten, more = planned(demand(*[100] * 10), (10, 1), (20, 1))
    assert ten.generate_s == more.generate_s


def test_loading_takes_a_little_longer_side_by_side_on_one_host_only() -> None:
    work = demand(*[100] * 10_000)
    one, two, eight, many = planned(work, (1, 1), (2, 1), (8, 1), (800, 1), config=compose(GRAPHS))
    assert one.load_s < two.load_s < eight.load_s == many.load_s
    assert two.begin_s > one.begin_s, "Ray starts"


def test_what_does_not_fit_is_said() -> None:
    small, two = planned(demand(100), (1, 1), (1, 2), gpu="RTX 4090")
    assert (small.fits, two.fits) == (False, True)
    assert small.memory_bytes is not None
    assert two.memory_bytes is not None
    assert small.memory_bytes > 24 << 30 > two.memory_bytes
    (four_bit,) = planned(
        demand(100), (1, 1), gpu="RTX 4090", config=compose(["benchmark=math", "model=qwen14b"])
    )
    assert four_bit.fits


def test_the_kv_cache_limits_what_runs_at_once() -> None:
    short, long = (planned(demand(*[length] * 500), (1, 1))[0] for length in (100, 10_000))
    assert short.running == 500
    assert long.running < 40
    (typed,) = planned(dataclasses.replace(demand(*[100] * 500), batch_size=16), (1, 1))
    assert typed.running == 16


def test_a_model_of_unknown_size_is_refused() -> None:
    config = compose([*BF16, "model.parameters_b=null"])
    with pytest.raises(ConfigError, match=r"set model\.parameters_b"):
        planned(demand(100), (1, 1), config=config)


def test_a_model_of_a_few_parameters_for_tests_is_planned_too() -> None:
    (found,) = planned(demand(100), (1, 1), config=compose([*BF16, "model.parameters_b=1e-7"]))
    assert (found.fits, found.running) == (True, 1)


# Measured runs


@pytest.fixture
def h100s(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tuple(Gpu(index, "NVIDIA H100 80GB HBM3", 80 << 30, "580") for index in range(8))
    monkeypatch.setattr(hardware, "gpus", lambda: found)


def measured(config: Config, *starts: tuple[Startup, float, float]) -> tuple[HistoryEntry, ...]:
    """A first run, slow in every way, and runs of 40 requests of 160 tokens with these start-ups, loads and steps."""
    key = history_key(config, Checkpoint("Qwen/Qwen2.5-14B-Instruct", None, local=False), Device.cuda)
    return (
        measured_start(Startup.graphs, 500, 5, key),
        *(measured_start(*start, key=key) for start in starts),
    )


@pytest.mark.usefixtures("h100s")
def test_a_run_measured_here_sets_the_rates() -> None:
    config = compose(GRAPHS)
    history = measured(config, (Startup.graphs, 33.0, 0.05))
    work = demand(*[160] * 40, prompt_tokens=300)
    one, two, other = planned(work, (1, 1), (2, 1), (1, 2), config=config, history=history)
    assert (one.source, one.runs) == (Source.HERE, 1)
    assert one.generate_s == pytest.approx(160 * 0.05, rel=0.03)
    assert one.load_s == 33
    assert one.energy_j == pytest.approx(900, rel=0.03)
    assert two.source is Source.HERE
    assert 0.5 < two.generate_s / one.generate_s < 1
    assert (other.source, other.measured_tensor) == (Source.HERE, 1)
    assert one.generate_s / other.generate_s == pytest.approx(1.6)
    assert other.load_s == 33 + 22


@pytest.mark.usefixtures("h100s")
@pytest.mark.parametrize(
    ("overrides", "benchmark", "requests"),
    [
        ((), "math", 500),
        (("batch_size=64",), "math", 1300),
        (("benchmark=aime", "model=r1_qwen14b", "sampling.repeats=16"), "aime", 480),
        (("sampling.ignore_eos=true", "benchmarks.math.max_tokens=128"), "math", 2000),
        (("profile=documented",), "math", 500),
    ],
)
def test_a_run_with_one_replica_tells_what_others_take(
    overrides: tuple[str, ...], benchmark: str, requests: int
) -> None:
    """Where a machine takes 1.3 times as long as stated with one replica, it is foreseen to with several, however lengths are distributed."""
    config = compose(
        ["benchmark=math", "model=qwen14b", "profile=published", "engine.startup=graphs", *overrides]
    )
    of = Demand.of(config, stated_lengths(config, benchmark, requests), prompt_tokens=150)
    layouts = (1, 1), (2, 1), (4, 1)
    by_constants = planned(of, *layouts, config=config)
    key = history_key(config, Checkpoint(str(config.model.hub_id), None, local=False), Device.cuda)
    took = Took(of.lengths, 150 * requests, 20.0, 1.3 * by_constants[0].generate_s)
    run = startup_history.observed(key, Startup.graphs, None, config.batch_size or min(requests, 1024), took)
    found = planned(of, *layouts, config=config, history=(run, run))
    for measured_here, constants in zip(found, by_constants, strict=True):
        assert measured_here.source is Source.HERE
        assert measured_here.generate_s == pytest.approx(1.3 * constants.generate_s, rel=0.02)


@pytest.mark.usefixtures("h100s")
def test_a_cold_run_alone_is_better_than_none_but_its_load_is_shortened() -> None:
    config = compose(GRAPHS)
    cold = measured(config)[0]
    (one,) = planned(demand(*[160] * 40, prompt_tokens=300), (1, 1), config=config, history=(cold,))
    assert one.generate_s == pytest.approx(160 * 5, rel=0.03)
    assert one.load_s == pytest.approx(0.65 * 500)


@pytest.mark.usefixtures("h100s")
def test_the_start_up_of_the_rates_is_the_one_that_runs() -> None:
    config = compose([*BF16, "engine.startup=eager"])
    (eager,) = planned(demand(*[160] * 40), (1, 1), config=config)
    (graphs,) = planned(demand(*[160] * 40), (1, 1), config=compose(GRAPHS))
    assert (eager.startup, graphs.startup) == (Startup.eager, Startup.graphs)
    assert eager.generate_s > graphs.generate_s
    assert eager.load_s < graphs.load_s
    again = measured(config, (Startup.graphs, 20.0, 0.03))
    (calibrated,) = planned(demand(*[160] * 40), (1, 1), config=config, history=again)
    assert calibrated.load_s == pytest.approx(20 - 4.2)


@pytest.mark.usefixtures("h100s")
def test_runs_of_that_kind_of_gpu_count_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(GRAPHS)
    history = measured(compose([*GRAPHS, "model.max_length=2048"]), (Startup.graphs, 33.0, 0.05))
    monkeypatch.setattr(hardware, "gpus", tuple)
    work = demand(*[160] * 40, prompt_tokens=300)
    (one,) = planned(work, (1, 1), config=config, history=history)
    assert (one.source, one.load_s) == (Source.KIND, 33)
    (other,) = planned(work, (1, 1), config=config, history=history, gpu="A100")
    assert other.source is Source.STATED


# Lengths


def test_stated_lengths_are_the_same_each_time_and_cut_at_the_limit() -> None:
    config = compose(["benchmark=aime", "model=r1_qwen14b", "profile=published"])
    lengths = stated_lengths(config, "aime", 1001)
    assert lengths == sorted(stated_lengths(config, "aime", 1001), reverse=True)
    assert (lengths[0], lengths[500]) == (32_768, 8_192)
    fixed = compose(["benchmark=aime", "model=r1_qwen14b", "sampling.ignore_eos=true", "early_stopping=off"])
    assert stated_lengths(fixed, "aime", 2) == [128, 128]


@pytest.mark.parametrize(
    ("budget", "longest"), [("0", 2_048), ("512", 512 + 2_048), ("40000", 32_768), ("null", 32_768)]
)
def test_stated_lengths_end_with_the_answer_behind_a_budget_of_thinking(budget: str, longest: int) -> None:
    typed = ["benchmark=aime", "model=r1_qwen14b", "profile=published", "early_stopping=off"]
    config = compose([*typed, f"sampling.thinking_budget={budget}"])
    assert stated_lengths(config, "aime", 1001)[0] == longest


def test_lengths_are_resampled_by_their_distribution() -> None:
    assert resampled([1, 2, 3, 4], 4, 10) == [4, 3, 2, 1]
    assert resampled([1, 2, 3, 4], 2, 10) == [3, 1]
    assert resampled([1, 200], 4, 100) == [100, 100, 1, 1]


# The number of replicas


def test_more_replicas_are_not_taken_for_three_percent() -> None:
    assert fewest_worth([100.0, 98.0, 97.5]) == 0
    assert fewest_worth([100.0, 60.0, 59.0]) == 1


def work_of(config: Config, requests: int) -> Workload:
    return Workload.of(config, {"math": requests})


@pytest.mark.usefixtures("h100s", "cache_folder")
def test_replicas_worth_grow_with_the_work() -> None:
    config = compose([*BF16, "profile=published"])
    few, many = (replicas_worth(config, None, work_of(config, requests), 8) for requests in (10, 20_000))
    assert (few[0], many[0]) == (1, 8)
    assert many[1].startswith("8 replicas: about ")
    assert "instead of" in many[1]
    assert "stated constants" in many[1]
    assert replicas_worth(config, None, work_of(config, 2), 8)[0] <= 2
    pairs = compose([*BF16, "profile=published", "engine.tensor_parallel_size=2"])
    assert replicas_worth(pairs, None, work_of(pairs, 20_000), 8)[0] == 4


@pytest.mark.usefixtures("h100s", "cache_folder")
def test_replicas_worth_know_what_was_measured_and_count_all_jobs() -> None:
    config = compose([*BF16, "profile=published"])
    checkpoint = Checkpoint("Qwen/Qwen2.5-14B-Instruct", None, local=False)
    for entry in measured(config, (Startup.graphs, 2000.0, 0.03)):
        startup_history.remember(entry)
    job = work_of(config, 500)
    number, said = replicas_worth(config, checkpoint, dataclasses.replace(job, jobs=(job,) * 400), 8)
    assert number > replicas_worth(config, checkpoint, job, 8)[0]
    assert "measured on this machine" in said


@pytest.mark.usefixtures("h100s", "cache_folder")
def test_one_replica_where_nothing_can_be_foreseen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = compose(BF16)
    unknown = compose([*BF16, "model.parameters_b=null"])
    cpu = compose([*BF16, "engine.device=cpu"])
    fake = compose(["benchmark=math", "engine=fake"])
    broken = Checkpoint(str(tmp_path), None, local=True, folder=str(tmp_path / "gone"))
    for settings, gpus in ((unknown, 8), (cpu, 8), (fake, 8), (config, 1), (config, 0)):
        number, said = replicas_worth(settings, broken, work_of(settings, 500), gpus)
        assert number == 1
        assert said.startswith("1 replica: ")
    monkeypatch.setattr(hardware, "gpus", lambda: (Gpu(0, "NVIDIA X999", 80 << 30, "580"),) * 8)
    assert "X999" in replicas_worth(config, None, work_of(config, 500), 8)[1]
    monkeypatch.setattr(hardware, "gpus", tuple)
    assert replicas_worth(config, None, work_of(config, 500), 8)[0] == 1


def test_known_gpus_have_names_that_find_them() -> None:
    assert [kind_of(kind.name) for kind in KNOWN] == list(KNOWN)
