"""The summary of a run that has none, as after a kill -9: what its manifest, settings and journal say."""

from collections.abc import Sequence
from pathlib import Path

from llmbench.records import Result
from llmbench.results import cost
from llmbench.results.manifest import RUNNING, Manifest
from llmbench.results.metrics import summarise
from llmbench.results.settings import benchmark_settings, read_config
from llmbench.results.summary import UNKNOWN, Summary, answered_by


def interim_summary(folder: Path, manifest: Manifest, results: Sequence[Result]) -> Summary:
    """The scores and rates of the journal's results in the form of summary.json; nothing else is known.

    Raises:
        RunError: config.yaml cannot be read.
    """
    config = read_config(folder) or {}
    engine, model = config.get("engine") or {}, config.get("model") or {}
    planned, price = manifest.samples, engine.get("price")
    itself = not (config.get("judge") or {}).get("base_url")
    by_benchmark: dict[str, list[Result]] = {name: [] for name in planned}
    for result in results:
        by_benchmark.setdefault(result.benchmark, []).append(result)
    summary = Summary(
        status=RUNNING,
        model=answered_by(str(engine.get("name")), str(model.get("name") or UNKNOWN), manifest.overrides),
        profile=str(config.get("profile") or UNKNOWN),
        not_comparable=["the run did not finish"],
        cost=cost.of_attempts(manifest.sittings, results, price, judges=itself) if price else None,
    )
    for name, own in by_benchmark.items():
        seen = 1 + max((result.repeat for result in own), default=0)
        repeats = int(benchmark_settings(config, name).get("repeats") or seen)
        expected = len(planned[name]) * repeats if name in planned else len(own)
        attempts = len(manifest.sittings) or 1  # of several there is no single throughput
        summary.benchmarks[name] = summarise(
            own, expected, repeats, sittings=attempts, selection=manifest.selection.get(name)
        )
    return summary
