"""How a benchmark is found in its module, and modules of functions, as benchmarks were before they were classes."""

import itertools
from pathlib import Path

import pytest

from llmbench.benchmarks.arithmetic import Arithmetic
from llmbench.benchmarks.base import Benchmark, score
from llmbench.benchmarks.gsm8k import GSM8K
from llmbench.benchmarks.importing import ModuleBenchmark, import_benchmark
from llmbench.errors import ConfigError
from llmbench.records import FinishReason, Outcome, Sample, Score
from llmbench.results.reader import load_run
from llmbench.run.regrade import regrade_run
from tests.helpers.runs import make

NUMBERS = itertools.count()
OLD = """
from llmbench.benchmarks.dataset import Row, text_of
from llmbench.records import Outcome, Sample, Score

COLUMNS = ("question", "answer")
PRELOAD = ("json",)

def load(rows, options, seed):
    return [Sample(str(n), row, text_of(row, "answer", n)) for n, row in enumerate(rows)]

def render(sample):
    return sample.fields["question"]

def few_shot_example(sample):
    return f"So {sample.target}."

def extract(sample, text, *, complete):
    return text.split()[-1] if complete and text else None

def equal(sample, answer):
    return answer == sample.target

def stored(sample):
    return {"level": 1}
"""
OPTIONAL = """
LIMIT_S = 7
SANDBOXED = True

def generate(options, seed):
    return [{"question": str(seed), "answer": options["answer"]}]

def fit(sample, fits):
    return Sample(sample.id, {"question": "short"}, sample.target)

def judge(sample, answer):
    return Score(0.5, answer, Outcome.WRONG, "half")

def files(options):
    return ["a.jsonl"]

def details(results):
    return {"n": len(results)}

def finish(folder, results, model, options):
    return {"1": Score(1.0, "x", Outcome.CORRECT)}, [model]
"""
NEEDED = """
from llmbench.benchmarks.base import Benchmark
class One(Benchmark):
    def load(self, rows, options, seed): return []
    def question(self, sample): return ""
    def extract(self, sample, text, *, complete): return None
    def is_equal(self, sample, answer): return True
"""
SAMPLE = Sample("0", {"question": "1 + 1?", "answer": "2"}, "2")


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Written":
    monkeypatch.syspath_prepend(str(tmp_path))
    return Written(tmp_path)


