"""In which order requests are asked: the one place where that is decided. Nothing but the time of a run depends on it.

A few long answers that run alone at the end decide how long a run takes, so they should begin early. Where earlier answers to the same
questions are known, the longest expected come first: on an H100 that took 0.96 of the time (BENCHMARKS.md).

`lengths/` in the cache folder has a small file for each model and benchmark, which a run replaces as a whole when it has finished. Weights in other
data types, another sampling and other token limits change the length of an answer little, so they share a file.
"""

import hashlib
import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

import orjson

from llmbench.config.choices import Schedule
from llmbench.config.schema import Config
from llmbench.engine.bundled_model import cache_folder
from llmbench.engine.vllm.forecast.demand import MEDIAN_SHARE
from llmbench.records import FinishReason, Request, Result
from llmbench.run.prompts import prompt_size
from llmbench.system import decoding, files

log = logging.getLogger(__name__)

BY_LIMIT = "by token limit and prompt, the longest first"
FOLDER, MOST_FILES = "lengths", 500
"""In the cache folder; beyond so many files the oldest go."""
NOT_KEPT = ("fake",)
"""Engines whose answers tell nothing."""
Lengths = Mapping[str, Mapping[str, float]]
"""Tokens of earlier answers by benchmark and by question, as `question` names it."""


def ordered(requests: Sequence[Request], config: Config, known: Lengths) -> tuple[list[Request], str]:
    """Returns the requests in the order in which they are asked, and in words what decided it.

    Args:
        requests: In any order; what comes first stays before its equals.
        config: The settings: with `schedule=sequential` one benchmark comes after another.
        known: How long answers to the same questions were.
    """
    usual = sorted(requests, key=lambda r: (r.sampling.max_tokens, prompt_size(r)), reverse=True)
    groups = [usual]
    if config.schedule is Schedule.sequential:
        groups = [[request for request in usual if request.benchmark == name] for name in config.benchmarks]
    tokens = _expected(requests, known)
    if not tokens:
        return list(itertools.chain.from_iterable(groups)), BY_LIMIT
    found = sum(question(r.sample_id) in known.get(r.benchmark, ()) for r in requests)
    basis = f"the longest expected first, by the lengths of earlier answers to {found} of {len(requests)} requests"
    longest = (sorted(group, key=lambda r: tokens[r.id], reverse=True) for group in groups)
    return list(itertools.chain.from_iterable(longest)), basis


def _expected(requests: Sequence[Request], known: Lengths) -> dict[str, float]:
    """Returns the tokens that each answer is expected to have, by the request's id; none where nothing is known of any.

    A question without an earlier answer is expected to take its benchmark's median, one of a benchmark without any a share of its limit.
    """
    medians = {r.benchmark: median(known[r.benchmark].values()) for r in requests if known.get(r.benchmark)}
    if not medians:
        return {}
    expected = {}
    for request in requests:
        limit, name = request.sampling.max_tokens, request.benchmark
        otherwise = medians.get(name, MEDIAN_SHARE * limit)
        expected[request.id] = min(limit, known.get(name, {}).get(question(request.sample_id), otherwise))
    return expected


def question(sample_id: str) -> str:
    """Returns what stands for a question in the files, where no id can be read."""
    return hashlib.sha256(sample_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def known_lengths(config: Config) -> Lengths:
    """Returns the lengths of earlier answers by benchmark; of those whose file cannot be read there are none."""
    try:
        return {name: _read(_file(config, name)) for name in config.benchmarks if _kept(config)}
    except RuntimeError as error:  # there is no home folder
        log.debug("the lengths of answers cannot be read: %s", error)
        return {}


def remember_lengths(config: Config, results: Sequence[Result]) -> None:
    """Keeps the lengths of a finished run's answers; what cannot be written is logged: it costs an order, nothing else."""
    try:
        for name in config.benchmarks if _kept(config) else ():
            _write(_file(config, name), [result for result in results if result.benchmark == name])
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        log.debug("the lengths of answers cannot be written: %s", error)


def _kept(config: Config) -> bool:
    return config.engine.name not in NOT_KEPT and not config.sampling.ignore_eos


def _file(config: Config, name: str) -> Path:
    """Where the lengths of a benchmark's answers stand: its name is of all settings that change a text much."""
    model, benchmark = config.model, config.benchmarks[name]
    decides = [
        name, model.name, model.hub_id, model.path and str(Path(model.path).absolute()), model.embedded, model.revision,
        model.lora, model.chat_template, model.chat_template_kwargs, config.engine.served_model, config.engine.extra_body,
        benchmark.chat, benchmark.fewshot, benchmark.system_prompt, benchmark.asks_likelihoods, benchmark.stop, config.early_stopping.value,
    ]  # fmt: skip
    key = hashlib.sha256(orjson.dumps(decides, option=decoding.CANONICAL, default=str)).hexdigest()[:32]
    return cache_folder() / FOLDER / f"{key}.json"


def _read(file: Path) -> dict[str, float]:
    return {
        key: tokens for key, tokens in files.json_object(file).items() if decoding.finite(tokens) is not None
    }


def _write(file: Path, results: Sequence[Result]) -> None:
    """Adds the mean tokens of the answers to each question; where one was cut, a longer one that is known stays."""
    known, made, cut = _read(file), dict[str, list[int]](), set[str]()
    for result in results:
        parts, key = result.completions, question(result.sample_id)
        if not parts or any(each.choices or each.finish_reason is FinishReason.ABORT for each in parts):
            continue
        made.setdefault(key, []).append(sum(each.output_tokens for each in parts))
        if parts[0].finish_reason is FinishReason.LENGTH:
            cut.add(key)
    new = {key: round(fmean(tokens), 1) for key, tokens in made.items()}
    new |= {key: max(new[key], known[key]) for key in cut & known.keys()}
    if new:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.replace(file, [orjson.dumps(known | new)], shared=True)
        files.keep_newest(file.parent, MOST_FILES)
