r"""LiveCodeBench, code generation: problems of programming contests with dates (Jain et al., 2024, https://arxiv.org/abs/2403.07974).

Data: livecodebench/code_generation_lite, its files test.jsonl, test2.jsonl, … : release_vN is the first N of them. Tests are
stdin/stdout programs (AtCoder, Codeforces) or calls of a method (LeetCode); all public and private ones must pass.
A row: {"question_id": "abc301_a", "question_content": "…", "starter_code": "", "difficulty": "easy", "contest_date":
"2023-05-13T00:00:00", "public_test_cases": "[{\"input\": …", "private_test_cases": "eJx…", "metadata": "{}"}
Protocol: LiveCodeBench's own prompt for chat models (lcb_runner/prompts/code_generation.py); the last closed fenced block; its
comparison of outputs; 6 s a test, here of CPU time. Differences: each test runs in a process of its own, and `sys.stdin.buffer`
works; the original shares one process among a problem's tests and counts wall time.
"""

import base64
import io
import json
import pickle
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import orjson

from llmbench import answers, sandbox
from llmbench.benchmarks import programs
from llmbench.benchmarks.base import check_options
from llmbench.benchmarks.dataset import Row, check_text, text_of
from llmbench.benchmarks.programs import Judged, ProgramBenchmark, ProgramVerdict, Test
from llmbench.errors import ConfigError, DataError
from llmbench.records import Sample

RELEASES = 6
LEAST_MIB, MOST_MIB = 64, 1 << 16
"""Python itself needs some."""
DECODED_BYTES = 512 << 20
"""Private tests of one problem, decompressed; the largest published are about 150 MB."""
STARTER = "You will use the following starter code to write the solution to the problem and enclose your code within delimiters."
PROGRAM = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). "
    "Enclose your code within delimiters as follows."
)
"""Both sentences are the protocol's."""
HEADER = (
    "".join(
        f"from {name} import *\n"
        for name in (
            "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools",
            "functools", "operator", "io", "sys", "json", "builtins", "typing",
        )
    )
    + "import string, re, datetime, collections, heapq, bisect, copy, math, random, statistics, itertools, functools\n"
    + "import operator, io, sys, json\nsys.setrecursionlimit(50000)\n"
)  # fmt: skip
"""What the protocol imports before a program."""


class LiveCodeBench(ProgramBenchmark):
    """Programs and methods that the model writes, run against tests."""

    columns = ("question_id", "starter_code", "public_test_cases", "private_test_cases")

    def hub_files(self, options: Mapping[str, Any]) -> list[str]:
        """The data set's files of a release: `release_v3` is the first three, `v3` the third alone.

        Raises:
            ConfigError: An option is refused.
        """
        _check_options(options)
        release = str(options.get("release", f"release_v{RELEASES}"))
        number = int(release.rpartition("v")[2])
        names = [f"test{n if n > 1 else ''}.jsonl" for n in range(1, number + 1)]
        return names if release.startswith("release") else names[-1:]

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples named by `question_id`, of the window of dates.

        Raises:
            DataError: A row cannot be read.
            ConfigError: An option is refused, or the window holds no problem.
        """
        _check_options(options)
        first, last = (
            options.get(name) and date.fromisoformat(str(options[name])).isoformat()
            for name in ("start_date", "end_date")
        )
        found = [_sample(row, index, options) for index, row in enumerate(rows)]
        window = [
            sample
            for sample in found
            if not ((first and sample.fields["date"] < first) or (last and sample.fields["date"] > last))
        ]
        if not window:
            raise ConfigError(
                f"livecodebench: no problem is dated {first or '…'} to {last or '…'}; widen the window."
            )
        return window

    def question(self, sample: Sample) -> str:
        """The protocol's question."""
        starter = sample.fields.get("starter_code")
        form = (
            f"{STARTER}\n```python\n{starter}\n```"
            if starter
            else f"{PROGRAM}\n```python\n# YOUR CODE HERE\n```"
        )
        return (
            f"### Question:\n{sample.fields['question_content']}\n\n### Format: {form}\n\n"
            "### Answer: (use the provided format with backticks)\n\n"
        )

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The last closed fenced block."""
        return answers.code_block(text)

    def judged(self, sample: Sample, code: str) -> Judged:
        """Runs all tests in the sandbox, public ones first, until one is not passed."""
        fields = sample.fields
        if fields.get("private_test_cases") is None:
            return Judged(ProgramVerdict.REFUSED, programs.NOT_KEPT)
        try:
            tests = read_tests(fields)
        except DataError as error:
            return Judged(ProgramVerdict.REFUSED, str(error))
        cpu_s = fields["cpu_s"]
        limits = sandbox.Limits(cpu_s=cpu_s, idle_s=cpu_s, memory_bytes=fields["memory_mib"] << 20)
        with sandbox.preload(limits) as box:
            return programs.judge(box, code, HEADER, tests, fields.get("function"))

    def subject(self, sample: Sample) -> str | None:
        """Its difficulty: easy, medium or hard."""
        found = sample.fields.get("difficulty")
        return None if found is None else str(found)

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What results are grouped by, and what grading needs; large tests are left out."""
        fields = sample.fields
        kept = {
            key: fields.get(key)
            for key in ("question_id", "difficulty", "month", "function", "cpu_s", "memory_mib")
        }
        tests = {key: fields[key] for key in ("public_test_cases", "private_test_cases")}
        is_small = sum(len(str(text)) for text in tests.values()) <= programs.JOURNAL_CHARACTERS
        return {**kept, **tests} if is_small else kept


