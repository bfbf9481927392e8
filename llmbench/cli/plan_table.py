"""A plan at the terminal: the table, and below it where its figures come from and what they say."""

from collections.abc import Callable
from dataclasses import dataclass, field

from rich.table import Table

from llmbench.cli.plan_lengths import BenchmarkLengths
from llmbench.engine.vllm.forecast.forecast import WORTH, Forecast
from llmbench.engine.vllm.forecast.rates import H100, TENSOR_SPEED, Source
from llmbench.system.console import Terminal
from llmbench.system.number_format import NONE, count, joules, listed, memory, number, percent, seconds

HOURS_FROM_S, KWH_FROM_J = 36_000, 3.6e7
"""From 10 hours on times are given in hours, from 10 kWh on energy in kWh."""


def _time(value: float) -> str:
    return seconds(value) if value < HOURS_FROM_S else f"{value / 3600:,.1f} h"


def _energy(value: float | None) -> str:
    return joules(value) if value is None or value < KWH_FROM_J else f"{value / 3.6e6:,.1f} kWh"


TENSOR = "engine.tensor_parallel_size"
COLUMNS: tuple[tuple[str, Callable[[Forecast], str]], ...] = (
    ("replicas", lambda f: f"{f.replicas:,}"),
    ("TP", lambda f: str(f.tensor_parallel_size)),
    ("load", lambda f: _time(f.begin_s + f.load_s)),
    ("generate", lambda f: _time(f.generate_s)),
    ("of it tail", lambda f: _time(f.tail_s)),
    ("total", lambda f: _time(f.total_s)),
    ("GPU-hours", lambda f: number(f.gpu_hours)),
    ("energy", lambda f: _energy(f.energy_j)),
    ("GPU memory", lambda f: memory(f.memory_bytes)),
    ("at once", lambda f: f"{f.running:,}"),
)
WHERE_UNFIT = ("replicas", "TP", "GPU memory")
"""Columns that a forecast has of what would not fit."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is printed.

    Attributes:
        gpus: The most that may be used.
        lengths: Of the answers, by benchmark.
        forecasts: One for each number of replicas and tensor parallel size.
        enough: Of those that fit the forecast from which on more replicas gain nothing, by tensor parallel size.
        notes: What is said first.
        longest_s: Seconds in which the longest answer alone would be generated, likewise.
    """

    model: str
    weights: str
    gpu: str
    gpus: int
    lengths: list[BenchmarkLengths]
    forecasts: list[Forecast]
    enough: dict[int, Forecast]
    longest_s: dict[int, float]
    notes: list[str] = field(default_factory=list)


def print_plan(terminal: Terminal, plan: Plan) -> None:
    """Prints the table and the sentences below it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, _ in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for each in plan.forecasts:
        unfit = each.fits is False
        table.add_row(
            *(NONE if unfit and heading not in WHERE_UNFIT else show(each) for heading, show in COLUMNS),
            style="dim" if unfit else "",
        )
    terminal.say(f"{plan.model} ({plan.weights}) on up to {plan.gpus:,} x {plan.gpu}")
    terminal.out.print(table)
    for sentence in sentences(plan):
        terminal.say(sentence)


def sentences(plan: Plan) -> list[str]:
    """Returns what is said below the table."""
    return [
        *plan.notes,
        *_rates(plan),
        *(each.sentence() for each in plan.lengths),
        *_gain(plan),
        *_unfit(plan),
    ]


def _rates(plan: Plan) -> list[str]:
    """Where rates come from, by tensor parallel size where that differs."""
    said: dict[str, list[int]] = {}
    for each in plan.forecasts:
        if each.source is Source.STATED:
            sheet = "" if plan.gpu == H100.name else f" and the data sheet of {plan.gpu}, an estimate"
            words = f"constants measured with a 14B model on one H100, scaled to this model's size{sheet}; a run on such a GPU replaces them"
        else:
            words = f"{each.source.value} ({count(each.runs, 'run')}"
            if each.measured_tensor != each.tensor_parallel_size:
                words += f" with TP {each.measured_tensor}; twice the GPUs are taken to be {TENSOR_SPEED:g} times as fast"
            words += ")"
        sizes = said.setdefault(words, [])
        if each.tensor_parallel_size not in sizes:
            sizes.append(each.tensor_parallel_size)
    return [
        f"Rates{f' with TP {listed([str(size) for size in sizes])}' if len(said) > 1 else ''}: {words}."
        for words, sizes in said.items()
    ]


def _gain(plan: Plan) -> list[str]:
    """The fastest layout, and from which number of replicas on more gain nothing."""
    if not plan.enough:
        return []
    fastest = min(plan.enough.values(), key=lambda each: each.total_s)
    size = fastest.tensor_parallel_size
    begin, longest = seconds(fastest.begin_s + fastest.load_s), seconds(plan.longest_s[size])
    said = [
        f"Fastest: {count(fastest.replicas, 'replica')} with TP {size}, {seconds(fastest.total_s)}. Of it {begin} are starting and loading; the longest answer alone takes {longest}."
    ]
    for size, enough in plan.enough.items():
        if any(e.tensor_parallel_size == size and e.replicas > enough.replicas for e in plan.forecasts):
            said.append(
                f"With TP {size} more than {count(enough.replicas, 'replica')} gain nothing (less than {percent(WORTH, 0)}): of {seconds(enough.total_s)} "
                f"{seconds(enough.begin_s + enough.load_s)} are starting and loading, and the longest answer alone takes "
                f"{seconds(plan.longest_s[size])}."
            )
    return said


def _unfit(plan: Plan) -> list[str]:
    """What would not fit, and what does."""
    unfit = {each.tensor_parallel_size: each for each in plan.forecasts if each.fits is False}
    if not unfit:
        return []
    fitting = [each.tensor_parallel_size for each in plan.forecasts if each.fits]
    needed = memory(min(each.memory_bytes or 0 for each in unfit.values()))
    remedy = (
        f"take {TENSOR}={min(fitting)}" if fitting else f"raise gpus and {TENSOR}, or set model.quantization"
    )
    return [
        f"TP {', '.join(map(str, unfit))} does not fit: weights and the longest answer need at least {needed} of a GPU; {remedy}."
    ]
