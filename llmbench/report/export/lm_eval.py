"""A run in the layout in which lm-evaluation-harness (0.4) writes its own: results_DATE.json and samples_TASK_DATE.jsonl.

The names are those of its `lm_eval/result_schema.py` and `loggers/evaluation_tracker.py`. Metrics bear the names that its
tasks of the same kind have; the filter is `none`. The prompts, answers and rules of grading are llmbench's, which
`configs.TASK.metadata` says, so the numbers do not become the harness's own.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmbench._version import __version__
from llmbench.config.choices import Scoring
from llmbench.config.schema import DRAWN_BY
from llmbench.records import Result
from llmbench.results.likelihood import choices_of, most_likely_by_length
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


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark of a run, as the harness has tasks: its settings, what was found of it, and its answers."""

    name: str
    settings: Mapping[str, Any]
    summary: BenchmarkSummary
    results: Sequence[Result]
    sealed: bool

    @property
    def scored(self) -> bool:
        """Whether the choices' log-likelihoods were asked for, which the harness calls `multiple_choice`."""
        asked = self.settings.get("scoring") == Scoring.loglikelihood.value
        return asked or self.summary.likelihood is not None

    @property
    def metrics(self) -> list[str]:
        """The names of its metrics, that of the accuracy first."""
        if self.scored:
            return ["acc", ACC_NORM]
        if self.summary.judge is not None:
            return [JUDGED]
        return [METRICS.get(str(self.settings.get("module", "")).rpartition(".")[2], EXACT)]

    @property
    def limits(self) -> dict[str, Any]:
        """What ends a text."""
        return {
            "until": list(self.settings.get("stop") or ()),
            "max_gen_toks": self.settings.get("max_tokens"),
        }


def files(run: Run, config: Mapping[str, Any], sealed: frozenset[str] | set[str]) -> list[tuple[str, str]]:
    """The files' names and contents."""
    tasks = [
        Task(
            name,
            benchmark_settings(config, name),
            run.summary.benchmarks.get(name, BenchmarkSummary()),
            [result for result in run.results if result.benchmark == name],
            name in sealed,
        )
        for name in run.summary.benchmarks or dict.fromkeys(r.benchmark for r in run.results)
    ]
    date = datetime.fromisoformat(run.manifest.started or "1970-01-01T00:00:00+00:00")
    stamp = date.replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")
    samples = {task.name: _samples(task) for task in tasks}
    hashes = {
        name: _hash("".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows))
        for name, rows in samples.items()
    }
    results = _results(run, config, tasks, date) | {"task_hashes": hashes}
    lines = [
        (f"samples_{name}_{stamp}.jsonl", "".join(f"{_dump(row)}\n" for row in rows))
        for name, rows in samples.items()
    ]
    return [(f"results_{stamp}.json", _dump(results, indent=2)), *lines]


def _dump(value: object, indent: int | None = None) -> str:
    return clean(json.dumps(value, indent=indent, ensure_ascii=False, default=str))


def _hash(text: str) -> str:
    return hashlib.sha256(clean(text).encode()).hexdigest()


def _results(run: Run, config: Mapping[str, Any], tasks: Sequence[Task], date: datetime) -> dict[str, Any]:
    total, name = run.summary.time_s.total, run.summary.model
    takes_one = (config.get("model") or {}).get("system_prompt") is not False
    prompts = (task.settings["system_prompt"] for task in tasks if task.settings.get("system_prompt"))
    system = next(prompts, None) if takes_one else None
    return {
        "results": {task.name: _values(task) for task in tasks},
        "group_subtasks": {task.name: [] for task in tasks},
        "configs": {task.name: _config(task, config) for task in tasks},
        "versions": {task.name: __version__ for task in tasks},
        "n-shot": {task.name: int(task.settings.get("fewshot") or 0) for task in tasks},
        "higher_is_better": {task.name: dict.fromkeys(task.metrics, True) for task in tasks},
        "n-samples": {
            task.name: {
                "original": int(task.settings.get("size") or task.summary.samples),
                "effective": task.summary.samples,
            }
            for task in tasks
        },
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


def _values(task: Task) -> dict[str, Any]:
    summary = task.summary
    found = {task.metrics[0]: (summary.accuracy, summary.stderr)}
    if summary.likelihood is not None:
        found[ACC_NORM] = (summary.likelihood.acc_norm, summary.likelihood.stderr)
    # then no standard error holds: the number of questions was not fixed before the run
    stopped = summary.stopping is not None
    values: dict[str, Any] = {"alias": task.name}
    for name, (value, stderr) in found.items():
        values[f"{name},none"] = "N/A" if value is None else value
        values[f"{name}_stderr,none"] = "N/A" if stderr is None or stopped else stderr
    return values


def _config(task: Task, config: Mapping[str, Any]) -> dict[str, Any]:
    own, judge = task.settings, task.summary.judge
    sampling = {**(config.get("sampling") or {})}
    sampling |= {name: value for name, value in (own.get("sampling") or {}).items() if value is not None}
    return {
        "task": task.name,
        "dataset_path": own.get("data_files") or own.get("hub_id"),
        "dataset_name": own.get("hub_config"),
        "test_split": own.get("split"),
        "description": own.get("instruction") or "",
        "output_type": "multiple_choice" if task.scored else "generate_until",
        "num_fewshot": int(own.get("fewshot") or 0),
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in task.metrics
        ],
        "generation_kwargs": {
            **task.limits,
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


def _samples(task: Task) -> list[dict[str, Any]]:
    """A line a result; a question's number is its place among the questions, its id stands in `doc`."""
    places = {sample: place for place, sample in enumerate(dict.fromkeys(r.sample_id for r in task.results))}
    return [_sample(result, places[result.sample_id], task) for result in task.results]


def _sample(result: Result, place: int, task: Task) -> dict[str, Any]:
    sealed = task.sealed
    doc = {"id": result.sample_id, "repeat": result.repeat, "fields": None if sealed else dict(result.fields)}
    prompt = None if sealed else result.prompt
    row: dict[str, Any] = {
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": task.limits}},
        "resps": [[None if sealed else result.text]],
        "filtered_resps": [None if sealed else result.score.answer],
        "metrics": task.metrics,
    }
    if choices := choices_of(result):  # whether one would be written greedily is not known
        texts = [None if sealed else choice.text for choice in choices]
        answers = [[choice.loglikelihood, None] for choice in choices]
        row |= {
            "arguments": {f"gen_args_{n}": {"arg_0": prompt, "arg_1": text} for n, text in enumerate(texts)},
            "resps": [[answer] for answer in answers],
            "filtered_resps": answers,
        }
    if task.scored:  # the engine may have failed on it
        row[ACC_NORM] = float(bool(choices) and most_likely_by_length(choices) == result.target)
    return {
        "doc_id": place,
        "doc": doc,
        "target": result.target,
        **row,
        "filter": "none",
        "doc_hash": _hash(_dump(doc)),
        "prompt_hash": result.prompt_hash,
        "target_hash": _hash(result.target),
        task.metrics[0]: float(result.score.value),
        "outcome": result.score.outcome.value,
    }
