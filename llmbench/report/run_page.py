"""The report of one run."""

from collections.abc import Sequence

from llmbench.records import Result
from llmbench.report import benchmark_details, score_charts, time_charts
from llmbench.report.escaping import visible
from llmbench.report.figures import drawn
from llmbench.report.generation_cards import generation_cards, generation_facts
from llmbench.report.run_entry import RunEntry
from llmbench.report.sample_data import pack, sample_rows
from llmbench.report.score_cards import score_card
from llmbench.report.server_words import server_cards, server_facts, server_of, software
from llmbench.report.template import render
from llmbench.results import attempts, cache_use
from llmbench.results.agreement import JudgeAgreement
from llmbench.results.manifest import ALL, STRATIFIED, Selection
from llmbench.results.reader import Run
from llmbench.results.settings import benchmark_settings
from llmbench.results.summary import BenchmarkSummary, Summary
from llmbench.system.number_format import count, joules, memory, number, percent, seconds
from llmbench.telemetry.engine_report import EngineReport, ReplicaReport
from llmbench.telemetry.records import TelemetrySample

OF_A_LOADED_MODEL = ("checkpoint", "GPU", "start-up", "attention", "KV cache")


def report(entry: RunEntry, trace: Sequence[TelemetrySample] = (), first: Run | None = None) -> str:
    """The page of a run and what the machine did meanwhile, as HTML; `first` is a run that was graded again as it was graded first."""
    summary, results = entry.summary, entry.run.results
    limits = {name: benchmark_settings(entry.config, name).get("max_tokens") for name in summary.benchmarks}
    client = server_of(summary.engine) is not None
    figures = drawn(
        [
            time_charts.where_time_went(summary, results),
            time_charts.requests_over_time(summary, results),
            time_charts.timeline(trace, client=client),
            score_charts.lengths(results, limits),
            *score_charts.distributions(results, client=client),
            *score_charts.by_group(
                results, [name for name, found in summary.benchmarks.items() if found.stopping is not None]
            ),
        ]
    )
    packed, limit = pack(lambda limit: sample_rows(entry, results, limit))
    shown = [result for result in results if result.benchmark not in entry.run.sealed]
    context = {
        "title": visible(f"{summary.model}: {', '.join(summary.benchmarks) or 'nothing was asked'}"),
        "about": _about(entry),
        "problems": [visible(sentence) for sentence in problems(entry)],
        "scores": [
            score_card(name, found, _notes(entry, name, first), client=client)
            for name, found in summary.benchmarks.items()
        ],
        "details": benchmark_details.tables_of(summary),
        "cards": cards(summary),
        "sealed": _sealed(entry),
        "cut": _cut(shown, limit),
        "facts": _facts(entry),
    }
    return render(context, figures, packed, shown)


def _notes(entry: RunEntry, name: str, first: Run | None) -> list[str]:
    """What stands beside a benchmark's score: answers without a verdict, and that and how it was graded again."""
    notes, found = [], entry.benchmark(name)
    if found.judge is not None and found.judge.unjudged:
        asked = count(found.judge.asked, "answer")
        notes.append(f"{found.judge.unjudged} of {asked} without a verdict: they count as 0, right or not.")
    if found.stopping is not None:
        notes += found.stopping.sentences()
    if first is None:
        return notes
    before = first.summary.benchmarks.get(name, BenchmarkSummary()).accuracy
    notes.append(f"Graded again after the run, which scored {percent(before)} first.")
    own = {result.key: result for result in entry.run.results if result.benchmark == name}
    pairs = ((result, own[result.key]) for result in first.results if result.key in own)
    agreement = JudgeAgreement.of(pairs)
    return notes + ([agreement.sentence()] if agreement is not None else [])


def _about(entry: RunEntry) -> list[str]:
    summary, manifest = entry.summary, entry.run.manifest
    words = [
        f"profile {summary.profile}",
        summary.status,
        (manifest.started or "")[:16].replace("T", " "),
        *_engine(summary.engine, str(manifest.machine.gpus[0].name) if manifest.machine.gpus else "no GPU"),
        entry.name,
    ]
    return [visible(word) for word in words if word]


def _engine(engine: EngineReport | None, gpu: str) -> list[str]:
    """The engine and its GPU."""
    server = server_of(engine)
    if server is not None:
        return [f"{software(server)} at {server.address}", "GPU not known"]
    words = (engine.name, engine.version, engine.quantization or engine.dtype) if engine else ()
    return [" ".join(word for word in words if word), gpu]


def problems(entry: RunEntry) -> list[str]:
    """What a reader must know before believing a score."""
    found, summary = [], entry.summary
    if summary.status not in ("finished", "running"):
        reason = f": {summary.error.rstrip('.')}" if summary.error else ""
        ended = "failed" if summary.status == "failed" else f"was {summary.status}"
        found.append(f"The run {ended}{reason}. These are the results it had by then.")
    elif summary.status == "running":
        found.append("The run was still going when this was written.")
    if summary.engine is not None and summary.engine.name == "fake":
        found.append("engine=fake made up the answers: the scores mean nothing.")
    found += summary.warnings
    if summary.not_comparable:
        found.append(f"Not comparable with published scores: {', '.join(summary.not_comparable)}.")
    found += [*summary.recovery, *summary.restarts, *summary.notes, *entry.run.notes]
    if summary.cache is not None and summary.cache.hits:
        found.append(str(cache_use.sentence(summary.cache)))
    if len(summary.sittings) > 1:
        found.append(
            f"The run was done in {attempts.sentence(summary.sittings)}; times below are the last one's, and it has no single "
            "throughput."
        )
    return found + summary.preflight


