"""LiveCodeBench: reading, the window of dates, private tests in all their forms, and verdicts in the real sandbox."""

import base64
import json
import os
import pickle
import time
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from llmbench.benchmarks import livecodebench, programs
from llmbench.benchmarks.base import score
from llmbench.benchmarks.dataset import read_rows
from llmbench.benchmarks.livecodebench import LiveCodeBench
from llmbench.benchmarks.programs import ProgramVerdict, same_output, verdict_of
from llmbench.errors import ConfigError, DataError
from llmbench.records import FinishReason, Outcome, Sample
from tests.helpers.paths import DATA
from tests.helpers.settings import compose

ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (DATA / "lcb_sample.jsonl").read_text().splitlines()
]
OUTPUTS: list[dict[str, Any]] = [
    json.loads(line) for line in (DATA / "lcb_sample_completions.jsonl").read_text().splitlines()
]


def samples(**options: Any) -> dict[str, Sample]:  # noqa: ANN401 - options of the benchmark
    return {sample.id: sample for sample in LiveCodeBench().load(ROWS, {"cpu_s": 3, **options}, 0)}


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("output", OUTPUTS, ids=[f"{o['question_id']}-{o['label']}" for o in OUTPUTS])
def test_verdicts(output: dict[str, Any]) -> None:
    cpu_s = 0.3 if output["expected_error"] == "time_limit" else 3
    sample = samples(cpu_s=cpu_s)[output["question_id"]]
    found = score(LiveCodeBench(), sample, output["completion"], FinishReason.STOP)
    assert (found.outcome is Outcome.CORRECT) == output["expected_pass"], found
    verdict = verdict_of(found)
    if output["expected_error"] == "no_code":
        assert (verdict, found.outcome) == (None, Outcome.NO_ANSWER)
    else:
        expected = (output["expected_error"] or "passed").replace("_", " ")
        assert verdict == ProgramVerdict(expected), found


def test_the_window_of_dates() -> None:
    window = samples(start_date="2024-09-01", end_date="2025-01-18")
    assert sorted(s.fields["date"] for s in window.values()) == [
        "2024-09-07",
        "2024-10-05",
        "2024-12-14",
        "2025-01-18",
    ]
    with pytest.raises(ConfigError, match="no problem is dated 2030-01-01"):
        samples(start_date="2030-01-01")
    with pytest.raises(ConfigError, match="start_date"):
        samples(start_date="soon")


def test_dates_may_come_as_dates() -> None:
    row = {**ROWS[0], "contest_date": datetime(2024, 8, 10)}  # noqa: DTZ001 - as `datasets` gives them
    (sample,) = LiveCodeBench().load([row], {}, 0)
    assert (sample.fields["date"], sample.fields["month"]) == ("2024-08-10", "2024-08")


@pytest.mark.parametrize(
    ("release", "files"),
    [
        ("release_v1", ["test.jsonl"]),
        ("release_v3", ["test.jsonl", "test2.jsonl", "test3.jsonl"]),
        ("v1", ["test.jsonl"]),
        ("v6", ["test6.jsonl"]),
    ],
)
def test_a_release_is_its_files(release: str, files: list[str]) -> None:
    assert LiveCodeBench().hub_files({"release": release}) == files


