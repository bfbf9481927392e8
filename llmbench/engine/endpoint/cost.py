"""What requests cost by `engine.price`, and whether one more may be asked."""

from dataclasses import dataclass, field

from llmbench.config.endpoint import cost_of
from llmbench.config.engine import EngineConfig
from llmbench.records import Completion, FinishReason, Request


@dataclass(slots=True)
class Cost:
    """The prices, what was spent, and what requests in flight may cost at most.

    Attributes:
        before: What the run had cost before, which counts for its limit.
        spent: Since then, by the server's own counts.
        broken: What tries may have cost at most that broke within their answer; counts for the limit alone.
    """

    engine: EngineConfig
    before: float = 0.0
    spent: float = 0.0
    broken: float = 0.0
    _bounds: dict[str, float] = field(default_factory=dict)

    @property
    def known(self) -> float | None:
        """What was spent; None without prices."""
        return self.spent if self.engine.price else None

    def admits(self, request: Request) -> bool:
        """Returns whether a request can be asked without any chance to spend more than `engine.max_cost`; notes it if so."""
        if self.engine.max_cost is None:
            return True
        bound = self._bound(request)
        if self.before + self.spent + self.broken + sum(self._bounds.values()) + bound > self.engine.max_cost:
            return False
        self._bounds[request.id] = bound
        return True

    def breaks(self, request: Request) -> None:
        """Counts a try that broke within its answer."""
        self.broken += self._bound(request)

    def ends(self, request: Request, completion: Completion | None) -> None:
        """Counts what a request cost; one without usage counts with the most that it may have cost."""
        bound = self._bounds.pop(request.id, 0.0)
        if completion is None or completion.finish_reason is FinishReason.ABORT:
            return
        own = self._price(completion.prompt_tokens, completion.output_tokens)
        self.spent += own if completion.output_tokens and completion.prompt_tokens else max(own, bound)

    def _bound(self, request: Request) -> float:
        return self._price(_most_tokens(request), request.sampling.max_tokens)

    def _price(self, prompt: int, output: int) -> float:
        return cost_of(self.engine.price, prompt, output)


def _most_tokens(request: Request) -> int:
    """Tokens that a prompt has at most: each is at least a byte, and a turn's frame takes a few."""
    texts = (message.content.encode(errors="replace") for message in request.messages)
    return len(request.prompt_ids) or sum(len(text) + 16 for text in texts)
