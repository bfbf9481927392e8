"""How fast a run generated beside what its GPU's memory allows."""

from collections.abc import Sequence

from llmbench.config.choices import Device
from llmbench.engine.vllm.forecast.gpu_kinds import kind_of
from llmbench.records import Result
from llmbench.results.generation import Generation, generation
from llmbench.results.manifest import Machine
from llmbench.telemetry.engine_report import EngineReport


def how_generated(
    results: Sequence[Result], report: EngineReport, machine: Machine, generate_s: float | None
) -> Generation | None:
    """Returns how one process generated its results; None where nothing was timed."""
    completions = [completion for result in results for completion in result.completions]
    kind = None
    if report.device == Device.cuda.value and machine.gpus:
        kind = kind_of(machine.gpus[0].name or "")
    bandwidth = kind.bandwidth_gb_s if kind is not None else None
    return generation(completions, report, generate_s, bandwidth)
