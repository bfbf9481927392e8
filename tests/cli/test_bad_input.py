"""Every file that a user can hand over, as it should not be: one sentence that names it, exit status 1, and no waiting."""

import atexit
import errno
import fcntl
import json
import os
import re
import shutil
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

import llmbench
from llmbench import compare, export, regrade, runs
from llmbench.benchmarks.swe import predictions
from llmbench.cli import job
from llmbench.cli.main import main
from llmbench.config.choices import Startup
from llmbench.config.schema import ModelConfig
from llmbench.engine import bundled_model
from llmbench.engine.cache.store import Answers
from llmbench.engine.checkpoint import Checkpoint, locate
from llmbench.engine.fake import nonsense
from llmbench.engine.tokenizer import HubTokenizer
from llmbench.engine.vllm import startup_history
from llmbench.errors import CacheError, DataError, LlmbenchError, ModelError, RunError
from llmbench.report import __main__ as report
from llmbench.report import trackers
from llmbench.results.manifest import read_record
from llmbench.results.reader import load_run
from llmbench.run import new_process, pipeline
from llmbench.run.request_plan import RequestPlan
from llmbench.sandbox.exclusive import turn
from llmbench.system import files
from llmbench.system.log_capture import captured
from llmbench.telemetry import MemoryTracker
from tests.fuzz.common import UNEXPECTED, limited
from tests.helpers.factories import measured_start
from tests.helpers.runs import MCQ, make
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

