"""The sample browser's rows: what was asked, written, extracted and expected, and how long it took."""

import base64
import zlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson

from llmbench.records import Result
from llmbench.report.escaping import clipped, visible
from llmbench.results import cache_use

LIMITS = (20_000, 10_000, 5_000, 2_500, 1_200, 600, 200, 0)
"""Characters of each text that are tried, until all samples together fit."""
BUDGET = 5_000_000
"""Characters that the packed samples may take: plots, fonts and code need another two million of the eight."""
SHORT = 2_000
"""Characters of gold answers and explanations."""


def pack(results: Sequence[Result], sealed: Collection[str], budget: int = BUDGET) -> tuple[str, int]:
    """The rows as JSON, deflated, in base64; and the characters that each text was cut to."""
    for limit in LIMITS:
        packed = _packed([row(result, limit, sealed=result.benchmark in sealed) for result in results])
        if len(packed) <= budget:
            break
    return packed, limit


def pack_rows(tried: Iterable[Sequence[dict[str, Any]]], budget: int = BUDGET) -> str:
    """The first of several versions of the rows, from the longest texts to the shortest, that fits; else the last."""
    packed = ""
    for rows in tried:
        packed = _packed(rows)
        if len(packed) <= budget:
            break
    return packed


def _packed(rows: Sequence[dict[str, Any]]) -> str:
    return base64.b64encode(zlib.compress(orjson.dumps(rows), 6)).decode()


def row(result: Result, limit: int, *, sealed: bool = False, run: str | None = None) -> dict[str, Any]:
    """One result, with short names: there are thousands of them."""
    first = result.completions[0] if result.completions else None
    timings = cache_use.timings(result)
    found: dict[str, Any] = {
        "b": visible(result.benchmark),
        "i": visible(result.sample_id),
        "r": result.repeat,
        "o": result.score.outcome.value,
        "v": round(result.score.value, 4),
        "f": first.finish_reason.value if first else None,
        "e": int(result.elicited),
        "n": [
            first.prompt_tokens if first else None,
            sum(c.output_tokens for c in result.completions),
            first.cached_tokens if first else None,
        ],
        "t": {
            "queue": _rounded(sum(t.queue for t in timings)) if timings else None,
            "prefill": _rounded(sum(t.prefill for t in timings)) if timings else None,
            "ttft": _rounded(timings[0].ttft) if timings else None,
            "decode": _rounded(sum(t.decode for t in timings)) if timings else None,
            "e2e": _rounded(sum(t.e2e for t in timings)) if timings else None,
            "inter": _rounded(timings[0].inter_token) if timings else None,
        },
        "h": result.prompt_hash[:16],
    }
    if run is not None:
        found["run"] = run
    if sealed:
        return found | {"sealed": 1}
    errors = [c.error for c in result.completions if c.error]
    said = result.judgement
    if said is not None and said.verdict is None and said.completion.text:
        errors.append(f"It wrote: {said.completion.text}")
    answer = result.score.answer
    return found | {
        "a": None if answer is None else visible(clipped(answer, max(limit // 2, SHORT // 10))),
        "g": visible(clipped(result.target, SHORT)),
        "x": visible(clipped(". ".join([result.score.explanation, *errors]).strip(". "), SHORT)),
        "p": visible(clipped(result.prompt, limit)),
        "s": [[kind, visible(clipped(text, limit))] for kind, text in segments(result)],
    }


def segments(result: Result) -> list[tuple[str, str]]:
    """The completion in pieces: `text`, the `stop` string that ended it, the `cue` that was put in the mouth, and what was `elicited`.

    Where a text does not hold its pieces as expected it stays whole.
    """
    if not result.completions:
        return [("text", result.text)] if result.text else []
    first, *rest = result.completions
    stop = [("stop", first.stop_string)] if first.stop_string else []
    if not rest:
        return _present([("text", result.text or first.text), *stop])
    begin, last = result.text.find(first.text), rest[-1].text
    cut = begin + len(first.text)
    end = len(result.text) - len(last)
    if begin < 0 or not result.text.endswith(last) or end < cut:
        return [("text", result.text)]
    between = result.text[cut:end]
    if first.stop_string and between.startswith(first.stop_string):
        between = between[len(first.stop_string) :]
    else:
        stop = []
    return _present([("text", result.text[:cut]), *stop, ("cue", between), ("elicited", last)])


def _present(pieces: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in pieces if text]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 5)
