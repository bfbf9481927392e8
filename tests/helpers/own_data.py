"""Files of one's own data, and answers to what is asked of them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmbench.records import Request
from llmbench.run.request_plan import RequestPlan
from tests.helpers.settings import compose

SAID = {
    "exact": "I wonder.\nAnswer: {}.",
    "contains": "It is {}, I think.",
    "regex": "It was 1984.",
    "math": r"So it is \boxed{{{}}}.",
    "integer": r"So it is \boxed{{{}}}.",
    "number": "The final answer is {}.",
    "choice": "Answer: {}",
}


def jsonl(path: Path, *rows: Any) -> None:  # noqa: ANN401
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def sums(count: int = 6) -> list[dict[str, Any]]:
    return [
        {"question": f"What is {n} + {1000 * n}?", "answer": f"{1001 * n:,}", "topic": "ab"[n % 2]}
        for n in range(1, count + 1)
    ]


def colours(folder: Path) -> None:
    (folder / "mine.csv").write_bytes(
        "\ufeffpassage,q,a,b,c,d,label\r\n"
        '"The sky, they say,\r\nis wide.",Its colour?,red,blue,,,B\r\n'
        "雪は白い,何色?,白,黒,赤,,A\r\n"
        "Grass.,Its colour?,red,blue,grey,green,d\r\n".encode()
    )


def grade_of(overrides: Sequence[str]) -> str:
    typed = [word.removeprefix("custom.grade=") for word in overrides if word.startswith("custom.grade=")]
    return typed[0] if typed else "choice"


def golds(overrides: Sequence[str]) -> dict[str, str]:
    (part,) = RequestPlan.read(compose(overrides)).samples.values()
    return {sample.id: sample.target for sample in part.chosen}


def right(overrides: Sequence[str]) -> Callable[[Request], str]:
    targets = golds(overrides)
    return lambda request: SAID[grade_of(overrides)].format(targets[request.sample_id])
