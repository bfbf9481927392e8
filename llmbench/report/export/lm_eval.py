"""A run in the layout in which lm-evaluation-harness (0.4) writes its own: results_DATE.json and samples_TASK_DATE.jsonl.

The names are those of its `lm_eval/result_schema.py` and `loggers/evaluation_tracker.py`. Metrics bear the names that its
tasks of the same kind have; the filter is `none`. The prompts, answers and rules of grading are llmbench's, which
`configs.TASK.metadata` says, so the numbers do not become the harness's own.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from llmbench._version import __version__
from llmbench.config.choices import Scoring
from llmbench.config.schema import DRAWN_BY
from llmbench.errors import RunError
from llmbench.records import Result, ScoredChoice
from llmbench.results.judge_use import JudgeUse
from llmbench.results.likelihood import choices_of, most_likely_by_length
from llmbench.results.manifest import MANIFEST, REMEDY
from llmbench.results.reader import Run
from llmbench.results.rows import clean
from llmbench.results.settings import benchmark_settings
from llmbench.results.summary import BenchmarkSummary
from llmbench.system.decoding import plain
from llmbench.telemetry.engine_report import EngineReport

PROGRAMS = ("humaneval", "humaneval_plus", "mbpp", "mbpp_plus", "livecodebench")
METRICS = {"gpqa": "acc", "swe_bench": "resolved", **dict.fromkeys(PROGRAMS, "pass@1")}
"""By the last part of a benchmark's module; others match exactly."""
EXACT = "exact_match"
ACC_NORM = "acc_norm"
JUDGED = "judged"
"""The share that a judge found right, which is no exact match."""


def files(run: Run, config: Mapping[str, Any], sealed: frozenset[str] | set[str]) -> list[tuple[str, str]]:
    """The files' names and contents."""
    names = list(run.summary.benchmarks or dict.fromkeys(r.benchmark for r in run.results))
    date = _date(run)
    stamp = date.replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")
    found, samples = [], {}
    for name in names:
        settings = benchmark_settings(config, name)
        of_it = [result for result in run.results if result.benchmark == name]
        summary = run.summary.benchmarks.get(name, BenchmarkSummary())
        samples[name] = _samples(of_it, _metric(settings, summary), settings, sealed=name in sealed)
        found.append((f"samples_{name}_{stamp}.jsonl", "".join(f"{_dump(row)}\n" for row in samples[name])))
    results = _results(run, config, names, date) | {"task_hashes": _task_hashes(samples)}
    return [(f"results_{stamp}.json", _dump(results, indent=2)), *found]


def _date(run: Run) -> datetime:
    """When the run began: the same for every export of it."""
    started = run.manifest.started or "1970-01-01T00:00:00+00:00"
    try:
        return datetime.fromisoformat(started)
    except ValueError as error:
        raise RunError(f"{run.folder / MANIFEST} has no date under `started` ({error}); {REMEDY}") from error


def _scored(settings: Mapping[str, Any]) -> bool:
    """Whether the choices' log-likelihoods were asked for, which the harness calls `multiple_choice`."""
    return settings.get("scoring") == Scoring.loglikelihood.value


def _metric(settings: Mapping[str, Any], summary: BenchmarkSummary) -> str:
    if _scored(settings):
        return "acc"
    if summary.judge is not None:
        return JUDGED
    return METRICS.get(str(settings.get("module", "")).rpartition(".")[2], EXACT)


def _metrics(metric: str, settings: Mapping[str, Any]) -> list[str]:
    return [metric, ACC_NORM] if _scored(settings) else [metric]


def _dump(value: object, indent: int | None = None) -> str:
    return clean(json.dumps(value, indent=indent, ensure_ascii=False, default=str))


def _hash(text: str) -> str:
    return hashlib.sha256(clean(text).encode()).hexdigest()


def _results(run: Run, config: Mapping[str, Any], names: Sequence[str], date: datetime) -> dict[str, Any]:
    settings = {name: benchmark_settings(config, name) for name in names}
    summaries = {name: run.summary.benchmarks.get(name, BenchmarkSummary()) for name in names}
    metrics = {name: _metric(settings[name], summaries[name]) for name in names}
    total, name = run.summary.time_s.total, run.summary.model
    takes_one = (config.get("model") or {}).get("system_prompt") is not False
    system = next(
        (s["system_prompt"] for s in settings.values() if takes_one and s.get("system_prompt")), None
    )
    return {
        "results": {task: _values(task, metrics[task], summaries[task]) for task in names},
        "group_subtasks": {task: [] for task in names},
        "configs": {
            task: _config(task, metrics[task], settings[task], config, summaries[task].judge)
            for task in names
        },
        "versions": dict.fromkeys(names, __version__),
        "n-shot": {task: int(settings[task].get("fewshot") or 0) for task in names},
        "higher_is_better": {
            task: dict.fromkeys(_metrics(metrics[task], settings[task]), True) for task in names
        },
        "n-samples": {task: _counts(settings[task], summaries[task]) for task in names},
        "config": _run_config(run, config),
        "git_hash": run.manifest.git_commit,
        "date": date.timestamp(),
        "pretty_env_info": _dump(plain(run.manifest.machine)),
        "transformers_version": run.manifest.versions.get("transformers"),
        "lm_eval_version": f"llmbench {__version__}",
        "upper_git_hash": None,
        "model_source": run.summary.engine.name if run.summary.engine else None,
        "model_name": name,
        "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", name),
        "system_instruction": system,
        "system_instruction_sha": _hash(system) if system else None,
        "chat_template": None,
        "chat_template_sha": (run.manifest.chat_template or {}).get("sha256"),
        "fewshot_as_multiturn": None,
        "total_evaluation_time_seconds": None if total is None else str(total),
    }