def cards(summary: Summary) -> list[tuple[str, str, str]]:
    """The run in numbers: of each its name, its value, and what is said beside that."""
    times, engine, server = summary.time_s, summary.engine, server_of(summary.engine)
    writes = any(found.likelihood is None for found in summary.benchmarks.values())
    start = f"start-up {engine.startup}" if engine and engine.startup else ""
    batch = f"batch size {engine.batch_size}" if engine and engine.batch_size else ""
    if engine and engine.replicas:
        batch = f"{count(len(engine.replicas), 'replica')}, {batch} each"
    made = [("time to score", seconds(times.total), "from the command to the summary")]
    if summary.cost is not None:
        made.append(("cost", number(summary.cost), "by engine.price, all attempts together"))
    if summary.judge_cost is not None:
        made.append(("the judge's cost", number(summary.judge_cost), "by judge.price"))
    if server is None:
        made.append(("loading", seconds(times.load), start))
    made += [
        ("generating", seconds(times.generate), batch),
        *([("output tokens/s", number(summary.tokens_per_s), "all benchmarks together")] if writes else []),
        *generation_cards(times.generation),
    ]
    made += _machine(summary) if server is None else server_cards(server)
    return made


def _machine(summary: Summary) -> list[tuple[str, str, str]]:
    """What the run took of this machine."""
    gpu, busy, energy = summary.memory.peak_gpu_bytes, summary.gpu.utilization_mean, summary.gpu.energy_j
    peak = memory(gpu if gpu is not None else summary.memory.peak_rss_bytes)
    made = [("peak memory", peak, "of the GPU" if gpu is not None else "of the process")]
    if busy is not None or energy is not None:
        spent = f", {joules(energy)}" if energy is not None else ""
        made.append(("GPU", percent(busy), f"busy while requests ran{spent}"))
    return made


def _replica(replica: ReplicaReport) -> str:
    gpus = f", {', '.join(replica.gpus)}" if replica.gpus else ""
    died = f", started again {count(len(replica.deaths), 'time')}" if replica.deaths else ""
    lost = ", lost" if replica.lost is not None else ""
    return (
        f"{replica.host or 'no host'}{gpus}: {count(replica.requests, 'answer')}, {number(replica.output_tokens)} tokens, "
        f"loaded in {seconds(replica.load_s)}{died}{lost}"
    )


def _sealed(entry: RunEntry) -> str:
    names = sorted({r.benchmark for r in entry.run.results} & entry.run.sealed)
    if not names:
        return ""
    return (
        f"Of {', '.join(map(visible, names))} only ids, outcomes and times stand here, as its authors ask; "
        "python -m llmbench.report --show-sealed writes a page with the questions, for your eyes only."
    )


def _cut(shown: Sequence[Result], limit: int) -> str:
    longest = max((max(len(r.text), len(r.prompt)) for r in shown), default=0)
    return (
        f"Texts of more than {limit:,} characters are cut in this page; samples.jsonl has all."
        if longest > limit
        else ""
    )


def _chosen(how: Selection) -> str:
    """How a benchmark's questions were chosen."""
    if how.strategy == ALL:
        return f"all {how.available}"
    if how.strategy != STRATIFIED:
        return f"drawn at random from {how.available}"
    parts = [f"{subject} {part.asked} of {part.available}" for subject, part in how.strata.items()]
    return f"drawn from each subject in proportion to its size: {', '.join(parts)}"


def _facts(entry: RunEntry) -> list[tuple[str, str]]:
    manifest, machine = entry.run.manifest, entry.run.manifest.machine
    engine = entry.summary.engine or EngineReport("")
    versions = (f"{name} {value}" for name, value in manifest.versions.items() if value)
    found = [
        ("typed", " ".join(manifest.overrides) or "nothing: the defaults"),
        ("checkpoint", str((manifest.checkpoint or {}).get("name") or "-")),
        ("GPU", ", ".join(str(gpu.name) for gpu in machine.gpus) or "none"),
        ("machine", f"{machine.platform}, {machine.cpu_count} cores, {memory(machine.memory_bytes)}"),
        ("versions", ", ".join(versions)),
        ("git commit", manifest.git_commit or "-"),
        ("sampling", ", ".join(f"{name} {value}" for name, value in manifest.sampling.items())),
        ("start-up", engine.startup_reason or "-"),
        (
            "attention",
            f"{engine.attention_backend or '-'}{', batch-invariant kernels' if engine.batch_invariant else ''}",
        ),
        (
            "KV cache",
            f"{number(engine.kv_cache_tokens)} tokens{f' in {engine.kv_cache_dtype}' if engine.kv_cache_dtype else ''}, prefix hits {percent(engine.prefix_cache_hit_rate)}, {number(engine.preemptions)} preemptions",
        ),
    ]
    marked = (
        ("chat template", "SHA-256", manifest.chat_template, "sha256"),
        ("LoRA adapter", "content", manifest.lora, "content"),
    )
    found += [
        (name, f"{row.get('path')}, {what} {str(row.get(key))[:16]}…")
        for name, what, row, key in marked
        if row is not None
    ]
    found += generation_facts(entry.summary.time_s.generation, engine.speculation)
    if engine.replicas:
        found.append(("replicas", "; ".join(map(_replica, engine.replicas))))
    if engine.server is not None:
        found = [row for row in found if row[0] not in OF_A_LOADED_MODEL] + server_facts(
            engine.server, manifest
        )
    found += [
        (
            f"data of {name}",
            f"{data.source}, {data.rows} rows, revision {data.revision or '-'}, SHA-256 {str(data.fingerprint)[:16]}…",
        )
        for name, data in manifest.data.items()
    ]
    found += [(f"questions of {name}", _chosen(how)) for name, how in manifest.selection.items()]
    return [(visible(name), visible(value)) for name, value in found]
