"""What a judge said of a benchmark's answers, and how often it said nothing that counts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from llmbench.records import Outcome, Result
from llmbench.system.number_format import count, percent


@dataclass(frozen=True, slots=True)
class JudgeUse:
    """The verdicts on a benchmark's answers.

    Attributes:
        name: The judge's; several with a comma between them.
        asked: Answers that it was asked about.
        verdicts: How often it gave which, as the rubric calls them.
        unjudged: Answers without a verdict: none in its reply, not in the form asked for, cut off, or an error.
        unjudged_share: Of those asked about, 0 to 1.
        prompt_tokens: Read by it, and `output_tokens` written; without those of replies `from_cache`, the response cache's.
    """

    name: str = ""
    asked: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    unjudged: int = 0
    unjudged_share: float = 0.0
    prompt_tokens: int = 0
    output_tokens: int = 0
    from_cache: int = 0

    @classmethod
    def of(cls, results: Sequence[Result]) -> Self | None:
        """Counts; None where no judge was asked."""
        said = [result.judgement for result in results if result.judgement is not None]
        if not said:
            return None
        replies = [judgement.completion for judgement in said]
        own = [reply for reply in replies if not reply.from_cache]
        unjudged = sum(
            result.score.outcome is Outcome.UNJUDGED for result in results if result.judgement is not None
        )
        return cls(
            name=", ".join(dict.fromkeys(judgement.judge for judgement in said)),
            asked=len(said),
            verdicts=dict(Counter(judgement.verdict for judgement in said if judgement.verdict is not None)),
            unjudged=unjudged,
            unjudged_share=unjudged / len(said),
            prompt_tokens=sum(reply.prompt_tokens for reply in own),
            output_tokens=sum(reply.output_tokens for reply in own),
            from_cache=len(replies) - len(own),
        )

    def facts(self) -> list[tuple[str, str]]:
        """The same in pairs of a name and a value, for a page."""
        return [
            ("judge", self.name),
            ("verdicts", self._verdicts()),
            ("without a verdict", f"{self.unjudged} of {self.asked} ({percent(self.unjudged_share)})"),
        ]

    def _verdicts(self) -> str:
        return ", ".join(f"{word} {number}" for word, number in self.verdicts.items()) or "no verdict"

    def sentence(self) -> str:
        """Who judged, and how often nothing came of it."""
        cached = f", {self.from_cache} replies out of the response cache" if self.from_cache else ""
        return (
            f"judged by {self.name}: {self._verdicts()}; {self.unjudged} of {count(self.asked, 'answer')} "
            f"({percent(self.unjudged_share)}) without a verdict; {self.prompt_tokens:,} tokens read and {self.output_tokens:,} written{cached}."
        )

    def unjudged_sentence(self) -> str:
        """The warning about answers without a verdict."""
        return (
            f"the judge, {self.name}, gave no verdict on {self.unjudged} of {count(self.asked, 'answer')} ({percent(self.unjudged_share)}); the score "
            "counts them as 0 and its bounds leave them open; samples.jsonl has what the judge wrote instead."
        )
