import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmbench.benchmarks.dataset import read_rows, text_of
from llmbench.benchmarks.gsm8k import GSM8K
from llmbench.config.schema import BenchmarkConfig
from llmbench.errors import DataError
from llmbench.records import Sample
from llmbench.run.request_plan import RequestPlan
from llmbench.system.files import cache_trouble
from tests.helpers.paths import DATA
from tests.helpers.settings import compose

MCQ = DATA / "mcq_sample.jsonl"


def local(path: Path, hub_id: str = "some/set") -> BenchmarkConfig:
    return BenchmarkConfig(
        module="llmbench.benchmarks.gsm8k", hub_id=hub_id, data_files=str(path), max_tokens=8
    )


def samples_of(benchmark: str, path: Path) -> list[Sample]:
    config = compose([f"benchmark={benchmark}", f"benchmarks.{benchmark}.data_files={path}"])
    return list(RequestPlan.read(config).samples[benchmark].available)


def test_a_local_file_is_described(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "1+1?", "answer": "#### 2"}\n{"question": "2+2?", "answer": "#### 4"}\n')
    rows, source = read_rows("gsm8k", local(path), ("question", "answer"))
    assert [row["question"] for row in rows] == ["1+1?", "2+2?"]
    assert (source.rows, source.revision, source.size_bytes) == (2, None, path.stat().st_size)
    assert len(source.fingerprint) == 64


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("", "holds no rows"),
        ("\n \n", "holds no rows"),
        ("{broken", "cannot be read as json"),
        ('{"question": "1+1?"}\n', "no column 'answer'"),
    ],
    ids=["empty", "blank", "malformed", "column"],
)
def test_unusable_files_are_explained(tmp_path: Path, content: str, hint: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=hint) as caught:
        read_rows("gsm8k", local(path), ("question", "answer"))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_and_a_strange_suffix_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        read_rows("gsm8k", local(tmp_path / "none.jsonl"), ())
    with pytest.raises(DataError, match="none of"):
        read_rows("gsm8k", local(tmp_path), ())
    strange = tmp_path / "rows.xyz"
    strange.write_text("x")
    with pytest.raises(DataError, match=r"none of \.jsonl"):
        read_rows("gsm8k", local(strange), ())


@pytest.mark.slow
def test_the_hub_offline_is_explained() -> None:
    config = compose(["benchmark=aime"]).benchmarks["aime"]
    with pytest.raises(DataError, match=r"benchmarks\.aime\.data_files=PATH"):
        read_rows("aime", config, ("problem",))


@pytest.mark.parametrize(
    ("benchmark", "row", "hint"),
    [
        ("aime", {"problem": "?", "answer": None}, "nothing under 'answer'"),
        ("aime", {"problem": "?", "answer": "hello"}, "not an integer from 0 to 999"),
        ("aime", {"problem": "?", "answer": "1000"}, "not an integer from 0 to 999"),
        ("aime", {"problem": "?", "answer": ["1"]}, "a list under 'answer'"),
        ("aime", {"problem": "", "answer": "1"}, "nothing under 'problem'"),
        ("aime", {"problem": {"a": 1}, "answer": "1"}, "a dict under 'problem'"),
        ("math", {"problem": "?", "answer": [1.5]}, "a list under 'answer'"),
        ("math", {"problem": "?", "solution": "no box"}, "no box to take one from"),
        ("gsm8k", {"question": "?", "answer": "seven"}, "no '####'"),
        (
            "gpqa",
            {
                "Question": "?",
                "Correct Answer": "a",
                **{f"Incorrect Answer {n}": "bca"[n - 1] for n in (1, 2, 3)},
            },
            "correct answer among the incorrect ones",
        ),
        (
            "gpqa",
            {"Question": "?", "Correct Answer": "a", **{f"Incorrect Answer {n}": None for n in (1, 2, 3)}},
            "nothing",
        ),
    ],
)
def test_rows_that_cannot_be_graded_are_named(
    tmp_path: Path, benchmark: str, row: dict[str, object], hint: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=hint) as caught:
        samples_of(benchmark, path)
    assert re.search(r"\bline 1\b", str(caught.value).lower())