class Written:
    """Modules of a user's, under names of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, code: str) -> str:
        name = f"own_benchmark_{next(NUMBERS)}"
        (self.folder / f"{name}.py").write_text(code)
        return name


def test_the_class_that_the_module_defines_is_the_benchmark_not_the_one_that_it_derives_from() -> None:
    assert type(import_benchmark("arithmetic", "llmbench.benchmarks.arithmetic")) is Arithmetic
    assert type(import_benchmark("gsm8k", "llmbench.benchmarks.gsm8k")) is GSM8K


def test_of_several_classes_the_one_that_no_other_derives_from_is_the_benchmark(written: Written) -> None:
    code = NEEDED + "class Two(One):\n    runs_code = True\nAlias = Two\n"
    found = import_benchmark("own", written(code))
    assert (type(found).__name__, found.runs_code) == ("Two", True)


def test_a_package_may_have_its_class_in_a_module_of_its_own(written: Written) -> None:
    folder = written.folder / "own_package"
    folder.mkdir()
    (folder / "inner.py").write_text(NEEDED)
    (folder / "__init__.py").write_text("from own_package.inner import One\n")
    assert type(import_benchmark("own", "own_package")).__name__ == "One"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (None, "cannot be imported"),
        ("x = 1", "is not a benchmark: it has no extract and equal"),
        ("from llmbench.benchmarks.gsm8k import GSM8K", "is not a benchmark"),
        ("def extract(sample, text, *, complete): ...", "is not a benchmark"),
        (NEEDED.replace("is_equal", "equals"), "is not a benchmark: its class One has no is_equal"),
        (
            "from llmbench.benchmarks.base import Benchmark\nclass One(Benchmark): pass\n",
            "its class One has no extract, is_equal, load, question",
        ),
        (NEEDED + NEEDED.replace("One", "Two"), r"has the benchmarks One, Two; choose one with .*:One"),
        (NEEDED + "    def __init__(self, size): ...\n", "fails .*; a benchmark is made without arguments"),
        ("from llmbench.data import Row", r"No module named 'llmbench\.data'; docs/upgrading\.md says where"),
        ("def load(:", "cannot be imported: SyntaxError: "),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero; fix the module"),
    ],
)
def test_what_is_not_a_benchmark_is_refused_in_a_sentence(
    written: Written, code: str | None, sentence: str
) -> None:
    path = "no_such_module" if code is None else written(code)
    with pytest.raises(ConfigError, match=rf"^benchmarks\.own\.module={path}.*{sentence}"):
        import_benchmark("own", path)


def test_everything_that_a_benchmark_need_not_have_has_a_default(written: Written) -> None:
    found = import_benchmark("own", written(NEEDED))
    assert (found.columns, found.preload, found.runs_code, found.scored_later) == ((), (), False, False)
    assert found.grading_limit_s == Benchmark.grading_limit_s == 20
    assert found.stored_fields(SAMPLE) == {}
    assert found.generate({}, 0) is None
    assert found.hub_files({}) == ()
    assert found.shorten(SAMPLE, lambda _: False) is SAMPLE
    assert found.details([]) is None
    assert found.finish(Path(), [], "", {}) == ({}, [])
    assert found.grade(SAMPLE, "2") == Score(1.0, "2", Outcome.CORRECT)
    with pytest.raises(ConfigError, match=r"has no solutions to show \(0\); set fewshot=0"):
        found.worked_example(SAMPLE)


def test_a_module_of_functions_is_a_benchmark(written: Written) -> None:
    found = import_benchmark("own", written(OLD))
    assert isinstance(found, ModuleBenchmark)
    assert (found.columns, found.preload) == (("question", "answer"), ("json",))
    assert (found.grading_limit_s, found.runs_code, found.scored_later) == (20, False, False)
    assert found.load([SAMPLE.fields], {}, 0) == [SAMPLE]
    assert found.question(SAMPLE) == "1 + 1?"
    assert found.worked_example(SAMPLE) == "So 2."
    assert found.stored_fields(SAMPLE) == {"level": 1}
    assert found.generate({}, 0) is None
    assert found.hub_files({}) == ()
    assert found.shorten(SAMPLE, lambda _: False) is SAMPLE
    assert found.details([]) is None
    assert found.finish(Path(), [], "", {}) == ({}, [])
    outcomes = {text: score(found, SAMPLE, text, FinishReason.STOP).outcome for text in ("so 2", "so 3", "")}
    assert outcomes == {"so 2": Outcome.CORRECT, "so 3": Outcome.WRONG, "": Outcome.NO_ANSWER}
    assert score(found, SAMPLE, "so 2", FinishReason.LENGTH).outcome is Outcome.TRUNCATED


def test_a_module_of_functions_may_have_all_that_a_class_may(written: Written) -> None:
    found = import_benchmark("own", written(OLD + OPTIONAL))
    assert (found.grading_limit_s, found.runs_code, found.scored_later) == (7, True, True)
    assert found.generate({"answer": "5"}, 3) == [{"question": "3", "answer": "5"}]
    assert found.shorten(SAMPLE, lambda _: False).fields == {"question": "short"}
    assert score(found, SAMPLE, "so 2", FinishReason.STOP) == Score(0.5, "2", Outcome.WRONG, "half")
    assert found.hub_files({}) == ["a.jsonl"]
    assert found.details([]) == {"n": 0}
    assert found.finish(Path(), [], "mine", {}) == ({"1": Score(1.0, "x", Outcome.CORRECT)}, ["mine"])


def test_a_worked_example_of_0_1_0_is_understood(written: Written) -> None:
    found = import_benchmark("own", written(OLD.replace("few_shot_example", "worked")))
    assert found.worked_example(SAMPLE) == "So 2."


def test_a_module_that_only_grades_is_enough_to_grade(written: Written) -> None:
    code = "def extract(sample, text, *, complete): return text\ndef equal(sample, answer): return answer == sample.target"
    assert (
        score(import_benchmark("own", written(code)), SAMPLE, "2", FinishReason.STOP).outcome
        is Outcome.CORRECT
    )


def test_a_run_with_a_module_of_functions_ends_as_any_other(written: Written, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        '{"question": "1 + 1?", "answer": 2}\n{"question": "1 + 2?", "answer": 3}\n'
    )
    settings = {"module": written(OLD), "data_files": tmp_path / "rows.jsonl", "fewshot": 1}
    typed = [f"benchmarks.arithmetic.{name}={value}" for name, value in settings.items()]
    folder = make(tmp_path / "run", lambda _: "It is 2", "benchmark=arithmetic", "report=false", *typed)
    found = load_run(folder)
    assert [(r.sample_id, r.score.outcome) for r in sorted(found.results, key=lambda r: r.sample_id)] == [
        ("0", Outcome.CORRECT),
        ("1", Outcome.WRONG),
    ]
    assert [r.fields for r in found.results] == [{"level": 1}, {"level": 1}]
    assert regrade_run(folder, workers=1).changes == ()


def test_a_benchmark_is_the_same_each_time_in_a_process() -> None:
    path = "llmbench.benchmarks.gsm8k"
    assert import_benchmark("gsm8k", path) is import_benchmark("mine", path)


def test_a_class_is_chosen_by_its_name_where_a_module_has_several() -> None:
    path = "llmbench.benchmarks.generic:NumberAnswer"
    assert type(import_benchmark("mine", path)).__name__ == "NumberAnswer"
    with pytest.raises(ConfigError, match=r"has no benchmark 'NumberAnswr'; did you mean NumberAnswer"):
        import_benchmark("mine", "llmbench.benchmarks.generic:NumberAnswr")
