"""How generating went, in cards for the report: its tail, its decode steps, and how near they came to what the memory allows."""

from llmbench.results.generation import Generation
from llmbench.system.number_format import count, number, percent, seconds
from llmbench.telemetry.engine_report import Speculation

Card = tuple[str, str, str]
"""Its name, its value, and what it says beside that."""


def generation_cards(found: Generation | None) -> list[Card]:
    """Returns the cards; none where the summary has nothing of it, as of an older run."""
    if found is None:
        return []
    last = (
        f"; the last tenth of the requests takes {seconds(found.last_tenth)}"
        if found.last_tenth is not None
        else ""
    )
    before = f"after {seconds(found.full)} with over half of the {found.most_running:,} at most running{last}"
    made = [("tail of generating", seconds(found.tail), before)]
    if found.steps is not None and found.step is not None:
        made.append(("decode step", seconds(found.step), f"on average of {count(found.steps, 'step')}"))
    if found.limit is not None:
        limit = found.limit
        read = f"{limit.weights_bytes / 1e9:.1f} GB of weights, {limit.kv_bytes_per_token:,} bytes a token of KV cache"
        note = f"of generating: the memory needs {seconds(limit.step)} a step at {number(limit.bandwidth_gb_s)} GB/s ({read})"
        made.append(("bandwidth limit", percent(limit.share, 0), note))
    return made


def drafted(found: Speculation) -> str:
    """Returns what speculative decoding did, in words."""
    return (
        f"{percent(found.acceptance_rate)} of {count(found.draft_tokens, 'drafted token')} accepted, in {count(found.drafts, 'draft')}: "
        f"{count(found.accepted_tokens, 'token')} without a step of their own"
    )
