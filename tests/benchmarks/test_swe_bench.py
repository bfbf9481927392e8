import json
from pathlib import Path

import pytest

from llmbench.benchmarks import swe_bench
from llmbench.benchmarks.swe import prompt
from llmbench.benchmarks.swe_bench import SWEBench
from llmbench.engine.fake import WordTokenizer
from llmbench.errors import ConfigError, DataError
from llmbench.run.request_plan import RequestPlan
from tests.helpers.settings import compose
from tests.helpers.swe import CALC, OPTIONS, ROWS, SYNTHETIC, TAG, URL, write

RETRIEVED = """You will be provided with a partial code base and an issue statement explaining a problem to resolve.
<issue>
It breaks.
Badly.
</issue>

<code>
[start of README.md]
1 # Words
2 [end of README.md] stands in this line
[end of README.md]
[start of src/a.py]
1 a = 1
2 b = 2
3 c = 3  # a line that is longer than the one that says how many lines are left out of the file
[end of src/a.py]
[start of src/b.py]
1 d = 4
[end of src/b.py]
</code>

Write a patch."""
"""A prompt in the shape of the retrieval data sets' `text`, made for these tests."""


def longest(characters: int) -> tuple[str, dict[str, object] | None]:
    return prompt.fit(RETRIEVED, lambda text: len(text) <= characters)


def test_the_parts_of_a_prompt_make_it_up() -> None:
    parts = prompt.parse(RETRIEVED)
    assert parts is not None
    assert parts.text() == RETRIEVED
    assert [file.name for file in parts.files] == ["README.md", "src/a.py", "src/b.py"]
    assert parts.issue == "It breaks.\nBadly."
    assert prompt.parse("no marks at all") is None


def lengths() -> range:
    """From the whole prompt to the one with neither code nor issue."""
    parts = prompt.parse(RETRIEVED)
    assert parts is not None
    return range(len(RETRIEVED), len(parts.text(0, 0)) - 1, -1)


def test_every_length_is_kept_and_used() -> None:
    lines = []
    for characters in lengths():
        text, cut = longest(characters)
        assert len(text) <= characters
        assert (cut is None) == (characters == len(RETRIEVED))
        assert text.startswith("You will be provided")
        assert text.endswith("Write a patch.")
        lines.append(text.count(" = "))
    assert (max(lines), min(lines)) == (4, 0)


def test_code_goes_from_the_end_readmes_first_and_the_issue_last() -> None:
    text, cut = longest(len(RETRIEVED) - 1)
    assert "README" not in text or "left out" in text
    assert text.count(" = ") == 4
    shown = {n: longest(n)[0] for n in lengths()}
    partly = next(text for text in shown.values() if "d = 4" not in text and "c = 3" in text)
    assert "src/b.py" not in partly
    assert "README" not in partly
    less = next(text for text in shown.values() if "c = 3" not in text and "b = 2" in text)
    assert "2 b = 2\n[1 more lines are left out]\n[end of src/a.py]" in less
    none = next(text for text in shown.values() if "It breaks" in text and "Badly" not in text)
    assert " = " not in none
    assert cut is not None


def test_what_cannot_fit_comes_back_whole() -> None:
    assert longest(10) == (RETRIEVED, None)
    assert prompt.fit("x" * 100, lambda text: len(text) < 10) == ("x" * 100, None)


def test_rows_without_text_get_a_prompt_of_issue_and_files() -> None:
    samples = {sample.id: sample for sample in SWEBench().load(list(ROWS.values()), OPTIONS, 0)}
    assert list(samples) == [CALC, URL, TAG]
    text = SWEBench().question(samples[CALC])
    assert "median() is wrong for sequences of even length" in text
    assert '[start of calclib/stats.py]\n"""Statistics helpers."""\n' in text
    assert "\r\n" in SWEBench().question(samples[URL])  # the issue as it is
    assert samples[CALC].fields["FAIL_TO_PASS"] == ["tests/test_stats.py::test_median_even"]
    assert samples[CALC].target == ROWS[CALC]["patch"]
    assert "test_median_even" not in text  # neither gold nor its tests are shown
    bare = {key: value for key, value in ROWS[CALC].items() if key != "files"}
    assert "<code>" not in SWEBench().question(SWEBench().load([bare], OPTIONS, 0)[0])


