"""What a run says of data that its settings mapped, before it asks: a wrong column is seen here, and not in the score."""

from collections.abc import Iterator

from llmbench.benchmarks.generic.base import GRADED_AS
from llmbench.errors import shortened
from llmbench.run.request_plan import RequestPlan
from llmbench.system.number_format import count

EXAMPLES = 2
GOLDS = 5
PROMPT_SHOWN, GOLD_SHOWN = 240, 40
"""Characters of a prompt and of a gold answer that are shown."""


def data_notes(plan: RequestPlan) -> list[str]:
    """Returns a paragraph for each benchmark whose columns its settings map; of a sealed one without its texts."""
    return ["\n".join(lines) for name in plan.samples if (lines := list(_lines(plan, name)))]


def _lines(plan: RequestPlan, name: str) -> Iterator[str]:
    part, settings = plan.samples[name], plan.config.benchmarks[name]
    if not part.source.notes:
        return
    asked, notes = len(part.chosen), part.source.notes
    if settings.asks_likelihoods:
        notes = tuple(said for note in notes if (said := _of_gold(note)))
    fewer = f", {asked:,} of them asked" if asked < len(part.available) else ""
    yield f"{part.source.source}: {count(len(part.available), 'question')}{fewer}. {' '.join(notes)}".rstrip()
    if settings.asks_likelihoods:
        yield f"  Nothing is written: the choice whose {settings.likelihood_of.value} has the largest log-likelihood is the answer."
    if settings.sealed:
        return
    golds = list(dict.fromkeys(sample.target for sample in part.available))
    shown = ", ".join(shortened(gold, GOLD_SHOWN) for gold in golds[:GOLDS])
    more = f" and {count(len(golds) - GOLDS, 'other')}" if len(golds) > GOLDS else ""
    yield f"  Gold answers: {shown}{more}."
    for sample, question in list(zip(part.chosen, part.questions, strict=True))[:EXAMPLES]:
        prompt = shortened(question, PROMPT_SHOWN)
        instruction = f" | {shortened(settings.instruction, PROMPT_SHOWN)}" if settings.instruction else ""
        yield f"  Question {sample.id}: {prompt}{instruction}  ->  {shortened(sample.target, GOLD_SHOWN)}"


def _of_gold(note: str) -> str:
    """A note without how texts are graded, where none is written: what it says of the gold answers, or nothing."""
    if not note.startswith(GRADED_AS):
        return note
    said = note.partition("; ")[2]
    return said[:1].upper() + said[1:]