LIMIT_S = 60.0
"""Of one case; none of them should take a tenth of it."""
Main = Callable[[Sequence[str]], int]
DEEP = 100_000


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Sockets have short names: they are made from within their folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def place(path: Path, kind: str) -> None:
    """Puts something there that is not a regular file."""
    path.unlink(missing_ok=True)
    targets = {
        "zero": "/dev/zero",
        "null": "/dev/null",
        "loop": path.name,
        "dangling": "nowhere",
        "to a folder": ".",
    }
    if kind in targets:
        path.symlink_to(targets[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a pipe":
        os.mkfifo(path.with_name(f"{path.name}.pipe"))
        path.symlink_to(f"{path.name}.pipe")
    elif kind == "socket":
        with inside(path.parent), socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)


SPECIAL = (
    "missing",
    "folder",
    "pipe",
    "link to a pipe",
    "socket",
    "zero",
    "null",
    "loop",
    "dangling",
    "to a folder",
)


def refused(command: Main, arguments: Sequence[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Runs a command line that must fail; returns its sentence."""
    capfd.readouterr()
    with limited(LIMIT_S):
        status = command(arguments)
    said = capfd.readouterr().err
    assert status == 1, said
    assert not UNEXPECTED.search(said), said
    (sentence,) = [line for line in said.splitlines() if line.startswith("llmbench: ")]
    assert "Traceback" not in said
    return sentence


# The questions


def read(benchmark: str, path: Path) -> None:
    config = compose([f"benchmark={benchmark}", "limit=3"])
    config.benchmarks[benchmark].data_files = str(path)
    RequestPlan.read(config)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_questions_that_are_no_file(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{suffix}"
    place(path, kind)
    with (
        limited(LIMIT_S),
        pytest.raises(DataError, match=rf"rows\{suffix}.*; check benchmarks.gsm8k.data_files") as caught,
    ):
        read("gsm8k", path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a\0b.jsonl", "x" * 5000, "~nobody_of_this_name/x.jsonl", "/dev/zero", "", "."]
)
def test_questions_under_impossible_names(name: str, tmp_path: Path) -> None:
    with inside(tmp_path), pytest.raises(DataError, match="data_files"):
        read("gsm8k", Path(name) if name in ("", ".") else name)  # type: ignore[arg-type]


ROW = '{"question": "1+1?", "answer": "#### 2"}'
CONTENTS: dict[str, tuple[str, bytes, str]] = {
    "empty": (".jsonl", b"", "holds no rows"),
    "NUL bytes": (".jsonl", b"\0" * 100, "line 1"),
    "UTF-16": (".jsonl", ROW.encode("utf-16"), "line 1"),
    "Latin-1": (".jsonl", f"{ROW}\n{ROW.replace('1+1', '1 é 1')}".encode("latin-1"), "line 2"),
    "half a pair": (".jsonl", rb'{"question": "\ud800", "answer": "#### 2"}', "line 1"),
    "too large a number": (".jsonl", b'{"question": "1+1?", "answer": 1e400}', "line 1"),
    "NaN": (".jsonl", b'{"question": "1+1?", "answer": NaN}', "line 1"),
    "beyond 64 bits": (".jsonl", b'{"question": "1+1?", "answer": 123456789012345678901234567890}', "too long to be read exactly"),
    "too deep": (".jsonl", b'{"question": ' + b"[" * DEEP, "line 1"),
    "too deep a list": (".json", b"[" * DEEP, "cannot be read as json"),
    "deep enough to be read": (".jsonl", b'{"question": "?", "answer": "#### 2", "level": ' + b"[" * 900 + b"]" * 900 + b"}", "level|written down"),
    "a list of texts": (".json", b'["a", "b"]', "row 1 is not an object"),
    "a text": (".json", b'"a"', "row 1 is not an object"),
    "nothing under a name": (".jsonl", b'{"question": null, "answer": null}', "Line 1 of the data"),
    "no parquet": (".parquet", b"PAR1 no table PAR1", "cannot be read as parquet"),
    "odd quotes": (".csv", b'question,answer\n"1+1?,"#### 2\n"a"b",\n', "cannot be read as csv|has nothing|text is expected"),
    "CSV with NUL": (".csv", b"question,answer\n\0\0,\0\n", "rows"),
    "CSV in Latin-1": (".csv", "question,answer\nA café?,#### 2\n".encode("latin-1"), "line 2 is not in UTF-8; save the file as UTF-8;"),
    "CSV in UTF-16": (".csv", "question,answer\na,#### 2\n".encode("utf-16"), "cannot be read as csv"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTENTS)
def test_questions_that_cannot_be_read(case: str, tmp_path: Path) -> None:
    suffix, content, hint = CONTENTS[case]
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(content)
    with limited(LIMIT_S), pytest.raises(DataError, match=hint) as caught:
        read("gsm8k", path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_and_doubled_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"question": "2+2?", "question": "1+1?", "answer": "#### 2"}')
    read("gsm8k", path)


def test_a_truncated_table(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"question": ["1+1?"] * 1000, "answer": ["#### 2"] * 1000}), path)
    read("gsm8k", path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read("gsm8k", path)


def test_tables_under_names_with_patterns_and_of_odd_types(tmp_path: Path) -> None:
    from decimal import Decimal

    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "rows[1]*?.parquet"
    columns = {
        "problem": ["?"],
        "answer": ["2"],
        "level": [Decimal("2.50")],
        "subject": [b"bytes"],
        "unique_id": [7],
    }
    parquet.write_table(pa.table(columns), path)
    read("math", path)


HOSTILE: list[tuple[str, dict[str, object]]] = [
    ("aime", {"problem": "?", "answer": "2", "id": None}),
    ("aime", {"problem": "?", "answer": "2", "id": ["a"]}),
    ("aime", {"problem": "?", "answer": "٣"}),
    ("math", {"problem": "?", "answer": None, "solution": None}),
    ("math", {"problem": "?", "answer": "2", "unique_id": {}}),
    ("gpqa", {"Question": "?", "Correct Answer": "a", "Incorrect Answer 1": "b", "Incorrect Answer 2": "c", "Incorrect Answer 3": "a"}),
    ("gpqa", {"Question": "?", "Correct Answer": [1.5], "Incorrect Answer 1": "b", "Incorrect Answer 2": "c", "Incorrect Answer 3": "d"}),
    ("gpqa", {"Question": "?", "Correct Answer": "a", "Incorrect Answer 1": "b", "Incorrect Answer 2": "c", "Incorrect Answer 3": "d", "choices": 7, "answer": "A"}),
    ("gpqa", {"Question": "?", "Correct Answer": "a", "Incorrect Answer 1": "b", "Incorrect Answer 2": "c", "Incorrect Answer 3": "d", "choices": ["a", "b", "c", "d"], "answer": "Z"}),
    ("gsm8k", {"question": "?", "answer": "no number"}),
    ("arithmetic", {"question": "?", "answer": None, "level": "x"}),
    ("arithmetic", {"question": ["?"], "answer": {}, "level": "x"}),
    ("humaneval", {"task_id": 1, "prompt": "def f():", "entry_point": None, "test": "x"}),
    ("livecodebench", {"question_id": "a", "question_content": "?", "starter_code": "", "public_test_cases": "[]", "private_test_cases": "[]", "metadata": "[" * DEEP}),
    ("livecodebench", {"question_id": "a", "question_content": "?", "starter_code": "", "public_test_cases": "[]", "private_test_cases": "[]", "metadata": '{"func_name": "\\ud800"}'}),
    ("livecodebench", {"question_id": "a", "question_content": "?", "starter_code": "", "public_test_cases": "[]", "private_test_cases": "[]", "metadata": "[1]"}),
    ("livecodebench", {"question_id": "a", "starter_code": "", "public_test_cases": "[]", "private_test_cases": "[]"}),
    ("swe_bench", {"instance_id": "a__b-1", "problem_statement": None}),
    ("swe_bench", {"instance_id": "a\nb", "problem_statement": "x", "files": 7}),
    ("swe_bench", {"instance_id": "a__b-1", "problem_statement": "x", "FAIL_TO_PASS": "{}"}),
    ("swe_bench", {"instance_id": "a__b-1", "problem_statement": "x", "files": "[" * DEEP}),
    ("swe_bench", {"instance_id": "a__b-1", "problem_statement": "x", "files": '{"a": "\\udfff"}'}),
    ("swe_bench", {"instance_id": ["a"], "problem_statement": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("benchmark", "row"), HOSTILE, ids=[f"{n}-{b}" for n, (b, _) in enumerate(HOSTILE)])
def test_rows_with_hostile_fields_are_named(benchmark: str, row: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with limited(LIMIT_S), pytest.raises(DataError) as caught:
        read(benchmark, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_line_says_it_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rows.jsonl"
    os.mkfifo(path)
    arguments = ["engine=fake", "benchmark=gsm8k", f"benchmarks.gsm8k.data_files={path}"]
    assert f"{path} cannot be read (it is a pipe, a socket or a device, not a file)" in refused(
        main, arguments, capfd
    )
    path.unlink()
    path.write_text(f'{ROW}\n{ROW}\n{{"question": "?"}}\n')
    assert (
        f"Line 3 of the data has nothing under 'answer' where text is expected; fix the row ({path})."
        in refused(main, arguments, capfd)
    )


# Settings

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
YAMLS: dict[str, tuple[bytes, str]] = {
    "bomb": (BOMB.encode(), "aliases written out"),
    "alias of itself": (b"a: &a [*a]\n", "holds itself"),
    "object": (b"title: !!python/object/apply:os.system [id]\n", "line 2: could not determine a constructor"),
    "too deep": (b"title: " + b"[" * DEEP, "nested more than 100 deep"),
    "doubled key": (b"title: a\ntitle: b\n", "duplicate key"),
    "keys that are not text": (b"1: a\n[x]: b\n", "fuzz"),
    "unhashable keys": (b"? {a: b}\n: c\n", "fuzz"),
    "NUL": (b"title: a\0b\n", "not allowed|cannot be read"),
    "UTF-16": ("title: é\n".encode("utf-16"), "line 1 is not in UTF-8"),
    "Latin-1": ("a: b\ntitle: é\n".encode("latin-1"), "line 2 is not in UTF-8"),
    "a list": (b"- a\n- b\n", "fuzz"),
    "a text": (b"just a text", "fuzz"),
    "tabs": (b"a:\n\t- b\n", "line 3"),
    "unknown setting": (
        b"fewshotby: x\n",
        "benchmark/fuzz.yaml: There is no setting called 'benchmarks.fuzz.fewshotby'; did you mean benchmarks.fuzz.fewshot_by",
    ),
    "wrong type": (b"max_tokens: [1]\n", "max_tokens"),
    "too large": (b"# " + b"x" * (2 << 20), "MiB, more than"),
}
HEADER = b"# @package benchmarks.fuzz\n"


@pytest.mark.parametrize("case", YAMLS)
def test_settings_in_a_folder_of_ones_own(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content, hint = YAMLS[case]
    (tmp_path / "benchmark").mkdir()
    path = tmp_path / "benchmark" / "fuzz.yaml"
    path.write_bytes(content if case == "UTF-16" else HEADER + content.replace(b"a: b\ntitle", b"title"))
    said = refused(
        main, ["--config-dir", str(tmp_path), "--cfg", "job", "benchmark=fuzz", "engine=fake"], capfd
    )
    assert any(part in said for part in hint.split("|")), said


def test_a_file_that_does_not_say_where_its_settings_belong_is_told_the_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "fuzz.yaml").write_text("title: Fuzz\n")
    said = refused(main, ["--config-dir", str(tmp_path), "--cfg", "job", "benchmark=fuzz"], capfd)
    assert "benchmark/fuzz.yaml does not say where its settings belong" in said
    assert "`# @package benchmarks.fuzz`" in said


@pytest.mark.parametrize("first", ["", "# @package _global_\n"])
def test_a_benchmark_that_begins_with_the_base_alone_is_told_the_line(
    first: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmark").mkdir()
    path = tmp_path / "benchmark" / "fuzz.yaml"
    path.write_text(f"{first}defaults: [/benchmark_base@_here_, _self_]\ntitle: Fuzz\n")
    said = refused(main, ["--config-dir", str(tmp_path), "--cfg", "job", "benchmark=fuzz"], capfd)
    assert "let its first line be `# @package benchmarks.NAME`" in said


@pytest.mark.parametrize("kind", SPECIAL)
def test_settings_that_are_no_file(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "benchmark").mkdir()
    place(tmp_path / "benchmark" / "fuzz.yaml", kind)
    said = refused(main, ["--config-dir", str(tmp_path), "--cfg", "job", "benchmark=fuzz"], capfd)
    assert "There is no benchmark called 'fuzz'" in said


@pytest.mark.parametrize("kind", ["missing", "pipe", "zero", "loop"])
def test_a_folder_of_settings_that_is_none(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place(tmp_path / "conf", kind)
    assert "conf" in refused(main, ["--config-dir", str(tmp_path / "conf"), "--cfg", "job"], capfd)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("benchmarks.arithmetic=${oc.env:HOME}", "benchmarks.arithmetic must be an object"),
        ("seed=99999999999999999999", "seed must be a number of at most 64 bits"),
        ("model.sampling=${seed}", "model.sampling"),
        ("export=3", "export=3 is refused"),
        ("~benchmarks={}", "benchmarks"),
        ("+profile=${nope}", "nope"),
    ],
)
def test_settings_that_lead_to_something_else(
    typed: str, hint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hint in refused(main, ["engine=fake", f"runs_dir={tmp_path}", typed], capfd)


def test_aliases_within_reason_are_read() -> None:
    assert files.load_yaml(b"a: &a [1, 2]\nb: *a\nc: {<<: {d: *a}}\n") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": [1, 2]},
    }


# Checkpoints

CONFIG = b'{"model_type": "llama"}'


def checkpoint(folder: Path) -> Path:
    """One that passes, as far as it is looked at before loading."""
    folder.mkdir()
    (folder / "config.json").write_bytes(CONFIG)
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    return folder


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"]
)
@pytest.mark.parametrize(
    "kind", [kind for kind in SPECIAL if kind not in ("missing", "folder", "to a folder")]
)
def test_checkpoints_with_files_that_are_none(kind: str, name: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    locate(ModelConfig(name="m", path=str(folder)))
    place(folder / name, kind)
    with limited(LIMIT_S), pytest.raises(ModelError, match="copy the checkpoint again"):
        locate(ModelConfig(name="m", path=str(folder)))


@pytest.mark.parametrize("kind", SPECIAL)
def test_checkpoints_that_are_no_folder(kind: str, tmp_path: Path) -> None:
    place(tmp_path / "model", kind)
    with limited(LIMIT_S), pytest.raises(ModelError, match=r"model.*check model\.path"):
        locate(ModelConfig(name="m", path=str(tmp_path / "model")))


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "~nobody_of_this_name/x"])
def test_checkpoints_under_impossible_names(path: str) -> None:
    with pytest.raises(ModelError, match=r"model\.path"):
        locate(ModelConfig(name="m", path=path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b""), ("config.json", b"[]"), ("config.json", b"[" * DEEP), ("config.json", "{}".encode("utf-16")),
        ("config.json", b'{"a": 1e400}'), ("config.json", b"\0"),
        ("model.safetensors", b""), ("model.safetensors", b"\xff" * 8), ("model.safetensors", struct.pack("<Q", 2) + b"[]"),
        ("model.safetensors", struct.pack("<Q", 9) + b'{"a": 77}'), ("model.safetensors", struct.pack("<Q", 10) + b"[" * 10),
        ("model.safetensors", struct.pack("<Q", 28) + b'{"a": {"data_offsets": "x"}}'),
        ("model.safetensors.index.json", b'{"weight_map": {"a": ["x"], "b": {}}}'),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "x\\u0000y"}}'),
        ("model.safetensors.index.json", b"7"),
    ],
)  # fmt: skip
def test_checkpoints_with_broken_files(name: str, content: bytes, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    (folder / name).write_bytes(content)
    with limited(LIMIT_S), pytest.raises(ModelError, match="copy the checkpoint again"):
        locate(ModelConfig(name="m", path=str(folder)))


def test_a_header_as_long_as_a_huge_file_is_not_read(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 40 << 30))
        file.truncate(50 << 30)  # sparse
    with limited(LIMIT_S), pytest.raises(ModelError, match="is broken"):
        locate(ModelConfig(name="m", path=str(folder)))


@pytest.mark.filterwarnings("ignore")  # the library's own
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\0", b'{"model": {"type": "nope"}}', b"[" * DEEP])
def test_broken_tokenizers(content: bytes, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    (folder / "tokenizer.json").write_bytes(content)
    (folder / "tokenizer_config.json").write_bytes(b'{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with limited(LIMIT_S), pytest.raises(ModelError, match="The tokenizer of"):
        HubTokenizer(Checkpoint(str(folder), None, local=True, folder=str(folder)), trust_remote_code=False)


# Runs


def temporary() -> Path:
    """A folder for as long as the tests run."""
    folder = Path(mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def finished() -> Path:
    return make(temporary() / "run", nonsense, "benchmark=arithmetic", "limit=3")


@cache
def sealed() -> Path:
    return make(
        temporary() / "run", nonsense, "benchmark=gpqa", f"benchmarks.gpqa.data_files={MCQ}", "limit=3"
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(finished(), folder)
    return folder


COMMANDS: dict[str, Callable[[Path], tuple[Main, list[str]]]] = {
    "regrade": lambda run: (regrade.main, [str(run)]),
    "compare": lambda run: (compare.main, [str(finished()), str(run)]),
    "report": lambda run: (report.main, [str(run)]),
    "reports": lambda run: (report.main, [str(finished()), str(run), "--to", str(run.parent / "x.html")]),
    "export": lambda run: (export.main, [str(run)]),
}


@pytest.mark.parametrize("name", ["samples.jsonl", "summary.json", "manifest.json"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_runs_with_files_that_are_none(
    kind: str, name: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if (kind, name) == ("missing", "summary.json"):
        pytest.skip("such a run is read from its journal")
    place(run / name, kind)
    with limited(LIMIT_S), pytest.raises(RunError, match=name if kind != "missing" else "holds no"):
        load_run(run)
    for made in COMMANDS.values():
        command, arguments = made(run)
        assert str(run) in refused(command, arguments, capfd)
    with limited(LIMIT_S):
        assert runs.main([str(run)]) == 0  # listed with its trouble


@pytest.mark.parametrize("kind", [kind for kind in SPECIAL if kind not in ("missing", "dangling")])
def test_runs_whose_settings_are_no_file(kind: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place(run / "config.yaml", kind)
    for name in ("regrade", "compare", "report", "export"):
        command, arguments = COMMANDS[name](run)
        assert "config.yaml cannot be read" in refused(command, arguments, capfd)


@pytest.mark.parametrize("kind", SPECIAL)
def test_folders_that_are_none(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place(tmp_path / "run", kind)
    for made in COMMANDS.values():
        command, arguments = made(tmp_path / "run")
        assert "run" in refused(command, arguments, capfd)
    with pytest.raises(LlmbenchError):
        llmbench.load_run(tmp_path / "run")


BROKEN: list[tuple[str, bytes]] = [
    ("samples.jsonl", b"\0\n\n{}\n{}\n"),
    ("samples.jsonl", b"[]\n[]\n"),
    ("samples.jsonl", b"[" * DEEP + b"\n{}\n"),
    ("samples.jsonl", b"\xff\xfe\n{}\n"),
    ("samples.jsonl", b'{"sealed": "eJw="}\n{}\n'),
    ("samples.jsonl", b'{"sealed": 7}\n{}\n'),
    ("summary.json", b""),
    ("summary.json", b"[]"),
    ("summary.json", b'{"benchmarks": 7}'),
    ("summary.json", b'{"benchmarks": {"arithmetic": {"latency_s": "x"}}}'),
    ("summary.json", b'{"time_s": {"total": "x"}}'),
    ("summary.json", b"[" * DEEP),
    ("manifest.json", b'{"overrides": 7}'),
    ("manifest.json", b'{"samples": {"arithmetic": 7}}'),
    ("manifest.json", b'{"machine": []}'),
    ("manifest.json", "{}".encode("utf-16")),
    ("config.yaml", BOMB.encode()),
    ("config.yaml", b"benchmarks: 7\n"),
    ("config.yaml", b"1: 2\n"),
    ("config.yaml", b"a: !!python/object/apply:os.system [id]\n"),
    ("config.yaml", b"\xff\n"),
    ("config.yaml", b"- a\n"),
    ("config.yaml", b"a: " + b"[" * DEEP),
]


@pytest.mark.parametrize(
    ("name", "content"), BROKEN, ids=[f"{n}-{name}" for n, (name, _) in enumerate(BROKEN)]
)
def test_runs_with_broken_files(
    name: str, content: bytes, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (run / name).write_bytes(content)
    for made in COMMANDS.values():
        command, arguments = made(run)
        assert name in refused(command, arguments, capfd)


def test_a_sealed_line_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sealed(), tmp_path / "run")
    load_run(tmp_path / "run")
    monkeypatch.setattr(files, "JSON_BYTES", 64)
    monkeypatch.setattr(files, "read", lambda path, *_: Path(path).read_bytes())
    with pytest.raises(RunError, match="line 1"):
        load_run(tmp_path / "run")


def test_a_trace_of_nonsense_is_left_out(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [
        b"[]",
        b'{"t": "x", "gpus": [], "engine": null}',
        b"{",
        b"\xff",
        b'{"t": 1, "gpus": 7, "engine": null}',
        b"[" * DEEP,
    ]
    (run / "trace.jsonl").write_bytes(b"\n".join(lines))
    assert report.main([str(run)]) == 0
    assert "written to" in capfd.readouterr().out


@pytest.mark.parametrize(
    "name",
    [".report.html.part", ".samples.regraded.jsonl.part", ".samples.csv.part", ".samples.parquet.part"],
)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_written_follows_no_link(
    name: str, kind: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = run.parent / "mine"
    mine.write_text("mine")
    if kind == "link":
        (run / name).symlink_to(mine)
    else:
        os.mkfifo(run / name)
    for command in (report.main, export.main, regrade.main):
        with limited(LIMIT_S):
            assert command([str(run)]) == 0, capfd.readouterr().err
    assert mine.read_text() == "mine"


def test_a_full_disk_leaves_nothing_half(
    run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = {path.name: path.read_bytes() for path in run.iterdir()}
    monkeypatch.setattr("os.fsync", full)
    for command in (report.main, export.main, regrade.main):
        assert "No space left" in refused(command, [str(run)], capfd)
    with pytest.raises(OSError, match="No space left"):
        predictions.write(run, [], "model")
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "zero", "loop"])
def test_a_sweep_writes_into_no_link(kind: str, mine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = mine.parent / "sweep"
    folder.mkdir()
    if kind == "link":
        (folder / "multirun.yaml").symlink_to(mine)
    else:
        place(folder / "multirun.yaml", kind)
    asked = ["-m", "engine=fake", "benchmark=arithmetic", "limit=1", "seed=1,2", f"hydra.sweep.dir={folder}"]
    assert f"{folder / 'multirun.yaml'} is a link or no file; remove it" in refused(main, asked, capfd)
    assert [path.name for path in folder.iterdir()] == ["multirun.yaml"]


def test_what_a_process_leaves_to_the_next_is_written_into_no_link(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.execv", lambda *_: None)
    monkeypatch.setattr("os.closerange", lambda *_: None)
    monkeypatch.setenv(new_process.VARIABLE, "")
    (mine.parent / new_process.FILE).symlink_to(mine)
    left = new_process.Unfinished(str(mine.parent), 0, 0.0, 1, {})
    new_process.start_again(left, [])
    assert new_process.taken_up() == left
    assert not (mine.parent / new_process.FILE).exists()


def test_damaged_lines_are_put_beside_nothing_of_others(mine: Path, unfinished: Path) -> None:
    with (unfinished / "samples.jsonl").open("ab") as file:
        file.write(b"damaged\n")
    (unfinished / "samples.damaged.jsonl").symlink_to(mine)
    assert main(["engine=fake", f"resume={unfinished}"]) == 0
    assert (unfinished / "samples.damaged.jsonl").read_bytes() == b"damaged\n"


def test_a_journal_that_is_a_link_is_copied_nowhere(
    mine: Path, unfinished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (unfinished / "samples.jsonl").unlink()
    (unfinished / "samples.jsonl").symlink_to(mine)
    before = mine.read_bytes()
    assert main(["engine=fake", f"resume={unfinished}"]) == 1
    assert "Traceback" not in capfd.readouterr().err
    assert not (unfinished / "samples.damaged.jsonl").exists()
    assert mine.read_bytes() == before


def test_an_export_goes_into_no_folder_behind_a_link(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (run.parent / "theirs").mkdir()
    (run / "lm_eval").symlink_to("../theirs")
    assert "lm_eval is a link, which is not followed" in refused(export.main, [str(run)], capfd)
    assert list((run.parent / "theirs").iterdir()) == []


def test_a_tracker_gets_nothing_behind_a_link(mine: Path, run: Path) -> None:
    (run / "report.html").unlink(missing_ok=True)
    (run / "report.html").symlink_to(mine)
    with trackers._tracked(run) as tracked:
        assert [path.name for path in tracked.files] == [
            "config.yaml",
            "manifest.json",
            "summary.json",
            "samples.jsonl",
        ]


# The cache's folder


@pytest.mark.parametrize("kind", [kind for kind in SPECIAL if kind not in ("missing", "dangling")])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_response_cache_that_is_no_file(kind: str, suffix: str, tmp_path: Path) -> None:
    place(tmp_path / f"answers.sqlite{suffix}", kind)
    with limited(LIMIT_S), pytest.raises(CacheError, match="cannot be used"):
        Answers(tmp_path / "answers.sqlite")


@pytest.mark.parametrize("kind", ["link", *SPECIAL[1:]])
def test_a_history_that_is_no_file(kind: str, mine: Path) -> None:
    path = mine.parent / "startup.jsonl"
    if kind == "link":
        path.symlink_to(mine)
    else:
        place(path, kind)
    with limited(LIMIT_S):
        startup_history.remember(measured_start(Startup.eager, 1), path)
        assert startup_history.read_history(path) == []


@pytest.mark.parametrize("kind", ["link", "pipe", "zero"])
def test_the_lock_of_a_conversion_is_a_file(kind: str, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(mine.parent / "cache"))
    source = mine.parent / "a.gguf"
    target = mine.parent / "cache" / "models" / "a-1"
    target.parent.mkdir(parents=True)
    lock = target.with_name("a-1.lock")
    if kind == "link":
        lock.symlink_to(mine)
    else:
        place(lock, kind)
    with (
        limited(LIMIT_S),
        pytest.raises(ModelError, match=r"cannot be written \(it is a .*set LLMBENCH_CACHE"),
    ):
        bundled_model._convert_once(source, target)


def test_a_turn_waits_for_no_lock_of_another_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid():
        pytest.skip("only root can make a file of another user's")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("gate", "turn"):
        path = tmp_path / f"llmbench-0-{name}.lock"
        path.touch()
        os.chown(path, 12345, 12345)
    with ExitStack() as theirs:
        for path in tmp_path.iterdir():
            fcntl.flock(theirs.enter_context(path.open()), fcntl.LOCK_EX)
        with limited(LIMIT_S), turn(alone=True):
            pass


# Places for pages


@pytest.mark.parametrize("to", ["", ".", "/", "/proc/nothing", "missing/folder/x.html"])
def test_pages_that_cannot_be_written(to: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "writ" in refused(report.main, [str(run), "--to", to], capfd)


def test_pages_replace_no_file_of_others_unless_forced(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = run / "notes.html"
    page.write_text("<html>My llmbench notes")
    command = [str(run), "--to", str(page)]
    assert "notes.html is not a page of llmbench's; choose another file" in refused(
        report.main, command, capfd
    )
    assert page.read_text() == "<html>My llmbench notes"
    assert report.main([*command, "--force"]) == 0
    assert report.main(command) == 0  # a page of its own


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a pipe", "socket", "to a folder"])
def test_pages_replace_nothing_but_files(kind: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place(run / "page.html", kind)
    before = (run / "page.html").lstat().st_mode
    assert "cannot be written (it is a" in refused(
        report.main, [str(run), "--to", str(run / "page.html")], capfd
    )
    assert (run / "page.html").lstat().st_mode == before


@pytest.mark.parametrize("kind", ["pipe", "socket", "zero", "null", "loop", "dangling"])
def test_what_is_resumed_is_a_folder(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place(tmp_path / "sweep", kind)
    said = refused(main, ["-m", "engine=fake", "limit=1", f"resume={tmp_path / 'sweep'}", "seed=1,2"], capfd)
    assert "sweep" in said


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "~nobody_of_this_name/x"])
def test_what_is_resumed_has_a_possible_name(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert "resume" in refused(main, ["engine=fake", f"resume='{name}'"], capfd)


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["manifest.json", "config.yaml", "samples.jsonl", ".lock", "llmbench.log"])
def test_runs_to_resume_with_files_that_are_none(
    name: str, kind: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place(run / name, kind)
    with limited(LIMIT_S):
        status = main(["engine=fake", f"resume={run}"])
    said = capfd.readouterr().err
    assert status in (0, 1)
    assert not UNEXPECTED.search(said), said
    assert ("llmbench: " in said) is (status == 1)


BYTES = os.fsdecode(b"caf\xe9")
NAMED = r"holds bytes that are no UTF-8 \(.*caf\\udce9.*\), which no run can write down; use another name\."
"""What is said of it."""


@pytest.mark.parametrize(
    "asked",
    [
        [f"hydra.run.dir={BYTES}/run"],
        [f"hydra.run.dir='{BYTES}/run'"],
        [f"runs_dir={BYTES}"],
        [f"resume={BYTES}"],
        [f"model.path={BYTES}"],
        ["-m", "seed=1,2", f"hydra.sweep.dir='{BYTES}/sweep'"],
    ],
)
def test_settings_are_text(
    asked: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(main, ["engine=fake", "benchmark=arithmetic", *asked], capfd)
    assert re.search(NAMED, said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", [[], ["-m", "seed=1,2"], ["resume=run"], ["hydra.run.dir=../elsewhere"]])
def test_a_run_is_begun_in_a_folder_whose_name_is_text(
    asked: list[str], run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run.parent / BYTES
    folder.mkdir()
    run.rename(folder / "run")
    monkeypatch.chdir(folder)
    assert re.search(NAMED, refused(main, ["engine=fake", "benchmark=arithmetic", *asked], capfd))
    with pytest.raises(RunError, match=NAMED):
        pipeline.run(compose(["engine=fake", "benchmark=arithmetic"]), folder / "new")
    for command in (report.main, export.main, regrade.main, runs.main):
        assert command([str(folder / "run")]) == 0, capfd.readouterr().err


@cache
def half() -> Path:
    folder = temporary() / "run"
    asked = ["engine=fake", "benchmark=arithmetic", "limit=2", "report=false", f"hydra.run.dir={folder}"]
    assert main(asked) == 0
    (first, _) = (folder / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "samples.jsonl").write_bytes(first)
    return folder


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """A run that the fake engine can go on with."""
    return shutil.copytree(half(), tmp_path / "unfinished")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that must stay as it is, with a secret in it."""
    monkeypatch.setenv("SOME_TOKEN", "written in mine")
    path = tmp_path / "mine"
    path.write_text("written in mine, by https://me:password@host")
    yield path
    assert path.read_text() == "written in mine, by https://me:password@host"


def test_a_run_adds_to_no_log_behind_a_link(
    mine: Path, unfinished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    new = mine.parent / "new"
    new.mkdir()
    (unfinished / "llmbench.log").unlink()
    for folder, asked in (
        (new, ["benchmark=arithmetic", f"hydra.run.dir={new}"]),
        (unfinished, [f"resume={unfinished}"]),
    ):
        (folder / "llmbench.log").symlink_to(mine)
        said = refused(main, ["engine=fake", *asked], capfd)
        assert f"The run's log {folder / 'llmbench.log'} cannot be written (it is a link" in said


@pytest.mark.parametrize("kind", ["link", *SPECIAL])
def test_telemetry_is_left_out_where_there_is_no_file(
    kind: str, mine: Path, unfinished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("trace.jsonl", "memory.log"):
        if kind == "link":
            (unfinished / name).unlink()
            (unfinished / name).symlink_to(mine)
        else:
            place(unfinished / name, kind)
    for _ in ("to its end", "finished"):
        with limited(LIMIT_S):
            assert main(["engine=fake", f"resume={unfinished}"]) == 0
        err = capfd.readouterr().err
        assert not UNEXPECTED.search(err), err
        assert "llmbench: " not in err
    said = (unfinished / "llmbench.log").read_text()
    for name in ("trace.jsonl", "memory.log"):
        assert (f"{name} cannot be written (it is a" in said) is (kind != "missing")


def test_a_log_that_became_a_link_is_not_overwritten(mine: Path) -> None:
    log = mine.parent / "llmbench.log"
    with captured(log, "INFO"):
        log.unlink()
        log.symlink_to(mine)


def test_the_memory_log_of_a_program_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "memory.log").symlink_to("elsewhere.log")
    with MemoryTracker(tmp_path):
        pass
    assert "Tracked for" in (tmp_path / "elsewhere.log").read_text()


def test_a_sweep_to_resume_that_cannot_be_read_stays(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    contents = (
        b"", b"[]", b"\0", b'{"jobs": 7}', b'{"jobs": [{}]}', b'{"jobs": [7]}', b"[" * DEEP, b'{"loads": "x"}',
    )  # fmt: skip
    path = tmp_path / "summary.json"
    for content in contents:
        path.write_bytes(content)
        with limited(LIMIT_S), pytest.raises(RunError, match=r"summary\.json"):
            read_record(path, job.SweepSummary)
        if content in (b"", b'{"jobs": [{}]}'):
            asked = ["-m", "engine=fake", "limit=1", f"resume={tmp_path}", "seed=1,2"]
            assert "summary.json" in refused(main, asked, capfd)
        assert path.read_bytes() == content
