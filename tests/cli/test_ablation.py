"""The guide's table: what each point changes, what is made of the times, and that it can be taken up where it ended."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from llmbench.cli.ablation import FIXED, SAME, STOPPED, AblationPoint, Row, no_table, points, rows
from llmbench.cli.ablation_table import sentences
from llmbench.cli.job import Job
from llmbench.cli.main import main
from llmbench.config.paths import config_folder
from llmbench.records import Outcome
from llmbench.results.reader import load_run
from llmbench.results.summary import Summary
from llmbench.system.decoding import build
from tests.helpers.factories import result
from tests.helpers.runs import make, right_where
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

POINTS = [path.stem for path in sorted((config_folder() / "ablation" / "point").glob("*.yaml"))]


def flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from flat(inner, f"{above}{key}.")
        else:
            yield f"{above}{key}", inner


def changes(point: str, *, to: str = "before") -> dict[str, Any]:
    """What a point has otherwise than another, but for its name and the profile that names it all."""
    chosen = ("benchmark=[aime,math,gpqa]", "model=qwen14b")
    one, other = (dict(flat(asdict(compose([*chosen, f"+ablation/point={name}"])))) for name in (point, to))
    return {
        key: value
        for key, value in one.items()
        if other.get(key) != value and not key.startswith(("point.", "profile."))
    }


def test_before_is_the_guides_starting_point_by_its_own_method() -> None:
    before = compose(["benchmark=[aime,math,gpqa]", "model=qwen14b", "+ablation/point=before"])
    assert before.engine.name == "transformers"
    assert (before.static_batch_size, before.max_batch_size, before.min_batch_size) == (2, 4, 1)
    assert not before.use_dynamic_batching
    assert before.early_stopping.value == "off"
    assert before.model.gpu_memory_utilization == 0.9
    assert {name: b.num_samples for name, b in before.benchmarks.items()} == {
        "aime": 15,
        "math": 25,
        "gpqa": 25,
    }
    assert {b.max_tokens for b in before.benchmarks.values()} == {256}


@pytest.mark.parametrize(
    ("point", "changed"),
    [
        ("larger_batches", {"batch_size", "static_batch_size", "max_batch_size", "min_batch_size"}),
        ("fewer_samples", {f"benchmarks.{name}.num_samples" for name in ("aime", "math", "gpqa")}),
        ("shorter_outputs", {f"benchmarks.{name}.max_tokens" for name in ("aime", "math", "gpqa")}),
        ("dynamic_batching", {"batch_size", "use_dynamic_batching"}),
        (
            "early_stopping",
            {"early_stopping", *(f"benchmarks.{name}.stop" for name in ("aime", "math", "gpqa"))},
        ),
        ("vllm", {"engine.name", "schedule", "batch_size", "model.gpu_memory_utilization"}),
    ],
)
def test_each_point_changes_one_thing(point: str, changed: set[str]) -> None:
    assert set(changes(point)) == changed


def test_the_last_points_are_the_guides_optimised_run_and_llmbench_as_it_comes() -> None:
    ours = set(changes("llmbench", to="all_together"))
    assert ours == {"engine.name", "early_stopping", "schedule"}
    plain = asdict(compose(["benchmark=aime"]))
    own = asdict(compose(["benchmark=aime", "+ablation/point=llmbench"]))
    assert {key for key in plain if plain[key] != own[key]} == {"always_skip", "point"}


def test_every_point_is_in_the_guides_table() -> None:
    text = (config_folder() / "ablation" / "guide.yaml").read_text()
    assert sorted(text.rpartition(">-")[2].strip().split(",")) == POINTS


def point(name: str, time_s: float, outcomes: str, **settings: Any) -> AblationPoint:  # noqa: ANN401
    """A point whose two benchmarks took a quarter and three quarters of the time; `outcomes`: + right, - wrong, . none."""
    config = {
        "point": asdict(compose([f"+ablation/point={name}"]).point),
        "schedule": settings.get("schedule", "sequential"),
        "batch_size": len(name),  # so that no two points are the same work
        "sampling": {"ignore_eos": settings.get("ignore_eos", False)},
        "model": {"skip_benchmarks": settings.get("skip", [])},
    }
    results = [result(number, OUTCOMES[outcome], completions=()) for number, outcome in enumerate(outcomes)]
    right = outcomes.count("+") / len(outcomes)
    stopping = {"stopping": {"questions": 5, "of": 9, "reason": "narrow"}} if settings.get("stops") else {}
    summary = {
        "benchmarks": {
            "a": {"accuracy": right, "time_s": time_s / 4, **stopping},
            "b": {"accuracy": right, "time_s": 3 * time_s / 4},
        },
        "time_s": {"generate": time_s, "grade_tail": 0.0, "load": 5.0},
        "engine": {"name": "transformers", "loads": 1},
    }
    return AblationPoint(Job(0, [], Path("nowhere"), build(summary, Summary)), config, results)


OUTCOMES = {"+": Outcome.CORRECT, "-": Outcome.WRONG, ".": Outcome.NO_ANSWER}


def table(*found: AblationPoint) -> dict[str, Row]:
    return {row.name: row for row in rows(found)}


def test_the_same_work_proves_no_claim() -> None:
    start, other = point("before", 100, "++--"), point("fewer_samples", 50, "++--")
    other.config["batch_size"] = start.config["batch_size"]  # type: ignore[index]
    found = table(start, other)["fewer_samples"]
    assert (found.held, found.reduction, found.note) == (None, None, SAME)
    assert any(SAME in sentence for sentence in sentences([start, other], rows([start, other])))


def test_overlapping_benchmarks_say_nothing_of_skipping() -> None:
    found = table(point("before", 100, "++--", skip=["b"], schedule="together"))["skipping"]
    assert found.time_s is None
    assert "overlap" in (found.note or "")


def test_without_one_starting_point_there_is_no_table() -> None:
    assert rows([point("vllm", 1, "+")]) == []
    assert "there are 0" in no_table([point("vllm", 1, "+")])
    twice = [point("before", 1, "+"), point("before", 2, "+")]
    assert rows(twice) == []
    assert "there are 2" in no_table(twice)


def test_claims_are_held_against_the_times() -> None:
    found = table(
        point("before", 100, "++--"),
        point("larger_batches", 54, "++--"),  # within the guide's rounding of 50%
        point("fewer_samples", 71, "++--"),
        point("shorter_outputs", 110, "++--"),
        point("all_together", 25, "+-.-"),
        point("llmbench", 2, "++--"),
    )
    assert [(row.name, row.held) for row in found.values()] == [
        ("before", None),
        ("larger_batches", True),
        ("fewer_samples", False),
        ("shorter_outputs", False),
        ("skipping", None),
        ("all_together", True),
        ("llmbench", None),
    ]
    assert found["shorter_outputs"].reduction == pytest.approx(-0.1)
    assert found["all_together"].no_answer == 0.25
    assert found["all_together"].change == pytest.approx(-0.25)
    assert found["skipping"].note == "model.skip_benchmarks names none of these benchmarks"


def test_skipping_follows_from_the_times_of_the_benchmarks() -> None:
    row = table(point("before", 100, "+", skip=["b"]))["skipping"]
    assert (row.time_s, row.reduction, row.held, row.job) == (25, 0.75, True, None)
    assert not table(point("before", 100, "+", skip=["a"]))["skipping"].held


def test_fixed_lengths_show_neither_accuracy_nor_early_stopping() -> None:
    found = table(
        point("before", 100, "++", ignore_eos=True),
        point("early_stopping", 10, "+-", ignore_eos=True),
        point("larger_batches", 10, "+-", ignore_eos=True),
    )
    assert (found["early_stopping"].held, found["early_stopping"].reduction) == (None, None)
    assert found["early_stopping"].note == FIXED
    assert found["larger_batches"].held
    assert all(row.accuracy is None and row.change is None for row in found.values())


def test_times_of_runs_that_may_stop_early_are_not_compared() -> None:
    found = table(point("before", 100, "++"), point("larger_batches", 10, "+", stops=True))
    assert (found["larger_batches"].held, found["larger_batches"].reduction) == (None, None)
    assert (found["larger_batches"].change, found["larger_batches"].note) == (None, STOPPED)


def test_answers_that_a_stopped_point_left_out_do_not_count(tmp_path: Path) -> None:
    asked = (
        "benchmark=arithmetic",
        "engine=fake",
        "profile=published",
        "stop_when.ci_width=0.3",
        "batch_size=200",  # all are answered by the time that the first ones are enough
    )
    folder = make(tmp_path / "run", right_where(lambda _: True), *asked, "point={name: before}")
    summary = load_run(folder).summary
    (found,) = points([Job(0, [], folder, summary)])
    entry = summary.benchmarks["arithmetic"].stopping
    assert entry is not None
    assert entry.left_out
    assert len(found.results) == entry.questions


def test_a_fall_of_accuracy_is_said() -> None:
    found = [point("before", 100, "+" * 40), point("all_together", 20, "-" * 40)]
    said = " ".join(sentences(found, rows(found)))
    assert (
        "all together: 80% less time, where the guide claims 70 to 80%; accuracy fell: -100.0 points" in said
    )
    assert "on the 40 questions that both asked" in said


def test_without_the_starting_point_there_is_no_table() -> None:
    assert rows([point("larger_batches", 54, "+")]) == []


def test_the_ablation_runs_shows_its_table_again_and_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["ablation=guide", "engine=fake", "limit=4", "benchmark=arithmetic", "report=false"]
    assert main([*settings, "hydra.sweep.dir=sweep"]) == 0
    first = capsys.readouterr().out
    assert "before, on vLLM" in first
    assert max(map(len, first[first.index("the guide's table") :].splitlines()[:11])) <= 100
    written = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert [row["name"] for row in written["ablation"]] == [
        "before",
        "larger_batches",
        "fewer_samples",
        "shorter_outputs",
        "dynamic_batching",
        "early_stopping",
        "skipping",
        "all_together",
        "vllm",
        "llmbench",
    ]

    assert main([*reversed(settings), "resume=sweep"]) == 0  # in any order
    assert "the guide's table" in capsys.readouterr().out
    again = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert {key: again[key] for key in ("loads", "groups")} == {
        key: written[key] for key in ("loads", "groups")
    }

    (tmp_path / "sweep" / "3" / "summary.json").unlink()
    assert main([*settings, "resume=sweep"]) == 0
    again = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert again["loads"] == written["loads"] + 1
    assert again["groups"] != written["groups"]  # job 3 has another engine now
    for before, after in zip(written["jobs"], again["jobs"], strict=True):
        assert (before == after) == (before["job"] != 3)

    other = ["engine=fake", "-m", "limit=1,3", "benchmark=arithmetic", "report=false"]
    assert main([*other, "resume=sweep"]) == 1
    assert "holds a sweep of other settings" in capsys.readouterr().err
    assert main([*other, "resume=elsewhere"]) == 0
    said = capsys.readouterr()
    assert "There is no finished job in" in said.out + said.err


def test_there_is_no_other_ablation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablation=guides"]) == 1
    assert "There is no ablation called 'guides'; did you mean guide" in capsys.readouterr().err
