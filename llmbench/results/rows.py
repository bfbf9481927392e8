"""One row a result: what exports write and `Run.to_pandas` gives."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from llmbench.records import Result, Timing
from llmbench.results import cache_use
from llmbench.results.thinking_use import last_own

if TYPE_CHECKING:
    import pandas as pd

STRING, INTEGER, FLOAT, BOOLEAN = "string", "int64", "float64", "bool"
COLUMNS = {
    "benchmark": STRING,
    "id": STRING,
    "repeat": INTEGER,
    "outcome": STRING,
    "value": FLOAT,
    "answer": STRING,
    "target": STRING,
    "explanation": STRING,
    "elicited": BOOLEAN,
    "finish_reason": STRING,
    "stop_string": STRING,
    "error": STRING,
    "prompt_tokens": INTEGER,
    "output_tokens": INTEGER,
    "thinking_tokens": INTEGER,
    "cached_tokens": INTEGER,
    "queued": FLOAT,
    "finished": FLOAT,
    "queue_s": FLOAT,
    "prefill_s": FLOAT,
    "ttft_s": FLOAT,
    "decode_s": FLOAT,
    "e2e_s": FLOAT,
    "inter_token_s": FLOAT,
    "from_cache": BOOLEAN,
    "judge": STRING,
    "verdict": STRING,
    "prompt_hash": STRING,
    "sealed": BOOLEAN,
    "prompt": STRING,
    "text": STRING,
    "fields": STRING,
}
"""The columns with pyarrow's names of their types. `ttft_s` and `inter_token_s` are the first completion's, `finish_reason` and
`stop_string` those of the text before its answer was elicited; the other times and the tokens written are the sums over all completions.
`thinking_tokens` are those of `output_tokens` up to the end of a think block. Where a part is `from_cache`, the response
cache's, there are no times. `fields` is JSON."""
SECRET = ("answer", "explanation", "error", "prompt", "text", "fields")
"""Null where the benchmark is sealed."""
JSON = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_SURROGATE = re.compile("[\ud800-\udfff]")
KINDS = {STRING: "string", INTEGER: "Int64", FLOAT: "float64", BOOLEAN: "bool"}
"""What pandas calls the types of the columns."""


def clean(text: str) -> str:
    """The text with U+FFFD for what UTF-8 cannot hold."""
    return _SURROGATE.sub("\ufffd", text)


def rows(results: Iterable[Result], sealed: frozenset[str] | set[str]) -> list[dict[str, Any]]:
    """A row a result under the names of `COLUMNS`; secrets of sealed benchmarks are None."""
    return [_row(result, sealed=result.benchmark in sealed) for result in results]


def _row(result: Result, *, sealed: bool) -> dict[str, Any]:
    first, last = result.completions[0] if result.completions else None, last_own(result)
    row: dict[str, Any] = {
        "benchmark": result.benchmark,
        "id": result.sample_id,
        "repeat": result.repeat,
        "outcome": result.score.outcome.value,
        "value": float(result.score.value),
        "answer": result.score.answer,
        "target": result.target,
        "explanation": result.score.explanation,
        "elicited": result.elicited,
        "finish_reason": last and last.finish_reason.value,
        "stop_string": last and last.stop_string,
        "error": next((c.error for c in result.completions if c.error), None),
        "prompt_tokens": first and first.prompt_tokens,
        "output_tokens": sum(c.output_tokens for c in result.completions),
        "thinking_tokens": result.thinking and result.thinking.tokens,
        "cached_tokens": sum(c.cached_tokens for c in result.completions),
        **_times(cache_use.timings(result)),
        "from_cache": any(completion.from_cache for completion in result.completions),
        "judge": result.judgement and result.judgement.judge,
        "verdict": result.judgement and result.judgement.verdict,
        "prompt_hash": result.prompt_hash,
        "sealed": sealed,
        "prompt": result.prompt,
        "text": result.text,
        "fields": orjson.dumps(dict(result.fields), option=JSON, default=str).decode(),
    }
    if sealed:
        row |= dict.fromkeys(SECRET)
    return {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}


def _times(timings: Sequence[Timing]) -> dict[str, float | None]:
    if not timings:
        return {name: None for name in COLUMNS if name.endswith("_s") or name in ("queued", "finished")}
    return {
        "queued": timings[0].queued,
        "finished": timings[-1].finished,
        "queue_s": math.fsum(t.queue for t in timings),
        "prefill_s": math.fsum(t.prefill for t in timings),
        "ttft_s": timings[0].ttft,
        "decode_s": math.fsum(t.decode for t in timings),
        "e2e_s": math.fsum(t.e2e for t in timings),
        "inter_token_s": timings[0].inter_token,
    }


def frame(results: Sequence[Result], sealed: frozenset[str]) -> "pd.DataFrame":
    """The rows as a table: the columns of `COLUMNS`, with one named `fields.NAME` for each field of the questions in place of `fields`.

    What was not measured is missing, as are the secrets of sealed benchmarks.
    """
    import pandas as pd

    columns = {name: KINDS[kind] for name, kind in COLUMNS.items() if name != "fields"}
    table = pd.DataFrame(rows(results, sealed), columns=list(columns)).astype(columns)
    own = [{} if result.benchmark in sealed else dict(result.fields) for result in results]
    for name in dict.fromkeys(name for fields in own for name in fields):
        table[f"fields.{name}"] = pd.Series([fields.get(name) for fields in own], dtype="object")
    return table.infer_objects()
