"""A request of the evaluation loop with what came back for it, and how a completion is taken before it is graded."""

from dataclasses import dataclass, field, replace

from llmbench.engine.tokenizer import Tokenizer
from llmbench.records import Completion, FinishReason, Request, Sampling
from llmbench.run import elicitation
from llmbench.system import redaction


@dataclass(slots=True)
class Exchange:
    """A request and what came back for it so far: a completion, and perhaps its continuations.

    Attributes:
        cues: What was put in the model's mouth behind each completion that it was asked to continue.
        sent: The last request: the first one, or a continuation.
        elicited: The answer was asked for, since the text had stopped without one.
        ends_thinking: The first continuation's cue closes the think block, whose budget is used up.
    """

    request: Request
    completions: list[Completion] = field(default_factory=list)
    cues: list[str] = field(default_factory=list)
    sent: Request = field(init=False)
    elicited: bool = False
    ends_thinking: bool = False
    written: elicitation.Written | None = None

    def __post_init__(self) -> None:
        self.sent = self.request

    @property
    def has_cued_answer(self) -> bool:
        """Whether the answer was asked for and something came back; a server may have no room for it."""
        return self.elicited and len(self.completions) > len(self.cues)

    def go_on(self, words: str, sampling: Sampling, tokenizer: Tokenizer) -> Request:
        """Puts words in the model's mouth behind its last completion, and returns the request that goes on from there."""
        self.cues.append(words)
        self.sent = elicitation.continuation(self.sent, self.completions[-1], words, sampling, tokenizer)
        return self.sent


def ended_by_itself(completion: Completion, end: str) -> Completion:
    """A base model that goes on with the next question, at `end`, has ended its answer."""
    if completion.stop_string != end:
        return completion
    return replace(completion, finish_reason=FinishReason.STOP, stop_string=None)


def without_secrets(completion: Completion) -> Completion:
    """The completion with `***` for secrets in its error."""
    if not completion.error:
        return completion
    return replace(completion, error=redaction.without_secrets(completion.error))
