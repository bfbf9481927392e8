"""The fuzzers' questions for seconds, through hypothesis; `python -m tests.fuzz` asks them for as long as wanted."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmbench.answers import (
    choice,
    code_block,
    code_blocks,
    integer_answer,
    math_answer,
    number_answer,
    patch,
)
from llmbench.benchmarks.rows import parse_json
from llmbench.benchmarks.swe import prompt
from llmbench.cli.compose import compose
from llmbench.engine.fake import nonsense
from llmbench.errors import ConfigError, DataError, RunError
from llmbench.results.reader import load_run
from llmbench.system import files
from tests.fuzz import config, journal, patches, rows
from tests.fuzz.common import attempt, mutate_bytes, mutate_value
from tests.helpers.runs import make

pytestmark = pytest.mark.slow

QUICK = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2", "#### 2", "{}"])
)
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
TEXT = st.text(max_size=200) | st.lists(
    st.sampled_from([*patches.PARTS, "\\boxed{", "The answer is ", "(B)", "1/0", "x"]), max_size=30
).map("".join)


def said_of(call: Callable[[], object], kind: type[Exception]) -> str:
    """What an error of this kind says; any other is the test's failure."""
    try:
        call()
    except kind as error:
        return str(error)
    return "taken"


def is_sentence(said: str) -> bool:
    return bool(said.strip()) and "\n" not in said


@pytest.mark.parametrize("name", rows.BENCHMARKS)
@QUICK
@given(value=DATA, place=st.integers(0), whole=st.booleans())
def test_any_row_is_read_or_refused(
    name: str, value: object, place: int, whole: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    row = dict(rows.BENCHMARKS[name][0])
    row[list(row)[place % len(row)]] = value
    path = tmp_path_factory.getbasetemp() / f"{name}.jsonl"
    path.write_text(json.dumps(value if whole else row) + "\n")
    assert attempt(lambda: rows.read(name, path)) in ("done", "refused")


@QUICK
@given(content=st.binary(max_size=200))
def test_any_bytes_are_rows_or_refused(content: bytes) -> None:
    assert said_of(lambda: [row.items() for row in parse_json(content)], ValueError)


@QUICK
@given(text=TEXT)
def test_extraction_takes_any_text(text: str) -> None:
    for found in (
        integer_answer(text, complete=True),
        math_answer(text),
        number_answer(text),
        choice(text, ["a", "b", "c", "d"], complete=True),
    ):
        assert found is None or isinstance(found, str)
    block, found = code_block(text), patch(text)
    assert block is None or (block.strip() and block == code_blocks(text)[-1])
    assert found is None or found.endswith("\n")
    prompt.fit(text, lambda shorter: len(shorter) < len(text) // 2)


@QUICK
@given(text=TEXT | DATA.map(str))
def test_any_yaml_is_loaded_or_refused(text: str) -> None:
    assert is_sentence(said_of(lambda: files.load_yaml(text.encode("utf-8", "surrogatepass")), ValueError))


@QUICK
@given(seed=st.integers(0))
def test_any_override_is_taken_or_refused(seed: int) -> None:
    typed = config.override(NAMES, Random(seed))
    assert is_sentence(said_of(lambda: compose(["engine=fake", typed]), ConfigError))


NAMES = config.settings()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("runs") / "run", nonsense, "benchmark=arithmetic", "limit=3")


@QUICK
@given(seed=st.integers(0), name=st.sampled_from(sorted(set(journal.FILES) - {"config.yaml"})))
def test_any_change_to_a_run_is_read_or_refused(seed: int, name: str, run: Path) -> None:
    path, generator = run / name, Random(seed)
    before = path.read_bytes()
    try:
        lines = [orjson.loads(line) for line in before.splitlines()] if name.endswith("l") else []
        for line in lines:
            line.pop("crc32", None)  # otherwise the checksum alone tells
        spoilt = [json.dumps(mutate_value(line, generator)).encode() for line in lines]
        path.write_bytes(b"\n".join(spoilt) if spoilt and seed % 2 else mutate_bytes(before, generator))
        assert is_sentence(said_of(lambda: load_run(run), RunError))
    finally:
        path.write_bytes(before)


def test_the_fuzzers_know_a_finding_when_they_see_one() -> None:
    def fail(kind: type[BaseException]) -> None:
        raise kind("some reason")

    assert attempt(lambda: fail(DataError)) == "refused"
    assert attempt(lambda: None) == "done"
    assert "KeyError" in attempt(lambda: fail(KeyError))
    assert "ran longer" in attempt(forever, 0.05)


def forever() -> None:
    while True:
        pass