def test_gpqa_rows_become_shuffled_choices() -> None:
    rows = [json.loads(line) for line in MCQ.read_text().splitlines()]
    samples = samples_of("gpqa", MCQ)
    assert [sample.id for sample in samples] == [row["Record ID"] for row in rows]
    for sample, row in zip(samples, rows, strict=True):
        choices = sample.fields["choices"]
        assert choices["ABCD".index(sample.target)] == row["Correct Answer"].strip()
        assert sorted(choices) == sorted(
            row[key].strip() for key in ("Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3)))
        )
    assert len({sample.target for sample in samples}) == 4


def test_two_equal_wrong_choices_leave_the_answer_of_gpqa_clear(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    wrong = {f"Incorrect Answer {n}": "b" for n in (1, 2, 3)}
    path.write_text(json.dumps({"Question": "?", "Correct Answer": "a", **wrong}) + "\n")
    (sample,) = samples_of("gpqa", path)
    assert sample.fields["choices"]["ABCD".index(sample.target)] == "a"


def test_the_shuffle_of_a_question_does_not_depend_on_the_others(tmp_path: Path) -> None:
    alone = tmp_path / "alone.jsonl"
    alone.write_text(MCQ.read_text().splitlines()[7] + "\n")
    assert samples_of("gpqa", alone)[0].fields["choices"] == samples_of("gpqa", MCQ)[7].fields["choices"]


@pytest.mark.parametrize(
    ("benchmark", "file", "count", "first"),
    [
        ("aime", "aime24.jsonl", 30, ("60", "204")),
        ("aime25", "aime25.jsonl", 30, ("0", "70")),
        ("math", "math500.jsonl", 500, ("test/precalculus/807.json", "\\left( 3, \\frac{\\pi}{2} \\right)")),
        ("math_full", "math_hendrycks_sample.jsonl", 42, None),
        ("gsm8k", "gsm8k_test_sample.jsonl", 200, ("0", "18")),
    ],
)
def test_shared_data_reads_through_the_same_adapter(
    shared_data: Path, benchmark: str, file: str, count: int, first: tuple[str, str] | None
) -> None:
    samples = samples_of(benchmark, shared_data / file)
    assert len(samples) == count
    assert len({sample.id for sample in samples}) == count
    assert all(sample.target for sample in samples)
    if first is not None:
        assert (samples[0].id, samples[0].target) == first


def test_the_gold_of_full_math_is_the_answer_of_math_500(shared_data: Path) -> None:
    golds = {s.fields["problem"]: s.target for s in samples_of("math", shared_data / "math500.jsonl")}
    for sample in samples_of("math_full", shared_data / "math_hendrycks_sample.jsonl"):
        assert sample.target == golds[sample.fields["problem"]]


def test_csv_holds_what_is_written_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "question,answer,note\n"
        'a,0.50,None\nb,None,\nc,True,1\nd,123456789012345678901234567890,2020-01-01\n"e, f\ng",7,"say ""x"""\n',
        encoding="utf-8-sig",
    )
    rows, _ = read_rows("gsm8k", local(path), ("question", "answer"))
    assert [row["answer"] for row in rows] == ["0.50", "None", "True", "123456789012345678901234567890", "7"]
    assert [row["note"] for row in rows] == ["None", None, "1", "2020-01-01", 'say "x"']
    assert rows[4]["question"] == "e, f\ng"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("question,answer,answer\n?,1,2\n", "two columns are called 'answer'"),
        ('question,answer\na,"1\nb,2\nc,3\n', "unexpected end of data"),
    ],
)
def test_a_csv_that_would_lose_values_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        read_rows("gsm8k", local(path), ("question", "answer"))


def test_names_of_columns_may_have_space_around_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("question, answer\n?,1\n")
    assert read_rows("gsm8k", local(path), ("question", "answer"))[0] == [{"question": "?", "answer": "1"}]