def _values(task: str, metric: str, summary: BenchmarkSummary) -> dict[str, Any]:
    found = {metric: (summary.accuracy, summary.stderr)}
    if summary.likelihood is not None:
        found[ACC_NORM] = (summary.likelihood.acc_norm, summary.likelihood.stderr)
    # then no standard error holds: the number of questions was not fixed before the run
    stopped = summary.stopping is not None
    values: dict[str, Any] = {"alias": task}
    for name, (value, stderr) in found.items():
        values[f"{name},none"] = "N/A" if value is None else value
        values[f"{name}_stderr,none"] = "N/A" if stderr is None or stopped else stderr
    return values


def _counts(settings: Mapping[str, Any], summary: BenchmarkSummary) -> dict[str, int]:
    effective = summary.samples
    return {"original": int(settings.get("size") or effective), "effective": effective}


def _config(
    task: str, metric: str, own: Mapping[str, Any], config: Mapping[str, Any], judge: JudgeUse | None
) -> dict[str, Any]:
    sampling = {**(config.get("sampling") or {})}
    sampling |= {name: value for name, value in (own.get("sampling") or {}).items() if value is not None}
    return {
        "task": task,
        "dataset_path": own.get("data_files") or own.get("hub_id"),
        "dataset_name": own.get("hub_config"),
        "test_split": own.get("split"),
        "description": own.get("instruction") or "",
        "output_type": "multiple_choice" if _scored(own) else "generate_until",
        "num_fewshot": int(own.get("fewshot") or 0),
        "metric_list": [
            {"metric": n, "aggregation": "mean", "higher_is_better": True} for n in _metrics(metric, own)
        ],
        "generation_kwargs": {
            "until": list(own.get("stop") or ()),
            "max_gen_toks": own.get("max_tokens"),
            "do_sample": bool(sampling.get("temperature")),
            **{key: sampling.get(key) for key in DRAWN_BY if key in sampling},
        },
        "repeats": int(own.get("repeats") or 1),
        "metadata": {
            "version": __version__,
            "written_by": "llmbench",
            "early_stopping": config.get("early_stopping"),
            **({} if judge is None else {"judge": judge.name, "unjudged": judge.unjudged}),
        },
    }


def _run_config(run: Run, config: Mapping[str, Any]) -> dict[str, Any]:
    model, engine = config.get("model") or {}, run.summary.engine or EngineReport("")
    seed = config.get("seed")
    arguments = {"pretrained": model.get("path") or model.get("hub_id") or model.get("embedded")}
    arguments |= {key: model.get(key) for key in ("revision", "dtype", "quantization", "max_length")}
    if engine.server is not None:  # where the harness has it for models behind an API
        arguments |= {"pretrained": engine.server.model, "base_url": engine.server.address}
    return {
        "model": engine.name or (config.get("engine") or {}).get("name"),
        "model_args": arguments,
        "batch_size": engine.batch_size or config.get("batch_size"),
        "batch_sizes": [],
        "device": engine.device,
        "use_cache": None,
        "limit": config.get("limit"),
        "bootstrap_iters": 0,
        "gen_kwargs": config.get("sampling"),
        "random_seed": seed,
        "numpy_seed": seed,
        "torch_seed": seed,
        "fewshot_seed": seed,
    }


def _samples(
    results: Sequence[Result], metric: str, settings: Mapping[str, Any], *, sealed: bool
) -> list[dict[str, Any]]:
    """A line a result; a question's number is its place among the questions, its id stands in `doc`."""
    places = {sample: place for place, sample in enumerate(dict.fromkeys(r.sample_id for r in results))}
    kwargs = {"until": list(settings.get("stop") or ()), "max_gen_toks": settings.get("max_tokens")}
    scored = _scored(settings)
    return [
        _sample(result, places[result.sample_id], metric, kwargs, sealed=sealed, scored=scored)
        for result in results
    ]


def _sample(  # noqa: PLR0913 - two say what the benchmark is
    result: Result, place: int, metric: str, kwargs: dict[str, Any], *, sealed: bool, scored: bool
) -> dict[str, Any]:
    doc = {"id": result.sample_id, "repeat": result.repeat, "fields": None if sealed else dict(result.fields)}
    prompt, text = (None, None) if sealed else (result.prompt, result.text)
    row: dict[str, Any] = {
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": kwargs}},
        "resps": [[text]],
        "filtered_resps": [None if sealed else result.score.answer],
        "metrics": [metric],
    }
    if choices := choices_of(result):
        row = _of_choices(prompt, choices, metric, sealed=sealed)
        row[ACC_NORM] = float(most_likely_by_length(choices) == result.target)
    elif scored:  # the engine failed on it
        row |= {"metrics": [metric, ACC_NORM], ACC_NORM: 0.0}
    return {
        "doc_id": place,
        "doc": doc,
        "target": result.target,
        **row,
        "filter": "none",
        "doc_hash": _hash(_dump(doc)),
        "prompt_hash": result.prompt_hash,
        "target_hash": _hash(result.target),
        metric: float(result.score.value),
        "outcome": result.score.outcome.value,
    }


def _of_choices(
    prompt: str | None, choices: Sequence[ScoredChoice], metric: str, *, sealed: bool
) -> dict[str, Any]:
    """The arguments and answers of a question, one for each choice; whether it would be written greedily is not known."""
    texts = [None if sealed else choice.text for choice in choices]
    answers = [[choice.loglikelihood, None] for choice in choices]
    return {
        "arguments": {f"gen_args_{n}": {"arg_0": prompt, "arg_1": text} for n, text in enumerate(texts)},
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
        "metrics": [metric, ACC_NORM],
    }


def _task_hashes(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    return {
        name: _hash("".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows))
        for name, rows in samples.items()
    }
