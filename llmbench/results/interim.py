"""The summary of a run that has none, as after a kill -9: what its manifest, settings and journal say."""

from collections.abc import Sequence
from pathlib import Path

from llmbench.records import Result
from llmbench.results import cost
from llmbench.results.manifest import RUNNING, Manifest
from llmbench.results.metrics import summarise
from llmbench.results.settings import read_settings
from llmbench.results.summary import Summary, answered_by


def interim_summary(folder: Path, manifest: Manifest, results: Sequence[Result]) -> Summary:
    """The scores and rates of the journal's results in the form of summary.json; nothing else is known.

    Raises:
        RunError: config.yaml cannot be read.
    """
    config, planned = read_settings(folder), manifest.samples
    summary = Summary(status=RUNNING, not_comparable=["the run did not finish"])
    if config is not None:
        summary.model = answered_by(config.engine.name, config.model.name, manifest.overrides)
        summary.profile = config.profile.name
        if price := config.engine.price:
            itself = not config.judge.is_served
            summary.cost = cost.of_attempts(manifest.sittings, results, price, judges=itself)
    by_benchmark: dict[str, list[Result]] = {name: [] for name in planned}
    for result in results:
        by_benchmark.setdefault(result.benchmark, []).append(result)
    for name, own in by_benchmark.items():
        repeats = 1 + max((result.repeat for result in own), default=0)
        if config is not None and name in config.benchmarks:
            repeats = config.benchmarks[name].repeats
        expected = len(planned[name]) * repeats if name in planned else len(own)
        attempts = len(manifest.sittings) or 1  # of several there is no single throughput
        summary.benchmarks[name] = summarise(
            own, expected, repeats, sittings=attempts, selection=manifest.selection.get(name)
        )
    return summary
