import json
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench.benchmarks.arithmetic import Arithmetic
from llmbench.benchmarks.math import MATH
from llmbench.errors import DataError, EngineError
from llmbench.records import Sample
from llmbench.report.run_entry import RunEntry
from llmbench.report.run_page import report
from llmbench.results.reader import load_run
from llmbench.run import pipeline, selection
from llmbench.run.options import Beginning, RunOptions
from llmbench.run.request_plan import RequestPlan
from llmbench.run.samples import SampleSet
from tests.helpers.engines import FakeEngines
from tests.helpers.settings import compose

SUBJECTS = ["Algebra"] * 24 + ["Geometry"] * 12 + ["Number Theory"] * 4


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Forty problems: 24 of algebra, 12 of geometry, 4 of number theory."""
    file = tmp_path / "problems.jsonl"
    lines = [
        {"problem": f"What is {n} + 1?", "answer": str(n + 1), "subject": subject, "unique_id": f"p/{n}"}
        for n, subject in enumerate(SUBJECTS)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def chosen(rows: Path, *typed: str) -> SampleSet:
    plan = RequestPlan.read(compose(["benchmark=math", f"benchmarks.math.data_files={rows}", *typed]))
    return plan.samples["math"]


def by_subject(part: SampleSet) -> Mapping[str, int]:
    return Counter(str(sample.fields["subject"]) for sample in part.chosen)


@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 60), min_size=1, max_size=12),
    st.floats(0, 1),
    st.integers(0, 3),
)
def test_each_subject_gets_its_share_rounded_up_or_down_and_no_more_than_there_are(
    sizes: dict[str, int], part: float, seed: int
) -> None:
    total = sum(sizes.values())
    wanted = round(part * total)
    shares = selection.allocate(sizes, wanted, (seed,))
    assert sum(shares.values()) == wanted
    assert shares == selection.allocate(dict(reversed(sizes.items())), wanted, (seed,))
    for subject, size in sizes.items():
        assert 0 <= shares[subject] <= size
        assert abs(shares[subject] - wanted * size / total) < 1


def test_fewer_questions_than_subjects_go_to_other_subjects_with_another_seed() -> None:
    sizes = {f"s{n:02}": 20 for n in range(50)}
    draws = [{s for s, n in selection.allocate(sizes, 5, (seed,)).items() if n} for seed in range(4)]
    assert [len(draw) for draw in draws] == [5] * 4
    assert len(set().union(*draws)) > 10


@pytest.mark.parametrize("typed", ["limit=10", "benchmarks.math.num_samples=10"])
def test_a_typed_number_is_drawn_from_each_subject_in_the_datas_order(rows: Path, typed: str) -> None:
    part = chosen(rows, typed)
    assert by_subject(part) == {"Algebra": 6, "Geometry": 3, "Number Theory": 1}
    places = [int(sample.id[2:]) for sample in part.chosen]
    assert places == sorted(places)
    assert part.chosen == chosen(rows, typed).chosen != chosen(rows, typed, "seed=1").chosen
    how = part.selection
    assert (how.strategy, how.available) == ("stratified", 40)
    assert {s: (each.available, each.asked) for s, each in how.strata.items()} == {
        "Algebra": (24, 6), "Geometry": (12, 3), "Number Theory": (4, 1),
    }  # fmt: skip


@pytest.mark.parametrize("profile", ["documented", "before", "debug"])
def test_a_profiles_own_number_asks_the_questions_it_always_did(rows: Path, profile: str) -> None:
    part = chosen(rows, f"profile={profile}")
    config = compose(["benchmark=math", f"profile={profile}"])
    number = config.benchmarks["math"].num_samples or 0
    places = random.Random(f"{config.seed}:math:select").sample(range(len(part.available)), number)
    assert part.chosen == [part.available[place] for place in sorted(places)]
    assert part.selection.strategy == "random"


def test_all_questions_are_no_draw(rows: Path) -> None:
    assert chosen(rows, "limit=400").selection.strategy == "all"
    assert chosen(rows, "profile=published").selection.strategy == "all"


def test_a_subject_that_is_no_text_is_a_sentence(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MATH, "subject", lambda _, __: 7)
    with pytest.raises(DataError, match=r"the subject of question 'p/0' .* is a int, not text"):
        chosen(rows, "limit=10")


def test_samples_without_a_subject_are_one_of_their_own(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def subject(_: MATH, sample: Sample) -> str | None:
        return None if sample.fields["subject"] == "Geometry" else "other"

    monkeypatch.setattr(MATH, "subject", subject)
    assert {s: each.asked for s, each in chosen(rows, "limit=10").selection.strata.items()} == {
        "(none)": 3, "other": 7,
    }  # fmt: skip


def run(folder: Path, *typed: str, break_after: int | None = None, **options: Any) -> None:  # noqa: ANN401
    config = compose([*typed, "limit=10", "report=false", "batch_size=2"])
    with FakeEngines(lambda _: "7", break_after=break_after).pool() as pool:
        pipeline.run(config, folder, RunOptions(pool=pool, **options))


def test_manifest_summary_and_report_say_how_questions_were_chosen(rows: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", "benchmark=math", f"benchmarks.math.data_files={rows}")
    found = load_run(tmp_path / "run")
    assert found.manifest.selection["math"].strata["Geometry"].asked == 3
    assert found.summary.benchmarks["math"].selection == "stratified"
    page = report(RunEntry(found))
    assert "in proportion to its size: Algebra 6 of 24, Geometry 3 of 12, Number Theory 1 of 4" in page


def test_a_run_that_another_version_began_keeps_its_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(EngineError, match="broke"):
        run(folder, "benchmark=arithmetic", break_after=6)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["selection"]
    manifest.write_text(json.dumps(content))
    monkeypatch.setattr(Arithmetic, "subject", lambda _, sample: sample.id[-1])
    run(folder, "benchmark=arithmetic", beginning=Beginning.RESUMED)
    found = load_run(folder)
    assert len(found.manifest.sittings) == 2
    assert found.manifest.samples == content["samples"]
    assert {result.sample_id for result in found.results} == set(content["samples"]["arithmetic"])
    assert found.manifest.selection["arithmetic"].strategy == "random"
    run(tmp_path / "new", "benchmark=arithmetic")
    assert load_run(tmp_path / "new").manifest.samples != content["samples"]
