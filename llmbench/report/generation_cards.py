"""How generating went, in cards and rows of the report: its tail, its decode steps, and how near they came to what the memory allows."""

from llmbench.results.generation import Generation
from llmbench.system.number_format import count, number, percent, seconds
from llmbench.telemetry.engine_report import Speculation

Card = tuple[str, str, str]
"""Its name, its value, and what it says beside that."""
Row = tuple[str, str]
"""What a fact is of, and what it says."""


def generation_cards(found: Generation | None) -> list[Card]:
    """Returns the cards; none where the summary has nothing of it, as of an older run."""
    if found is None:
        return []
    last = f"last tenth of requests {seconds(found.last_tenth)}" if found.last_tenth is not None else ""
    made = [("tail of generating", seconds(found.tail), last)]
    if found.step is not None:
        least = f"memory needs {seconds(found.limit.step)}" if found.limit is not None else "on average"
        made.append(("decode step", seconds(found.step), least))
    if found.limit is not None:
        made.append(
            ("bandwidth limit", percent(found.limit.share, 0), "of generating is what the memory needs")
        )
    return made


def generation_facts(found: Generation | None, drafted: Speculation | None) -> list[Row]:
    """Returns what stands behind the cards, and what speculative decoding did."""
    made = []
    if found is not None:
        steps = f"; {count(found.steps, 'decode step')}" if found.steps is not None else ""
        parts = f"{seconds(found.full)}, then {seconds(found.tail)} with fewer than half of the {found.most_running:,} at most running"
        made.append(("generating", f"{parts}{steps}"))
    if found is not None and found.limit is not None:
        limit = found.limit
        read = f"{limit.weights_bytes / 1e9:.1f} GB of weights and {limit.kv_bytes_per_token:,} bytes a token of KV cache"
        made.append(("a step reads", f"{read}, at {number(limit.bandwidth_gb_s)} GB/s"))
    if drafted is not None:
        made.append(("speculation", _drafted(drafted)))
    return made


def _drafted(found: Speculation) -> str:
    steps = ""
    if found.steps and found.drafted_steps is not None:
        steps = f"; drafts in {percent(found.drafted_steps / found.steps)} of {count(found.steps, 'step')}"
    return (
        f"{percent(found.acceptance_rate)} of {count(found.draft_tokens, 'drafted token')} accepted, in {count(found.drafts, 'draft')}: "
        f"{count(found.accepted_tokens, 'token')} without a step of their own{steps}"
    )
