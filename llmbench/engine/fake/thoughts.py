"""An artificial think block for the engine without a model: `engine.args={thinks: {words: 40, opened: true}}`."""

from dataclasses import dataclass

from llmbench.records import Request
from llmbench.system import thinking

OPEN, CLOSE = "<think>\n", "\n</think>\n\n"
ASSISTANT = "<assistant>\n"
"""Where an answer begins in a prompt."""


@dataclass(frozen=True, slots=True)
class Thoughts:
    """What the model thinks before it answers.

    Attributes:
        words: Words of its thinking; 0: it has no think block. The second answer to a question thinks twice as long, and so on.
        opened: The prompt opens the block.
    """

    words: int = 0
    opened: bool = False

    def in_prompt(self) -> str:
        """What a prompt ends with."""
        return OPEN if self.words and self.opened else ""

    def text(self, request: Request, prompt: str, answer: str) -> str:
        """What the model writes behind a prompt that may hold a part of its text already."""
        said = prompt.rpartition(ASSISTANT)[2] if ASSISTANT in prompt else ""
        begins = thinking.answer_begins(said)
        if not self.words:
            return answer
        # the block is closed, and perhaps a part of the answer there
        if begins is not None and begins < len(said):
            begun = said[begins:].strip()
            return answer.removeprefix(begun) if begun else answer
        steps = " ".join(f"step-{number}" for number in range(1, 1 + self.words * (1 + request.repeat)))
        whole = f"{OPEN}{steps}{CLOSE}{answer}"
        return whole.removeprefix(said)
