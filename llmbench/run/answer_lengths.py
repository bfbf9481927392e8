"""How long the answers of earlier runs were, by model, benchmark and question. Only the order of requests depends on it (`run/order`).

`lengths/` in the cache folder has a small file for each model and benchmark, which a run replaces as a whole when it has finished: what two
processes write at once is that of the last, and never torn. It could be read from what runs leave, but not cheaply: a journal holds whole
texts (80 MB for 2,000 answers of 10,000 tokens), and the newest runs of a model are found only by reading every manifest below `runs_dir`. The
response cache has its answers under keys of everything that decides one, so that it knows nothing of the same question under other settings.

Weights in other data types and another sampling change the length of an answer less than two draws of it differ, so they share a file. Token
limits do too: an answer that was cut counts with the tokens it had, and in place of a longer one that is known never.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import orjson

from llmbench.config.schema import Config
from llmbench.engine.bundled_model import cache_folder
from llmbench.records import FinishReason, Result
from llmbench.system import decoding, files

log = logging.getLogger(__name__)

FOLDER = "lengths"
MOST_QUESTIONS, MOST_FILES = 20_000, 500
"""Of a file, which then takes less than 1 MB, and of the folder; beyond them the oldest go."""
NOT_KEPT = ("fake",)
"""Engines whose answers tell nothing."""
Lengths = Mapping[str, Mapping[str, float]]
"""Tokens by benchmark and by question, as `question` names it."""


def question(sample_id: str) -> str:
    """Returns what stands for a question in the files, where no id can be read."""
    return hashlib.sha256(sample_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def read(config: Config) -> Lengths:
    """Returns what is known of the answers that a run will get; benchmarks without anything are left out, and so is what cannot be read."""
    if not _kept(config):
        return {}
    try:
        found = {name: _read(_file(config, name)) for name in config.benchmarks}
    except RuntimeError as error:  # there is no home folder
        log.debug("the lengths of answers cannot be read: %s", error)
        return {}
    return {name: lengths for name, lengths in found.items() if lengths}


def remember(config: Config, results: Sequence[Result]) -> None:
    """Adds the lengths of a run's answers; what cannot be written is logged and forgotten: it costs an order, nothing else."""
    if not _kept(config):
        return
    for name in config.benchmarks:
        made = _lengths([result for result in results if result.benchmark == name])
        if made:
            try:
                _write(_file(config, name), made)
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


def _lengths(results: Sequence[Result]) -> dict[str, tuple[float, bool]]:
    """Returns by question the mean tokens of its answers, and whether one was cut."""
    answers: dict[str, list[Result]] = {}
    for result in results:
        whole = result.completions and not any(each.failed or each.choices for each in result.completions)
        if whole and result.completions[0].finish_reason is not FinishReason.ABORT:
            answers.setdefault(question(result.sample_id), []).append(result)
    return {
        key: (
            fmean(sum(each.output_tokens for each in one.completions) for one in made),
            any(one.completions[0].finish_reason is FinishReason.LENGTH for one in made),
        )
        for key, made in answers.items()
    }


def _read(file: Path) -> dict[str, float]:
    return {
        key: tokens for key, tokens in files.json_object(file).items() if decoding.finite(tokens) is not None
    }


def _write(file: Path, made: Mapping[str, tuple[float, bool]]) -> None:
    """Puts the lengths before those that are known; of a question that is known the mean of both counts."""
    known = _read(file)
    new = {}
    for key, (tokens, cut) in made.items():
        before = known.pop(key, tokens)
        new[key] = round(max(tokens, before) if cut else (tokens + before) / 2, 1)
    kept = dict(list((new | known).items())[:MOST_QUESTIONS])
    file.parent.mkdir(parents=True, exist_ok=True)
    files.replace(file, [orjson.dumps(kept)], shared=True)
    files.keep_newest(file.parent, MOST_FILES)
