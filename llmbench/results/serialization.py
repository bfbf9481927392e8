"""Results as lines of the journal, and back."""

import base64
import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from llmbench.records import Completion, FinishReason, Outcome, Result, Score, Timing
from llmbench.results import journal
from llmbench.system import files, schema

SEALED = "sealed"


_SECRET_FIELDS = ("prompt", "text", "fields", "completions", "score")


def to_row(result: Result, *, sealed: bool = False) -> dict[str, Any]:
    """A result as a journal line holds it: without token ids, and sealed where its question must not be read."""
    row = {
        "benchmark": result.benchmark,
        "id": result.sample_id,
        "repeat": result.repeat,
        "outcome": result.score.outcome.value,
        "value": result.score.value,
        "elicited": result.elicited,
        "target": result.target,
        "prompt_hash": result.prompt_hash,
        "prompt": result.prompt,
        "text": result.text,
        "fields": dict(result.fields),
        "score": {"answer": result.score.answer, "explanation": result.score.explanation},
        "completions": [_completion_row(completion) for completion in result.completions],
    }
    if not sealed:
        return row
    secret = {name: row.pop(name) for name in _SECRET_FIELDS}
    return row | {SEALED: base64.b64encode(zlib.compress(orjson.dumps(secret))).decode()}


def line_of(result: Result, *, sealed: bool = False) -> bytes:
    """The journal's line of a result, with its line break."""
    return journal.line_of(to_row(result, sealed=sealed))


_COMPLETION = [
    field.name for field in dataclasses.fields(Completion) if field.name not in ("output_ids", "timing")
]


_TIMING = [field.name for field in dataclasses.fields(Timing)]


def _completion_row(completion: Completion) -> dict[str, Any]:
    """Without dataclasses.asdict, which copies every value in depth: the engine waits meanwhile."""
    row = {name: getattr(completion, name) for name in _COMPLETION}
    timing = completion.timing
    row["timing"] = None if timing is None else {name: getattr(timing, name) for name in _TIMING}
    return row


def from_row(row: Mapping[str, Any]) -> Result:
    """The result of a journal line.

    Raises:
        KeyError: The line lacks a field.
        TypeError: A field holds something else than it should.
        ValueError: A field holds what it cannot.
    """
    if not isinstance(row, dict):
        raise TypeError("the line holds no object")
    whole = dict(row)
    if SEALED in whole:
        inflate = zlib.decompressobj()
        whole |= orjson.loads(inflate.decompress(base64.b64decode(whole[SEALED]), files.JSON_BYTES))
    score = Score(
        whole["value"], whole["score"]["answer"], Outcome(whole["outcome"]), whole["score"]["explanation"]
    )
    result = Result(
        benchmark=whole["benchmark"],
        sample_id=whole["id"],
        repeat=whole["repeat"],
        target=whole["target"],
        prompt=whole["prompt"],
        prompt_hash=whole["prompt_hash"],
        text=whole["text"],
        completions=tuple(_completion(entry) for entry in whole["completions"]),
        score=score,
        elicited=whole["elicited"],
        fields=whole["fields"],
    )
    schema.check(result, Result)
    if not 0 <= score.value <= 1:
        raise ValueError(f"value must be from 0 to 1, not {score.value}")
    return result


def _completion(entry: Mapping[str, Any]) -> Completion:
    timing = entry["timing"]
    return Completion(
        **{
            **entry,
            "output_ids": (),
            "finish_reason": FinishReason(entry["finish_reason"]),
            "timing": None if timing is None else Timing(**timing),
        }
    )
