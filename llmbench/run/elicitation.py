"""Asking for the answer when a text stopped without one.

A stop string such as "Answer:" ends a text just before its answer. The continuation's prompt is the same tokens, prompt and
output, so that the prefix cache serves them, and behind them the benchmark's cue; then a few tokens are generated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmbench.config.choices import EarlyStopping
from llmbench.config.schema import BenchmarkConfig
from llmbench.engine.tokenizer import Tokenizer
from llmbench.records import (
    CONTINUATION_SUFFIX,
    Completion,
    FinishReason,
    Message,
    Request,
    Sampling,
    well_formed,
)
from llmbench.run.prompts import Asked
from llmbench.system import thinking


@dataclass(frozen=True, slots=True)
class Written:
    """A text to be graded, and how it ended."""

    text: str
    finish_reason: FinishReason


def opened(asked: Asked) -> str:
    """The tag at the end of the prompt that opens thinking, so that unfinished thinking is recognised."""
    return thinking.opened(asked.text)


def possible(mode: EarlyStopping, completion: Completion, config: BenchmarkConfig) -> bool:
    """Whether the answer may be asked for: the text was cut by a stop string or by the token limit.

    Looking for the answer is left to a grading worker (`grading.find_stated`): the text may take any time and memory.
    """
    cut = completion.finish_reason in (FinishReason.STOP_STRING, FinishReason.LENGTH)
    return cut and mode is EarlyStopping.answer and config.cue_tokens > 0


def cue(text: str, completion: Completion, config: BenchmarkConfig) -> str:
    """The text that the model continues from: the benchmark's cue, after a closing tag if thinking is still open.

    Nothing where the stop string says the same already.

    Args:
        text: All that was written (`written`).
        completion: The last part of it.
        config: The benchmark's settings.
    """
    if end := thinking.closing(text):
        return f"\n{end}\n{config.cue}"
    same = (completion.stop_string or "").strip() == config.cue.strip()
    return "" if same else config.cue


def cue_sampling(request: Request, config: BenchmarkConfig) -> Sampling:
    """How the answer that follows the cue is drawn."""
    return replace(request.sampling, max_tokens=config.cue_tokens, stop=tuple(config.cue_stop))


def continuation(
    request: Request, completion: Completion, words: str, sampling: Sampling, tokenizer: Tokenizer
) -> Request:
    """The request that goes on with a text: a longer prompt, or a turn of the assistant that the server continues.

    Args:
        request: What the text came back for.
        completion: The text.
        words: What is put in the model's mouth behind it.
        sampling: How what follows is drawn.
        tokenizer: The model's.
    """
    name = request.id.removesuffix(CONTINUATION_SUFFIX) + CONTINUATION_SUFFIX
    if request.messages:
        begun = Message("assistant", _said(completion, tokenizer) + words)
        return replace(request, id=name, messages=(*request.messages, begun), sampling=sampling)
    before = completion.output_ids or tokenizer.encode(_said(completion, tokenizer), special=False)
    said = tokenizer.encode(words, special=False)
    return replace(request, id=name, prompt_ids=(*request.prompt_ids, *before, *said), sampling=sampling)


def _said(completion: Completion, tokenizer: Tokenizer, begun: tuple[int, ...] = ()) -> str:
    """All that was generated, a stop string too, behind the text of the tokens that had `begun` it."""
    if completion.output_ids:
        return tokenizer.decode(begun + completion.output_ids)
    return (tokenizer.decode(begun) if begun else "") + completion.text + (completion.stop_string or "")


def written(
    asked: Asked, completions: Sequence[Completion], cues: Sequence[str], tokenizer: Tokenizer
) -> Written:
    """The text to grade: the completions one after another, each but the last with what was put in the mouth behind it."""
    text = opened(asked) + joined(completions, cues, tokenizer)
    return Written(well_formed(text), completions[-1].finish_reason)


def joined(completions: Sequence[Completion], cues: Sequence[str], tokenizer: Tokenizer) -> str:
    """The texts of completions, each but the last with what was put in the mouth behind it.

    Those without words between them are decoded together: the tokens of one character may stand on both sides.
    """
    *before, last = completions
    said, begun = "", tuple[int, ...]()  # `begun`: tokens whose text is not in `said` yet
    for completion, words in zip(before, cues, strict=False):
        if completion.output_ids and not words:
            begun += completion.output_ids
        else:
            said += _said(completion, tokenizer, begun) + words
            begun = ()
    if not begun:
        return said + last.text
    rest, stop = _said(last, tokenizer, begun), last.stop_string
    return said + (rest[: rest.rfind(stop)] if stop and stop in rest else rest)
