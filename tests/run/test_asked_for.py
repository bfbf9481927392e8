"""What a run says of itself before it starts, and when it has no score."""

import io
import json
from pathlib import Path

import pytest

from llmbench import regrade
from llmbench.cli.compose import compose
from llmbench.cli.main import main
from llmbench.cli.unused_settings import say_unused
from llmbench.run.comparability import of_the_engine
from llmbench.system.console import Terminal
from tests.helpers.paths import ROOT
from tests.helpers.raising import WHERE

FEW = ["engine=fake", "benchmark=arithmetic", "limit=6", "report=false"]


@pytest.mark.parametrize(
    ("where", "reason"),
    [("extract", "KeyError: 'unit'"), ("is_equal", "ValueError: 12,5 is no float second line")],
)
def test_a_run_in_which_each_sample_is_an_error_fails_and_says_the_first(
    where: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(WHERE, where)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = tmp_path / "run"
    module = "benchmarks.arithmetic.module=tests.helpers.raising"
    assert main([*FEW, module, f"hydra.run.dir={folder}"]) == 1
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert "arithmetic has no score: each of its 6 samples ended in an error" in said
    assert reason in said
    assert "resume=" not in said
    assert json.loads((folder / "summary.json").read_text())["status"] == "failed"
    assert regrade.main([str(folder)]) == 1
    monkeypatch.setenv(WHERE, "nothing")
    assert regrade.main([str(folder)]) == 0


def test_a_run_says_which_setting_counts_where_one_bounds_another(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = "benchmarks.arithmetic.num_samples=3"
    assert main([*FEW, asked, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert f"{asked} counts for arithmetic, not limit=6." in capfd.readouterr().err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["benchmarks"]["arithmetic"]["n"] == 3


def test_an_engines_own_bound_on_the_batch_size_is_said() -> None:
    err = io.StringIO()
    overrides = ["batch_size=8", "engine.args={max_num_seqs: 2}"]
    say_unused(compose(overrides), overrides, Terminal(err=err))
    assert "engine.args.max_num_seqs=2 bounds batch_size=8" in err.getvalue()


def test_synthetic_acceptance_is_said_to_give_scores_without_a_meaning() -> None:
    err = io.StringIO()
    overrides = ["engine.speculative={method: ngram, rejection_sample_method: synthetic}"]
    say_unused(compose(overrides), overrides, Terminal(err=err))
    assert "the scores mean nothing" in err.getvalue()
    assert of_the_engine(compose(overrides).engine) == [
        "engine.speculative.rejection_sample_method=synthetic"
    ]
    assert of_the_engine(compose(["engine=vllm", "engine.speculative={method: ngram}"]).engine) == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["benchmark=mmlu", "benchmarks.mmlu.likelihood_of=text"], "benchmarks.mmlu.likelihood_of has no effect with scoring=generate"),
        (["benchmark=mmlu", "benchmarks.mmlu.likelihood_heading='Of {subject}.'"], "benchmarks.mmlu.likelihood_heading has no effect"),
        (["benchmark=mmlu", "scoring=loglikelihood", "benchmarks.mmlu.likelihood_of=text"], ""),
        (["benchmark=mmlu", "benchmarks.mmlu.fewshot_split=dev"], ""),
        (["benchmark=mmlu", "benchmarks.mmlu.data_files=a.jsonl"], ""),
        (["benchmark=mmlu", "benchmarks.mmlu.data_files=a.jsonl", "benchmarks.mmlu.fewshot_split=dev"], "benchmarks.mmlu.fewshot_split has no effect beside a file: worked examples are other questions of a.jsonl"),
        (["benchmark=custom", "custom.data=a.jsonl", "custom.choices=c", "benchmarks.custom.likelihood_of=text"], "benchmarks.a.likelihood_of has no effect"),
    ],
)  # fmt: skip
def test_a_benchmarks_setting_that_nothing_reads_is_said(overrides: list[str], said: str) -> None:
    err = io.StringIO()
    overrides = [*overrides, "engine=vllm"]
    say_unused(compose(overrides), overrides, Terminal(err=err))
    assert " ".join(said.split()) in " ".join(err.getvalue().split())
    assert said or "has no effect" not in err.getvalue()


@pytest.mark.parametrize(
    ("setting", "needed", "enough"),
    [
        ("sampling.answer_tokens=64", "sampling.thinking_budget", "sampling.thinking_budget=64"),
        ("engine.speculative_max_running=4", "engine.speculative", "engine.speculative={method: ngram}"),
        ("stop_when.level=0.9", "stop_when.ci_width or stop_when.compare", "stop_when.ci_width=0.1"),
        ("stop_when.min_questions=9", "stop_when.ci_width or stop_when.compare", "stop_when.compare=run"),
    ],
)
def test_a_setting_that_needs_another_is_said_where_that_is_missing(
    setting: str, needed: str, enough: str
) -> None:
    said = {}
    for overrides in ([setting], [setting, enough]):
        err = io.StringIO()
        say_unused(compose(overrides), overrides, Terminal(err=err))
        said[len(overrides)] = " ".join(err.getvalue().split())
    assert f"{setting.partition('=')[0]} has no effect without {needed}." in said[1]
    assert "has no effect" not in said[2]


def test_a_limit_above_the_number_of_questions_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = "benchmarks.arithmetic.options.per_level=1"
    assert main([*FEW[:2], "limit=40", "report=false", one, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert "arithmetic has 5 questions, fewer than the 40 asked for" in "".join(capfd.readouterr())


def test_worked_examples_out_of_the_evaluated_questions_are_said_beforehand_and_do_not_compare(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*FEW, "fewshot=2", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    said = capfd.readouterr().err
    sentence = "the 2 worked examples come from the evaluated questions themselves"
    assert said.index(sentence) < said.index("Loading")
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert "worked examples out of arithmetic's evaluated questions" in found["not_comparable"]
