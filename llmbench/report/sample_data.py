"""The sample browser's rows: what was asked, written, extracted and expected, and how long it took."""

import base64
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import orjson

from llmbench.records import Result, Timing
from llmbench.report.escaping import clipped, visible
from llmbench.report.run_entry import RunEntry
from llmbench.results import cache_use, likelihood
from llmbench.results.settings import benchmark_settings
from llmbench.results.thinking_use import last_own

LIMITS = (20_000, 10_000, 5_000, 2_500, 1_200, 600, 200, 0)
"""Characters of each text that are tried, until all samples together fit."""
BUDGET = 5_000_000
"""Characters that the packed samples may take: plots, fonts and code need another two million of the eight."""
MATHEMATICS = ("llmbench.benchmarks.math", "llmbench.benchmarks.generic:MathAnswer")
"""Modules of benchmarks whose answers are mathematics in LaTeX, without its delimiters."""
SHORT = 2_000
"""Characters of gold answers and explanations."""


def mathematical(config: Mapping[str, Any] | None) -> frozenset[str]:
    """Returns the benchmarks of a run whose answers are mathematics, by the module that grades them; none where the settings are not known."""
    benchmarks = (config or {}).get("benchmarks") or {}
    return frozenset(
        name for name in benchmarks if benchmark_settings(config, name).get("module") in MATHEMATICS
    )


def pack(made: Callable[[int], Sequence[dict[str, Any]]]) -> tuple[str, int]:
    """The rows that are made with texts of at most so many characters, as JSON, deflated, in base64; and to how many characters each was cut."""
    for limit in LIMITS:
        shown = made(limit)
        packed = base64.b64encode(zlib.compress(orjson.dumps(shown), 6)).decode() if shown else ""
        if len(packed) <= BUDGET:
            break
    return packed, limit


def sample_rows(
    entry: RunEntry, results: Iterable[Result], limit: int, run: str | None = None
) -> list[dict[str, Any]]:
    """Results of a run, their texts cut to a limit of characters; `run` is its name, where there are several."""
    mathematics, sealed = mathematical(entry.config), entry.run.sealed
    return [
        row(r, limit, sealed=r.benchmark in sealed, run=run, mathematics=r.benchmark in mathematics)
        for r in results
    ]


def row(
    result: Result, limit: int, *, sealed: bool = False, run: str | None = None, mathematics: bool = False
) -> dict[str, Any]:
    """One result, with short names, since there are thousands of them; its texts are cut to a `limit` of characters, or left out where it is `sealed`."""
    first, last = result.completions[0] if result.completions else None, last_own(result)
    found: dict[str, Any] = {
        "b": visible(result.benchmark),
        "i": visible(result.sample_id),
        "r": result.repeat,
        "o": result.score.outcome.value,
        "v": round(result.score.value, 4),
        "f": last.finish_reason.value if last else None,
        "e": int(result.elicited),
        "n": [
            first.prompt_tokens if first else None,
            sum(c.output_tokens for c in result.completions),
            first.cached_tokens if first else None,
        ],
        "t": _times(cache_use.timings(result)),
        "h": result.prompt_hash[:16],
    }
    if run is not None:
        found["run"] = run
    if sealed:
        return found | {"sealed": 1}
    errors = [c.error for c in result.completions if c.error]
    answer, said = result.score.answer, result.judgement
    if said is not None:
        reply = visible(clipped(said.completion.text, limit))
        found["j"] = [visible(said.judge), None if said.verdict is None else visible(said.verdict), reply]
    elif mathematics:
        found["m"] = 1
    return found | {
        "a": None if answer is None else visible(clipped(answer, max(limit // 2, SHORT // 10))),
        "g": visible(clipped(result.target, SHORT)),
        "x": visible(clipped(". ".join([result.score.explanation, *errors]).strip(". "), SHORT)),
        "p": visible(clipped(result.prompt, limit)),
        "s": [[kind, visible(clipped(text, limit))] for kind, text in segments(result)],
    }


def segments(result: Result) -> list[tuple[str, str]]:
    """The completions in pieces: `text`, the `stop` string that ended one, each `cue` that was put in the mouth, and what was `elicited`.

    Where a text does not hold its pieces as expected it stays whole.
    """
    if choices := likelihood.choices_of(result):
        return [("text", likelihood.table(choices))]
    if not result.completions:
        return [("text", result.text)] if result.text else []
    first, *rest = result.completions
    stop = [("stop", first.stop_string)] if first.stop_string else []
    if not rest:
        return _present([("text", result.text or first.text), *stop])
    begin, whole = result.text.find(first.text), result.text
    cut = begin + len(first.text)
    pieces = [("text", whole[:cut])]
    for before, after in pairwise(result.completions):
        at_end = after is rest[-1]
        end = len(whole) - len(after.text) if at_end else whole.find(after.text, cut)
        if begin < 0 or end < cut or not whole.startswith(after.text, end):
            return [("text", whole)]
        between = whole[cut:end]
        if before.stop_string and between.startswith(before.stop_string):
            pieces.append(("stop", before.stop_string))
            between = between[len(before.stop_string) :]
        pieces += [("cue", between), ("elicited" if at_end and result.elicited else "text", after.text)]
        cut = end + len(after.text)
    return _present(pieces)


def _present(pieces: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in pieces if text]


def _times(timings: Sequence[Timing]) -> dict[str, float | None]:
    """The seconds of all completions together, of the first one to and between its tokens; none where nothing was timed."""
    if not timings:
        return {}
    sums = {part: sum(getattr(t, part) for t in timings) for part in ("queue", "prefill", "decode", "e2e")}
    found = sums | {"ttft": timings[0].ttft, "inter": timings[0].inter_token}
    return {name: None if value is None else round(value, 5) for name, value in found.items()}
