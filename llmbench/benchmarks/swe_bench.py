r"""SWE-bench: issues of real repositories to be solved by a patch (Jimenez et al., 2024, https://arxiv.org/abs/2310.06770).

Data: the retrieval sets `princeton-nlp/SWE-bench_Lite_oracle`, `…_bm25_13K` and `…_bm25_27K`, whose `text` is the whole prompt
(likewise `princeton-nlp/SWE-bench_oracle` and so on for the full set, of which Verified is a part); or rows without `text`,
for which the prompt is built from the issue and, where the row has them, from its `files` (JSON text: path to content).
A row: {"instance_id": "sympy__sympy-20212", "repo": "sympy/sympy", "base_commit": "a106f478…", "patch": "diff --git …",
"test_patch": "…", "problem_statement": "0**-oo produces 0 …", "FAIL_TO_PASS": "[\"test_zero\"]", "PASS_TO_PASS": "[…]"}
Protocol: single-shot; the prompt as it stands, in one turn of the user; the first `<patch>`, `<diff>` or fenced diff of the
output is the patch. A prompt too long for the model is cut by the rule in llmbench/benchmarks/swe/prompt.py.

Outcomes: `correct` only where the tests ran and all of FAIL_TO_PASS and PASS_TO_PASS passed. `wrong` where they ran and did not,
or where the repository is at hand and none of the official harness's three commands applies the patch (the score's explanation
says which did). `no_answer` and `truncated` without a patch,
tests past their limit are not passed. `error` where nothing here could tell: no repository at hand, or no tests to run, until the
official harness has spoken. Nothing is called resolved without tests.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from llmbench import answers
from llmbench.benchmarks.base import Benchmark, check_options
from llmbench.benchmarks.dataset import Row, read_rows, text_of
from llmbench.benchmarks.swe import predictions, prompt, scoring
from llmbench.config.schema import BenchmarkConfig
from llmbench.errors import ConfigError, DataError
from llmbench.records import Outcome, Result, Sample, Score

RETRIEVALS = ("oracle", "bm25_13K", "bm25_27K", "bm25_40K", "bm25_50k_llama")
"""How the retrieval data sets on the hub chose the code; Lite has the first three."""
CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "retrieval": lambda value: value in RETRIEVALS,
    "only": lambda value: value is None or isinstance(value, str),
    "repos_dir": lambda value: value is None or isinstance(value, str),
    "dataset": lambda value: isinstance(value, str),
    "harness": lambda value: value in ("auto", "off"),
    "harness_workers": lambda value: isinstance(value, int) and value >= 1,
}
STORED = ("repo", "base_commit", "test_patch", "files", "repository", "FAIL_TO_PASS", "PASS_TO_PASS", "cut")
"""Fields that go into the journal: what judging a patch needs, and what was cut of the prompt."""
MEMBERS = 500
"""Rows of Verified; a local copy may hold so many before `only` is looked at."""


class SWEBench(Benchmark):
    """Patches that the model writes, applied and tested in a repository."""

    columns = ("instance_id",)
    preload = ("llmbench.sandbox",)
    runs_code = True
    scored_later = True
    grading_limit_s = 7200.0  # for one patch, and for waiting until tests that ran out of time can run alone

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples named by `instance_id`, whose target is the gold patch.

        Raises:
            DataError: A row has no issue, or its tests or files cannot be read; or the members of `only` cannot.
            ConfigError: An option is refused.
        """
        check_options("swe_bench", options, CHECKS)
        members = _members(options["only"]) if options.get("only") and len(rows) > MEMBERS else None
        return [
            _sample(row, index, options)
            for index, row in enumerate(rows)
            if members is None or row["instance_id"] in members
        ]

    def question(self, sample: Sample) -> str:
        """The prompt as the data has it, or as it was built."""
        return str(sample.fields["text"])

    def shorten(self, sample: Sample, fits: Callable[[Sample], bool]) -> Sample:
        """The sample with a prompt that fits, and under `cut` what was cut of it."""

        def with_fields(**changed: object) -> Sample:
            return replace(sample, fields={**sample.fields, **changed})

        text, cut = prompt.fit(self.question(sample), lambda shorter: fits(with_fields(text=shorter)))
        return sample if cut is None else with_fields(text=text, cut=cut)

    def worked_example(self, sample: Sample) -> str:
        """The gold patch in its tags."""
        return f"<patch>\n{sample.target.strip(chr(10))}\n</patch>"

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The first patch; one that the token limit cut off is one too, and will hardly apply."""
        return answers.patch(text)

    def grade(self, sample: Sample, answer: str) -> Score:
        """Checks the patch and runs the tests, as far as repository and tests are at hand; see the outcomes above."""
        return scoring.judge(sample.fields, answer)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Whether the tests ran and all passed."""
        return self.grade(sample, answer).outcome is Outcome.CORRECT

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What judging the patch needs, and what was cut of the prompt."""
        return {key: sample.fields[key] for key in STORED if sample.fields.get(key) is not None}

    def details(self, results: Sequence[Result]) -> dict[str, Any]:
        """Rates of patches found, applying and resolved."""
        return predictions.details(results)

    def finish(
        self, folder: Path, results: Sequence[Result], model: str, options: Mapping[str, Any]
    ) -> tuple[dict[str, Score], list[str]]:
        """Writes `predictions.jsonl`, and has the official harness run the tests of what was not tested, where it can.

        Returns:
            Scores by question that the harness gave, and sentences for the user.
        """
        path = predictions.write(folder, results, model)
        open_ones = [r for r in results if r.score.answer is not None and r.score.outcome is Outcome.ERROR]
        if not open_ones:
            return {}, []
        is_off = options.get("harness") == "off"
        why = "benchmarks.swe_bench.options.harness=off" if is_off else predictions.missing()
        report = None if why else predictions.evaluate(path, model, options)
        if report is None:
            why = why or "the official harness left no report; see harness.log"
            return {}, [predictions.instead(path, options, why)]
        return predictions.with_report(open_ones, report), []


def _members(hub_id: str) -> set[str]:
    """The ids of a data set of which these rows are to be a part."""
    rows, _ = read_rows(
        "swe_bench", BenchmarkConfig(hub_id=hub_id, split="test", max_tokens=1), SWEBench.columns
    )
    return {str(row["instance_id"]) for row in rows}


def _sample(row: Row, index: int, options: Mapping[str, Any]) -> Sample:
    name = text_of(row, "instance_id", index)
    try:
        files = prompt.files_of(row)
        tests = {key: _ids(row.get(key)) for key in ("FAIL_TO_PASS", "PASS_TO_PASS")}
    except ValueError as error:
        raise DataError(f"swe_bench: row {index} ({name}) cannot be read: {error}; fix the row.") from error
    text = row.get("text")
    if not text:
        text = prompt.compose(text_of(row, "problem_statement", index), files)
    derived = {"text": text, "files": files or None, **tests, "repository": _clone(row, options)}
    return Sample(name, {**row, **derived}, str(row.get("patch") or ""))


def _ids(value: object) -> list[str]:
    """Test ids: the data sets have JSON text of a list."""
    found = orjson.loads(value) if isinstance(value, str) and value else value or []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError("FAIL_TO_PASS or PASS_TO_PASS is not a list of test ids")
    return found


def _clone(row: Row, options: Mapping[str, Any]) -> str | None:
    """The local clone of a row's repository, `repos_dir/OWNER__NAME`."""
    folder, repository = options.get("repos_dir"), str(row.get("repo") or "")
    if folder is None or "/" not in repository:
        return None
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ConfigError(
            f"benchmarks.NAME.options.repos_dir={folder} is not a folder; it must hold clones such as {repository}."
        )
    clone = root / repository.replace("/", "__")
    return str(clone.resolve()) if clone.is_dir() else None
