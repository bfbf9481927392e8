"""Asking for the answer when a text stopped without one.

A stop string such as "Answer:" ends a text just before its answer. The continuation's prompt is the same tokens, prompt and
output, so that the prefix cache serves them, and behind them the benchmark's cue; then a few tokens are generated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmbench.config.choices import EarlyStopping
from llmbench.config.schema import BenchmarkConfig
from llmbench.engine.tokenizer import Tokenizer
from llmbench.records import CONTINUATION_SUFFIX, Completion, FinishReason, Message, Request, well_formed
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


def cue(asked: Asked, completion: Completion, config: BenchmarkConfig) -> str:
    """The text that the model continues from: the benchmark's cue, after a closing tag if thinking is still open.

    Nothing where the stop string says the same already.
    """
    text = opened(asked) + completion.text
    if end := thinking.closing(text):
        return f"\n{end}\n{config.cue}"
    same = (completion.stop_string or "").strip() == config.cue.strip()
    return "" if same else config.cue


def continuation(
    request: Request, asked: Asked, completion: Completion, config: BenchmarkConfig, tokenizer: Tokenizer
) -> Request:
    """The request that asks for the answer: a longer prompt, or a turn of the assistant that the server continues."""
    sampling = replace(request.sampling, max_tokens=config.cue_tokens, stop=tuple(config.cue_stop))
    if request.messages:
        begun = _said(completion, tokenizer) + cue(asked, completion, config)
        return replace(
            request,
            id=request.id + CONTINUATION_SUFFIX,
            messages=(*request.messages, Message("assistant", begun)),
            sampling=sampling,
        )
    before = completion.output_ids or tokenizer.encode(_said(completion, tokenizer), special=False)
    said = tokenizer.encode(cue(asked, completion, config), special=False)
    return replace(
        request,
        id=request.id + CONTINUATION_SUFFIX,
        prompt_ids=(*request.prompt_ids, *before, *said),
        sampling=sampling,
    )


def _said(completion: Completion, tokenizer: Tokenizer) -> str:
    """All that was generated, a stop string too."""
    if completion.output_ids:
        return tokenizer.decode(completion.output_ids)
    return completion.text + (completion.stop_string or "")


def written(
    asked: Asked, completions: Sequence[Completion], config: BenchmarkConfig, tokenizer: Tokenizer
) -> Written:
    """The text to grade: the completion alone, or completion, cue and continuation if the answer was asked for."""
    first, *rest = completions
    if not rest:
        return Written(opened(asked) + first.text, first.finish_reason)
    said = opened(asked) + _said(first, tokenizer)
    text = well_formed(f"{said}{cue(asked, first, config)}{rest[0].text}")
    return Written(text, rest[0].finish_reason)