def test_a_rows_own_text_is_the_prompt() -> None:
    (sample,) = SWEBench().load([ROWS[CALC] | {"text": RETRIEVED}], OPTIONS, 0)
    assert SWEBench().question(sample) == RETRIEVED


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"FAIL_TO_PASS": "nonsense"}, "cannot be read"),
        ({"FAIL_TO_PASS": '{"a": 1}'}, "not a list of test ids"),
        ({"files": "[1]"}, "not a JSON object of texts"),
        ({"problem_statement": ""}, "nothing under 'problem_statement'"),
        ({"instance_id": None}, "nothing under 'instance_id'"),
    ],
)
def test_rows_that_cannot_be_used_are_named(changes: dict[str, object], hint: str) -> None:
    with pytest.raises(DataError, match=hint) as caught:
        SWEBench().load([ROWS[CALC] | changes], OPTIONS, 0)
    assert "row 0" in str(caught.value).lower()


@pytest.mark.parametrize(
    "options", [{"retrieval": "guess"}, {"harness": "on"}, {"harness_workers": 0}, {"other": 1}]
)
def test_options_that_do_not_exist_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        SWEBench().load([], options, 0)


@pytest.mark.parametrize(
    ("chosen", "hub_id"),
    [
        (["benchmark=swe_bench"], "princeton-nlp/SWE-bench_Lite_oracle"),
        (
            ["benchmark=swe_bench", "benchmarks.swe_bench.options.retrieval=bm25_13K"],
            "princeton-nlp/SWE-bench_Lite_bm25_13K",
        ),
        (["benchmark=swe_bench_verified"], "princeton-nlp/SWE-bench_oracle"),
        (["benchmark=swe_bench_full"], "princeton-nlp/SWE-bench_oracle"),
    ],
)
def test_the_retrieval_chooses_the_data_set(chosen: list[str], hub_id: str) -> None:
    (benchmark,) = compose(chosen).benchmarks.values()
    assert (benchmark.hub_id, benchmark.num_samples, benchmark.max_tokens) == (hub_id, 5, 2048)


def test_prompts_are_cut_to_the_models_length(tmp_path: Path) -> None:
    row = ROWS[CALC] | {
        "text": RETRIEVED.replace("3 c = 3", "\n".join(f"{n} x = {n}" for n in range(3, 3000)))
    }
    path = write(tmp_path / "rows.jsonl", [row])
    config = compose(
        ["benchmark=swe_bench", f"benchmarks.swe_bench.data_files={path}", "model.max_length=2500", "limit=1"]
    )
    questions = RequestPlan.read(config).write(WordTokenizer())
    (request,) = questions.requests
    (asked,) = questions.asked.values()
    assert 2500 - 2048 - 10 < len(request.prompt_ids) <= 2500 - 2048
    cut = SWEBench().stored_fields(asked.sample)["cut"]
    assert 0 < cut["code_lines"] < cut["code_lines_of"] == 3002
    assert "Write a patch." in asked.text


def test_the_shared_sample_rows_are_read(shared_data: Path) -> None:
    for name, count in (("lite", 17), ("verified", 5)):
        rows = [
            json.loads(line)
            for line in (shared_data / f"swebench_{name}_sample.jsonl").read_text().splitlines()
        ]
        samples = SWEBench().load(rows, OPTIONS, 0)
        assert len(samples) == count
        assert all(
            row["problem_statement"].strip() in SWEBench().question(s)
            for row, s in zip(rows, samples, strict=True)
        )


def test_verified_is_a_part_of_the_full_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swe_bench, "MEMBERS", 2)
    monkeypatch.setattr(swe_bench, "read_rows", lambda *_: ([{"instance_id": URL}], None))
    samples = SWEBench().load(list(ROWS.values()), {"only": "some/set"}, 0)
    assert [sample.id for sample in samples] == [URL]


def test_the_own_data_is_the_shared_data(shared_data: Path) -> None:
    assert SYNTHETIC.read_bytes() == (shared_data / SYNTHETIC.name).read_bytes()
