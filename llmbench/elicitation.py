"""Asking for the answer when a text stopped without one.

A stop string such as "Answer:" ends a text just before its answer. The continuation's prompt is the same tokens, prompt and
output, so that the prefix cache serves them, and behind them the benchmark's cue; then a few tokens are generated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmbench.benchmarks.base import Module
from llmbench.config import BenchmarkConfig, EarlyStopping
from llmbench.records import Completion, FinishReason, Request, Sample
from llmbench.tokenizers import Tokenizer

MARK = "+"
"""Stands behind the id of a request whose continuation this is."""


@dataclass(frozen=True, slots=True)
class Written:
    """A text to be graded, and how it ended."""

    text: str
    finish_reason: FinishReason


def wanted(
    mode: EarlyStopping, module: Module, sample: Sample, completion: Completion, config: BenchmarkConfig
) -> bool:
    """Whether to ask: the text was cut, by a stop string or by the limit, and states no answer yet."""
    cut = completion.finish_reason in (FinishReason.STOP_STRING, FinishReason.LENGTH)
    if mode is not EarlyStopping.answer or not cut or config.cue_tokens < 1:
        return False
    return module.extract(sample, completion.text, complete=False) is None


def cue(config: BenchmarkConfig, completion: Completion) -> str:
    """What is put in the model's mouth; nothing where the stop string says the same already."""
    same = (completion.stop_string or "").strip() == config.cue.strip()
    return "" if same else config.cue


def continuation(
    request: Request, completion: Completion, config: BenchmarkConfig, tokenizer: Tokenizer
) -> Request:
    """The request that asks for the answer."""
    asked = tokenizer.encode(cue(config, completion), special=False)
    return replace(
        request,
        id=request.id + MARK,
        prompt_ids=(*request.prompt_ids, *completion.output_ids, *asked),
        sampling=replace(request.sampling, max_tokens=config.cue_tokens, stop=tuple(config.cue_stop)),
    )


def written(completions: Sequence[Completion], config: BenchmarkConfig, tokenizer: Tokenizer) -> Written:
    """What is graded: the text, or all that was written and put in the mouth where the answer was asked for."""
    first, *rest = completions
    if not rest:
        return Written(first.text, first.finish_reason)
    said = tokenizer.decode(first.output_ids)
    return Written(f"{said}{cue(config, first)}{rest[0].text}", rest[0].finish_reason)