def test_a_release_is_read_file_by_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "snapshots" / commit
    folder.mkdir(parents=True)
    for name, rows in (("test.jsonl", ROWS[:3]), ("test2.jsonl", ROWS[3:])):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = []

    def download(repository: str, name: str, **options: object) -> str:
        asked.append((repository, name, options["revision"]))
        return str(folder / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    config = compose(["benchmark=livecodebench"]).benchmarks["livecodebench"]
    found, source = read_rows("livecodebench", config, LiveCodeBench().columns, ["test.jsonl", "test2.jsonl"])
    assert [row["question_id"] for row in found] == [row["question_id"] for row in ROWS]
    assert (source.revision, source.rows) == (commit, 8)
    assert asked == [
        ("livecodebench/code_generation_lite", name, "main") for name in ("test.jsonl", "test2.jsonl")
    ]


@pytest.mark.slow
def test_a_release_out_of_reach_is_one_sentence() -> None:
    config = compose(["benchmark=livecodebench"]).benchmarks["livecodebench"]
    with pytest.raises(DataError, match="cannot be reached"):
        read_rows("livecodebench", config, LiveCodeBench().columns, ["test.jsonl"])


def test_the_prompt_is_the_protocols() -> None:
    found = samples()
    with_starter = LiveCodeBench().question(found["llmbench_f1"])
    assert with_starter.startswith("### Question:\nYou are given an array")
    assert "### Format: You will use the following starter code" in with_starter
    assert "```python\nclass Solution:\n    def countBalanced" in with_starter
    assert with_starter.endswith("### Answer: (use the provided format with backticks)\n\n")
    assert "```python\n# YOUR CODE HERE\n```" in LiveCodeBench().question(found["llmbench_s1"])


CASES = [{"input": "1", "output": "2", "testtype": "stdin"}]


class Hostile:
    def __reduce__(self) -> Any:  # noqa: ANN401 - pickle's
        return os.mkdir, ("/tmp/llmbench-unpickled",)  # noqa: S108 - would be left behind


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CASES),
        packed(json.dumps(CASES).encode()),
        *(packed(pickle.dumps(json.dumps(CASES), p)) for p in range(6)),
    ],
)
def test_private_tests_come_in_several_forms(text: str) -> None:
    assert livecodebench.decoded(text) == CASES


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no base64!", ""),
        (base64.b64encode(b"plain").decode(), "decompressing"),
        (packed(pickle.dumps(Hostile())), "a pickle that asks for"),
        (packed(pickle.dumps([json.dumps(CASES)])), "not list"),
        (packed(pickle.dumps(datetime(2024, 1, 1))), "a pickle that asks for datetime"),  # noqa: DTZ001
        (packed(b"\x80\x04]"), ""),
        (packed(b'{"a": 1}'), ""),
        (packed(pickle.dumps('{"a": 1}')), ""),
        ('["a"', "Expecting"),
    ],
)
def test_hostile_private_tests_are_refused(text: str, why: str) -> None:
    fields = {"question_id": "q", "public_test_cases": "", "private_test_cases": text}
    with pytest.raises(DataError, match=f"the tests of q cannot be read: .*{why}"):
        livecodebench.read_tests(fields)
    assert not Path("/tmp/llmbench-unpickled").exists()  # noqa: S108


def test_a_zip_bomb_is_refused_before_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livecodebench, "DECODED_BYTES", 1 << 20)
    bomb = packed(b"[" + b" " * (64 << 20))
    assert len(bomb) < 100_000
    begun = time.monotonic()
    with pytest.raises(ValueError, match="more than 1 MiB decompressed"):
        livecodebench.decoded(bomb)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "cases", ["[]", '[{"input": 5, "output": "1"}]', '[{"input": "5", "output": ["1"]}]', "[1]"]
)
def test_a_problem_without_proper_tests_is_never_passed(cases: str) -> None:
    fields = {**samples()["llmbench_s1"].fields, "public_test_cases": cases, "private_test_cases": "[]"}
    found = LiveCodeBench().grade(Sample("x", fields, ""), "print(1)")
    assert (found.outcome, verdict_of(found)) == (Outcome.ERROR, ProgramVerdict.REFUSED)


@pytest.mark.usefixtures("sandboxed")
def test_a_number_too_large_to_show_is_a_wrong_answer() -> None:
    found = LiveCodeBench().grade(samples()["llmbench_f1"], "def countBalanced(nums): return 10 ** 5000")
    assert verdict_of(found) is ProgramVerdict.WRONG_ANSWER


@pytest.mark.parametrize(
    "options", [{"cpu_s": True}, {"cpu_s": float("inf")}, {"memory_mib": 10**14}, {"cpu_s": 0}]
)
def test_limits_without_bounds_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        samples(**options)


def test_tests_that_cannot_be_read_are_an_error_not_a_wrong_answer() -> None:
    sample = Sample("x", {**samples()["llmbench_s1"].fields, "private_test_cases": "no base64!"}, "")
    found = LiveCodeBench().grade(sample, "print(1)")
    assert (found.outcome, verdict_of(found)) == (Outcome.ERROR, ProgramVerdict.REFUSED)


def test_large_tests_stay_out_of_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = samples()["llmbench_s1"]
    assert LiveCodeBench().stored_fields(sample)["private_test_cases"] == sample.fields["private_test_cases"]
    monkeypatch.setattr(programs, "JOURNAL_CHARACTERS", 10)
    kept = LiveCodeBench().stored_fields(sample)
    assert "private_test_cases" not in kept
    found = LiveCodeBench().grade(Sample("x", kept, ""), "print(1)")
    assert (found.outcome, "too large" in found.explanation) == (Outcome.ERROR, True)


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        ("1 2\n3\n", "1 2\n3", True),
        ("  1 2  \n3", "1 2\n3", True),
        ("2.5", "2.50", True),
        ("1e3", "1000", True),
        ("1\n\n2", "1\n2", False),
        ("1 2 3", "1 2", False),
        ("Yes", "yes", False),
        ("50000000000000001", "50000000000000000", False),
        ("0.1", "0.1000000001", False),
        ("nan", "x", False),
        ("", "", True),
    ],
)
def test_outputs_are_compared_by_the_protocols_rule(found: str, expected: str, *, same: bool) -> None:
    assert same_output(found, expected) is same
