"""Results as lines of the journal, and back."""

import base64
import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from llmbench.records import Completion, Judgement, Outcome, Result, Score, Thinking
from llmbench.results import journal
from llmbench.system import decoding, files

SEALED = "sealed"
_SECRET_FIELDS = ("prompt", "text", "fields", "completions", "score", "judgement")


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
    if (said := result.judgement) is not None:
        row["judgement"] = {
            "judge": said.judge,
            "verdict": said.verdict,
            "prompt_hash": said.prompt_hash,
            "completion": _completion_row(said.completion),
        }
    if (thought := result.thinking) is not None:
        row["thinking"] = dataclasses.asdict(thought)
    if not sealed:
        return row
    secret = {name: row.pop(name) for name in _SECRET_FIELDS if name in row}
    return row | {SEALED: base64.b64encode(zlib.compress(orjson.dumps(secret))).decode()}


def line_of(result: Result, *, sealed: bool = False) -> bytes:
    """The journal's line of a result, with its line break."""
    return journal.line_of(to_row(result, sealed=sealed))


def _completion_row(completion: Completion) -> dict[str, Any]:
    row = dataclasses.asdict(dataclasses.replace(completion, output_ids=()))
    del row["output_ids"]
    if not completion.choices:
        del row["choices"]
    return row


class _Answer(msgspec.Struct):
    """The part of a score that a sealed line hides."""

    answer: str | None
    explanation: str


class _Line(msgspec.Struct):
    """A journal line that is not sealed, or one whose seal is opened; without token ids."""

    benchmark: str
    id: str
    repeat: int
    outcome: Outcome
    value: float
    elicited: bool
    target: str
    prompt_hash: str
    prompt: str
    text: str
    fields: dict[str, Any]
    score: _Answer
    completions: tuple[Completion, ...]
    judgement: Judgement | None = None
    thinking: Thinking | None = None


def from_row(row: Mapping[str, Any]) -> Result:
    """The result of a journal line.

    Raises:
        TypeError: A field is missing, or holds something else than it should.
        ValueError: A field holds what it cannot.
    """
    whole = dict(row)
    if SEALED in whole:
        inflate = zlib.decompressobj()
        whole |= orjson.loads(inflate.decompress(base64.b64decode(whole[SEALED]), files.JSON_BYTES))
    if isinstance(listed := whole.get("completions"), list):
        whole["completions"] = list(map(_without_ids, listed))
    if isinstance(said := whole.get("judgement"), dict):
        whole["judgement"] = {**said, "completion": _without_ids(said.get("completion"))}
    line = decoding.build(whole, _Line)
    if not 0 <= line.value <= 1:
        raise ValueError(f"value must be from 0 to 1, not {line.value}")
    return Result(
        benchmark=line.benchmark,
        sample_id=line.id,
        repeat=line.repeat,
        target=line.target,
        prompt=line.prompt,
        prompt_hash=line.prompt_hash,
        text=line.text,
        completions=line.completions,
        score=Score(line.value, line.score.answer, line.outcome, line.score.explanation),
        elicited=line.elicited,
        fields=line.fields,
        judgement=line.judgement,
        thinking=line.thinking,
    )


def _without_ids(completion: Any) -> Any:  # noqa: ANN401 - a part of a line
    """A completion's part of a line as the record has it."""
    return {**completion, "output_ids": ()} if isinstance(completion, dict) else completion
