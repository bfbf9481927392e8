"""A request with what came back for it, and asking for the answer when a text stopped without one.

A stop string such as "Answer:" ends a text just before its answer. The continuation's prompt is the same tokens, prompt and
output, so that the prefix cache serves them, and behind them the benchmark's cue; then a few tokens are generated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
from llmbench.system import redaction, thinking


@dataclass(slots=True)
class Exchange:
    """A request and what came back for it so far: a completion, and perhaps its continuations.

    Attributes:
        cues: What was put in the model's mouth behind each completion that it was asked to continue.
        sent: The last request: the first one, or a continuation.
        elicited: The answer was asked for, since the text had stopped without one.
        ends_thinking: The first continuation's cue closes the think block, whose budget is used up.
        text: All that was written, once nothing more is asked of the engine for it.
    """

    request: Request
    completions: list[Completion] = field(default_factory=list)
    cues: list[str] = field(default_factory=list)
    sent: Request = field(init=False)
    elicited: bool = False
    ends_thinking: bool = False
    text: str | None = None

    def __post_init__(self) -> None:
        self.sent = self.request

    @property
    def has_cued_answer(self) -> bool:
        """Whether the answer was asked for and something came back; a server may have no room for it."""
        return self.elicited and len(self.completions) > len(self.cues)

    def go_on(self, words: str, sampling: Sampling, tokenizer: Tokenizer) -> Request:
        """Puts words in the model's mouth behind its last completion, and returns the request that goes on from there."""
        self.cues.append(words)
        self.sent = continuation(self.sent, self.completions[-1], words, sampling, tokenizer)
        return self.sent


def possible(mode: EarlyStopping, completion: Completion, config: BenchmarkConfig) -> bool:
    """Whether the answer may be asked for: the text was cut by a stop string or by the token limit.

    Looking for the answer is left to a grading worker (`grading.find_stated`): the text may take any time and memory.
    """
    cut = completion.finish_reason in (FinishReason.STOP_STRING, FinishReason.LENGTH)
    return cut and mode is EarlyStopping.answer and config.cue_tokens > 0


def cue(text: str, completion: Completion, config: BenchmarkConfig) -> str:
    """The text that the model continues from: the benchmark's cue, after a closing tag if thinking is still open in the `text` so far.

    Nothing where the stop string says the same already.
    """
    if end := thinking.closing(text):
        return f"\n{end}\n{config.cue}"
    same = (completion.stop_string or "").strip() == config.cue.strip()
    return "" if same else config.cue


def continuation(
    request: Request, completion: Completion, words: str, sampling: Sampling, tokenizer: Tokenizer
) -> Request:
    """The request that goes on with a request's text behind `words`: a longer prompt, or a turn of the assistant that the server continues."""
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
) -> str:
    """The text to grade: the completions one after another, each but the last with what was put in the mouth behind it."""
    return well_formed(thinking.opened(asked.text) + joined(completions, cues, tokenizer))


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


def ended_by_itself(completion: Completion, end: str) -> Completion:
    """A base model that goes on with the next question, at `end`, has ended its answer."""
    if completion.stop_string != end:
        return completion
    return replace(completion, finish_reason=FinishReason.STOP, stop_string=None)


def without_secrets(completion: Completion) -> Completion:
    """The completion with `***` for secrets in its error."""
    return replace(completion, error=completion.error and redaction.without_secrets(completion.error))