def _is_date(value: object) -> bool:
    try:
        date.fromisoformat(str(value))
    except ValueError:
        return value is None
    return True


CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "window": lambda value: value is None or isinstance(value, str),
    "windows": lambda value: isinstance(value, Mapping),
    "release": lambda value: re.fullmatch(rf"(?:release_)?v[1-{RELEASES}]", str(value)) is not None,
    "start_date": _is_date,
    "end_date": _is_date,
    "cpu_s": programs.are_seconds,
    "memory_mib": lambda value: isinstance(value, int) and LEAST_MIB <= value <= MOST_MIB,
}


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuses options that there are not; a window's name has already led to its dates and release, in the YAML."""
    check_options("livecodebench", options, CHECKS)
    window, known = options.get("window"), options.get("windows") or {}
    if window is not None and window not in known:
        raise ConfigError(
            f"benchmarks.livecodebench.options.window={window} is refused: there are {', '.join(known) or 'none'}; "
            "or type start_date and end_date."
        )


def _sample(row: Row, index: int, options: Mapping[str, Any]) -> Sample:
    check_text(row, "question_content", index)
    name = text_of(row, "question_id", index)
    try:
        metadata = orjson.loads(row.get("metadata") or "{}")
        function = metadata.get("func_name")
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"livecodebench: the metadata of {name} cannot be read: {error}; fix the row."
        ) from error
    derived = {
        "date": str(row.get("contest_date") or "")[:10],
        "function": function,
        "cpu_s": float(options.get("cpu_s", 6)),
        "memory_mib": int(options.get("memory_mib", 2048)),
    }
    return Sample(name, {**row, **derived, "month": derived["date"][:7]}, "")


def read_tests(fields: Mapping[str, Any]) -> list[Test]:
    """Public and private tests.

    Raises:
        DataError: They cannot be read, or are too large.
    """
    try:
        texts = fields["public_test_cases"] or "[]", fields["private_test_cases"] or "[]"
        tests = [_test(case, fields.get("function")) for text in texts for case in decoded(text)]
        if not tests:
            raise ValueError("there are none")  # noqa: TRY301
    except Exception as error:  # of JSON, base64, zlib and pickle: their kinds are many
        raise DataError(f"the tests of {fields.get('question_id')} cannot be read: {error}") from error
    return tests


def _test(case: Mapping[str, str], function: str | None) -> Test:
    given, expected = case["input"], case["output"]
    if not isinstance(given, str) or not isinstance(expected, str):
        raise TypeError("an input or output is not text")
    if function is None:
        return Test(given, expected)
    return Test(given, expected, tuple(json.loads(line) for line in given.split("\n")), json.loads(expected))


def decoded(text: str) -> list[Any]:
    """Tests: JSON, or base64 of zlib of JSON or of a pickled text, without ever making an object of a class.

    Raises:
        ValueError: They are larger than `DECODED_BYTES`; or another error where they are none of these.
    """
    if text.lstrip()[:1] == "[":
        data: Any = text
    else:
        inflate = zlib.decompressobj()
        data = inflate.decompress(base64.b64decode(text, validate=True), DECODED_BYTES)
        if inflate.unconsumed_tail:
            raise ValueError(f"more than {DECODED_BYTES >> 20} MiB decompressed")
        if data[:1] != b"[":
            data = _Text(io.BytesIO(data)).load()
    found: list[Any] = json.loads(data)
    return found


class _Text(pickle.Unpickler):
    """Reads a pickled text, or a list of such: a class or a function is refused."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - never returns
        """Refuses."""
        raise ValueError(f"a pickle that asks for {module}.{name}")
