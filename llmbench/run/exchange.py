"""A request of the evaluation loop with what came back for it, and how a completion is taken before it is graded."""

from dataclasses import dataclass, field, replace

from llmbench.records import Completion, FinishReason, Request
from llmbench.run import elicitation
from llmbench.system import redaction


@dataclass(slots=True)
class Exchange:
    """A request and what came back for it so far: a completion, and perhaps the continuation."""

    request: Request
    completions: list[Completion] = field(default_factory=list)
    written: elicitation.Written | None = None


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
