"""The settings `custom.*`: data of one's own, asked as the benchmark `custom`; and what conf/benchmark/custom.yaml makes of them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from llmbench.config.choices import Grade
from llmbench.config.paths import config_folder
from llmbench.errors import ConfigError

BENCHMARK = "custom"
"""The name in conf/benchmark; a run calls the benchmark after its data."""
HUB = "hub:"
OPTIONS = "(?:question|answer|choices|subject|count_from)"
UNMAPPED = "(?:worked|tolerance)"
"""Options of the generic benchmarks, and of these those that no setting `custom.*` stands for."""
CLASSES = "llmbench.benchmarks.generic"


@dataclass
class CustomSettings:
    """Data of one's own, as the benchmark `custom`."""

    # a file (.jsonl, .json, .csv or .parquet), or hub:ORG/NAME, hub:ORG/NAME:CONFIG, hub:ORG/NAME:CONFIG:SPLIT
    data: str | None = None
    question: str | None = None  # a column, or a template such as '{passage}\n\n{q}'; None: question
    # a column; '#### {solution}' says where in the column `solution` it stands, '{}' is the column `answer`; None: answer
    answer: str | None = None
    # a column with a list, or several columns as [a,b,c,d]; None: no multiple choice
    choices: Any = None
    # how answers are compared with the gold answers; None: choice where `choices` is given
    grade: Grade | None = None
    subject: str | None = None  # a column that the report groups by
    # 0 or 1: the number of the first choice, where the gold answers are numbers and the data leave it open
    count_from: int | None = None
    name: str | None = None  # of the benchmark, in folders and tables; None: the file's, or the data set's

    @property
    def benchmark(self) -> str:
        """What a run calls the benchmark; see `benchmark_name`."""
        return benchmark_name(self.data, self.name)


class Asked(NamedTuple):
    """How a grade's questions are asked: the class that grades them, the instruction behind each, and the cue where no answer stands."""

    kind: str
    instruction: str = ""
    cue: str = ""


BOX = "\n\nThe final answer is \\boxed{"
GRADES = {
    Grade.math: Asked("MathAnswer", "Reason step by step, and put the final answer in \\boxed{}.", BOX),
    Grade.number: Asked(
        "NumberAnswer", "Reason step by step, and end with the final number.", "\nThe final answer is"
    ),
    Grade.integer: Asked(
        "IntegerAnswer", "Reason step by step, and put the final answer, a whole number, in \\boxed{}.", BOX
    ),
    Grade.choice: Asked(
        "MultipleChoice",
        "Think it through, and end with a line `Answer: LETTER`, where LETTER is that of the right choice.",
        "\nAnswer:",
    ),
    Grade.exact: Asked(
        "ExactMatch", "End with a line `Answer: ANSWER`, where ANSWER is the answer alone.", "\nAnswer:"
    ),
    Grade.contains: Asked("ContainsMatch"),
    Grade.regex: Asked("RegexMatch"),
    Grade.judge: Asked("JudgedAnswer", cue="\nAnswer:"),
}


def resolved(what: str, custom: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a setting of any type
    """Returns what a setting of the benchmark `custom` is, by the settings `custom.*`; conf/benchmark/custom.yaml asks.

    Raises:
        ConfigError: They do not say how answers are graded, or do not go together.
    """
    asked, data = GRADES[_grade(custom)], str(custom["data"] or "")
    found: dict[str, Callable[[], Any]] = {
        "module": lambda: f"{CLASSES}:{asked.kind}",
        "instruction": lambda: asked.instruction,
        "cue": lambda: asked.cue,
        "title": lambda: custom["name"] or _data_name(data) or "Own data",
        "data_files": lambda: None if data.startswith(HUB) else data or None,
        "hub_id": lambda: _on_hub(data)[0],
        "hub_config": lambda: _on_hub(data)[1],
        "split": lambda: _on_hub(data)[2],
    }
    return found[what]()


def _grade(custom: Mapping[str, Any]) -> Grade:
    grade, choices = custom["grade"], custom["choices"]
    if grade is None and choices is None:
        names = ", ".join(each.value for each in Grade)
        raise ConfigError(
            f"Say how answers are compared with the gold answers: type custom.grade=NAME, one of {names}; or custom.choices=COLUMN for multiple choice."
        )
    if grade not in (None, Grade.choice) and choices is not None:
        raise ConfigError(
            f"custom.choices goes with custom.grade=choice, not with custom.grade={grade.value}; leave one of them out."
        )
    if choices is None and grade is Grade.choice:
        raise ConfigError(
            "custom.grade=choice wants the choices: type custom.choices=COLUMN, or custom.choices=[a,b,c,d] for one in each column."
        )
    return Grade.choice if grade is None else Grade(grade)


def _on_hub(data: str) -> tuple[str | None, str | None, str]:
    """The data set, its configuration and its split."""
    if not data.startswith(HUB):
        return None, None, "test"
    found = re.fullmatch(r"hub:([\w.-]+(?:/[\w.-]+)?)(?::([^:]*))?(?::([^:]+))?", data, re.ASCII)
    if found is None:
        raise ConfigError(
            f"custom.data={data} is refused: a data set on the hub is hub:ORG/NAME, hub:ORG/NAME:CONFIG or hub:ORG/NAME:CONFIG:SPLIT."
        )
    return found[1], found[2] or None, found[3] or "test"


def benchmark_name(data: str | None, name: str | None) -> str:
    """Returns what a run calls the benchmark: a word that can be part of a folder's name and of a setting's.

    A name that llmbench gives a benchmark of its own is not taken from a file: tables could not tell the two apart.

    >>> benchmark_name("data/my questions.v2.csv", None), benchmark_name("hub:openai/gsm8k:main", None)
    ('my_questions_v2', 'own_gsm8k')
    """
    plain = re.sub(r"\W+", "_", name or _data_name(data or "")).strip("_") or BENCHMARK
    taken = not name and plain != BENCHMARK and (config_folder() / "benchmark" / f"{plain}.yaml").is_file()
    return f"own_{plain}" if taken else plain


def _data_name(data: str) -> str:
    """A file's name without its ending, or a data set's without its organisation."""
    if data.startswith(HUB):
        return data.removeprefix(HUB).split(":")[0].rpartition("/")[2]
    return PurePath(data).stem


def as_typed(message: str, name: str, *, own: bool) -> str:
    """Returns a message about a benchmark's options or data with the names of the settings that hold them.

    Args:
        message: Names options as `question=`, and where the data is as `benchmarks.NAME.data_files`.
        name: The benchmark's name in the run.
        own: Whether it is the benchmark `custom`.
    """
    prefix = f"{BENCHMARK}." if own else f"benchmarks.{name}.options."
    found = re.sub(rf"(?<![\w.])(?={OPTIONS}=)", prefix, message)
    found = re.sub(rf"(?<![\w.])(?={UNMAPPED}=)", f"benchmarks.{name}.options.", found)
    return re.sub(rf"benchmarks\.{name}\.(data_files|hub_id)", "custom.data", found) if own else found


def joined_names(benchmarks: Iterable[str], data: str | None, name: str | None) -> str:
    """Returns the names of a run's benchmarks, for its folder."""
    return "-".join(benchmark_name(data, name) if each == BENCHMARK else each for each in benchmarks)
