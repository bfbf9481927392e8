"""How generating went, in cards and rows of the report: its tail, its decode steps, and how near they came to what the memory allows."""

from llmbench.results.generation import Generation
from llmbench.system.number_format import count, number, percent, seconds
from llmbench.telemetry.engine_report import Speculation


def generation_cards(generation: Generation | None) -> list[tuple[str, str, str]]:
    """Returns the cards, each with its name, its value and what it says beside that; none where the summary has nothing of it, as of an older run."""
    if generation is None:
        return []
    tenth, limit = generation.last_tenth, generation.limit
    last = f"last tenth of requests {seconds(tenth)}" if tenth is not None else ""
    made = [("tail of generating", seconds(generation.tail), last)]
    if generation.step is not None:
        least = f"memory needs {seconds(limit.step)}" if limit is not None else "on average"
        made.append(("decode step", seconds(generation.step), least))
    if limit is not None:
        made.append(("bandwidth limit", percent(limit.share, 0), "of generating is what the memory needs"))
    return made


def generation_facts(generation: Generation | None, drafted: Speculation | None) -> list[tuple[str, str]]:
    """Returns what stands behind the cards, and what speculative decoding did."""
    made = []
    if generation is not None:
        steps = f"; {count(generation.steps, 'decode step')}" if generation.steps is not None else ""
        parts = f"{seconds(generation.full)}, then {seconds(generation.tail)} with fewer than half of the {generation.most_running:,} at most running"
        made.append(("generating", f"{parts}{steps}"))
    if generation is not None and generation.limit is not None:
        limit = generation.limit
        read = f"{limit.weights_bytes / 1e9:.1f} GB of weights and {limit.kv_bytes_per_token:,} bytes a token of KV cache"
        made.append(("a step reads", f"{read}, at {number(limit.bandwidth_gb_s)} GB/s"))
    if drafted is not None:
        made.append(("speculation", _drafted(drafted)))
    return made


def _drafted(speculation: Speculation) -> str:
    steps = ""
    if speculation.steps and speculation.drafted_steps is not None:
        steps = f"; drafts in {percent(speculation.drafted_steps / speculation.steps)} of {count(speculation.steps, 'step')}"
    return (
        f"{percent(speculation.acceptance_rate)} of {count(speculation.draft_tokens, 'drafted token')} accepted, in {count(speculation.drafts, 'draft')}: "
        f"{count(speculation.accepted_tokens, 'token')} without a step of their own{steps}"
    )