GOLDS = {
    "so 18\n#### 18": "18", "#### $2,125": "2125", "#### \u22125": "-5", "#### 1e3": "1000", "#### 1 234": "1234", "18.": "18", "#### 1/2": "1/2",
    "#### 18 apples": None, "#### **5**": None, "#### unknown": None, "#### ": None, "12,5": None, "#### 12,5": None, "#### 5. It is 5": None,
}  # fmt: skip


@pytest.mark.parametrize("answer", GOLDS)
def test_a_gold_answer_of_gsm8k_is_a_number_or_refused(answer: str) -> None:
    gold = GOLDS[answer]
    if gold is None:
        with pytest.raises(DataError, match="row 0"):
            GSM8K().load([{"question": "?", "answer": answer}], {}, 0)
    else:
        assert GSM8K().load([{"question": "?", "answer": answer}], {}, 0)[0].target == gold


def test_numbers_of_single_precision_are_read_as_they_were_written(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    answers = pyarrow.array([0.1, 2.5, None, 123456.0, float("nan")], pyarrow.float32())
    parquet.write_table(pyarrow.table({"question": ["?"] * 5, "answer": answers}), path)
    rows, _ = read_rows("gsm8k", local(path), ("question", "answer"))
    assert [row["answer"] for row in rows] == [0.1, 2.5, None, 123456.0, None]


def test_bytes_that_are_no_utf_8_are_refused_where_text_is_needed(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"question": [b"?"], "answer": [b"5\xff"]}), path)
    rows, _ = read_rows("gsm8k", local(path), ("question", "answer"))
    assert text_of(rows[0], "question", 0) == "?"
    with pytest.raises(DataError, match="Row 0 of the data has bytes under 'answer' that are no UTF-8"):
        text_of(rows[0], "answer", 0)


def test_a_row_of_another_width_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("question,answer\na,1\nb,1,2\n")
    with pytest.raises(DataError, match="line 3: 3 values under 2 column names"):
        read_rows("gsm8k", local(path), ("question", "answer"))


@pytest.mark.parametrize(
    ("value", "text"), [("7", "7"), ("0.5", "0.5"), ("3.0", "3.0"), ("true", "true"), ('"x "', "x")]
)
def test_numbers_and_truth_values_are_texts(tmp_path: Path, value: str, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"question": "?", "answer": {value}}}\n')
    rows, _ = read_rows("gsm8k", local(path), ("question", "answer"))
    assert text_of(rows[0], "answer", 0) == text


@pytest.mark.parametrize("value", ["null", '""', '"  "', "[1]", "12345678901234567890123"])
def test_what_is_no_text_is_refused_by_row_and_column(tmp_path: Path, value: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"question": "?", "answer": {value}}}\n')
    rows, _ = read_rows("gsm8k", local(path), ("question", "answer"))
    with pytest.raises(DataError, match=r"Row 0 of the data has .* under 'answer'"):
        text_of(rows[0], "answer", 0)


def test_a_column_that_nothing_needs_may_hold_anything(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    table = {
        "question": ["1+1?"],
        "answer": ["#### 2"],
        "picture": [b"\xff\xfe"],
        "when": [datetime.now(tz=UTC)],
    }
    parquet.write_table(pyarrow.table(table), path)
    (sample,) = samples_of("gsm8k", path)
    assert sample.target == "2"


def test_a_cache_that_cannot_be_written_is_called_so() -> None:
    wrapped = OSError("offline")
    wrapped.__cause__ = PermissionError(13, "Permission denied", "/cache/hub/x.lock")
    assert cache_trouble(wrapped) == (
        "The local cache of the Hugging Face hub cannot be written (/cache/hub/x.lock: Permission denied); "
        "set HF_HOME to a folder that can be."
    )
    assert cache_trouble(ConnectionError("no network")) is None


def test_two_questions_of_one_id_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"id": name, "problem": "What is 1 + 1?", "answer": "2"} for name in ("a", "b", "a")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="two questions have the id 'a'"):
        samples_of("aime", path)
