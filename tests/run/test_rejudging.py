"""A run judged again by another judge, and two judges compared."""

import io
import json
from pathlib import Path

import pytest
import yaml

import llmbench
from llmbench.errors import ConfigError
from llmbench.records import Judgement, Outcome, Result
from llmbench.regrade import main
from llmbench.report.compare.comparison import compare_runs
from llmbench.report.compare.terminal_page import show
from llmbench.results.agreement import JudgeAgreement, cohen_kappa
from llmbench.run.regrade import regrade_run
from tests.helpers.factories import RICH_COMPLETION, result
from tests.helpers.judged import CITIES, JUDGED, cities, served
from tests.helpers.runs import flat, make, only
from tests.helpers.stand_in_server import Body, StandIn, last_message, serving


@pytest.fixture(autouse=True)
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose first answer is right and whose own judge finds everything right."""
    monkeypatch.chdir(tmp_path)
    cities(tmp_path)
    golds = list(CITIES.values())
    overrides = [*JUDGED[:3], "engine.args={judge: yes}"]
    return make(
        tmp_path / "run",
        lambda r: f"In {golds[0]}." if r.sample_id == "1" else "In Rome.",
        *overrides,
        judge="yes",
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if "regraded" not in path.name}


def test_without_another_judge_verdicts_stay(judged: Path) -> None:
    found = regrade_run(judged)
    assert found.changes == ()
    assert (judged / "samples.regraded.jsonl").read_bytes() == (judged / "samples.jsonl").read_bytes()


def test_a_text_in_which_no_answer_is_found_any_more_loses_its_verdict(
    judged: Path,
) -> None:
    journal = judged / "samples.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        del line["crc32"]
        line["text"] = "<think>Hm.</think>" if line["id"] == "1" else line["text"]
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    summary = regrade_run(judged).summary.benchmarks["mine"]
    assert summary.accuracy == pytest.approx(2 / 3)
    assert summary.judge is not None
    assert (summary.judge.asked, summary.judge.verdicts) == (2, {"CORRECT": 2})


def test_another_judge_gives_its_verdicts_beside_the_first_ones(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(judged)
    with serving(StandIn(reply=served("honest"))) as server:
        assert main([str(judged), f"judge.base_url={server.url}", "judge.price={input: 2, output: 2}"]) == 0
        assert len(server.asked) == 3
    assert contents(judged) == before
    said = capsys.readouterr().out
    assert "mine: accuracy 100.0% → 33.3%, 2 of 3 graded otherwise" in said
    assert "mine: judged by org/tiny: " in said
    assert (
        "The judges smollm2 and org/tiny agree on 1 of 3 answers that both gave a verdict on (33.3%); Cohen's kappa 0.00."
        in said
    )
    summary = json.loads((judged / "summary.regraded.json").read_text())
    judge = summary["benchmarks"]["mine"]["judge"]
    assert (judge["name"], judge["verdicts"]["INCORRECT"]) == ("org/tiny", 2)
    assert summary["judge_cost"] == 2 * (judge["prompt_tokens"] + judge["output_tokens"]) / 1e6


def test_both_judges_were_asked_the_same(judged: Path) -> None:
    with serving(StandIn(reply=served("honest"))) as server:
        found = regrade_run(judged, [f"judge.base_url={server.url}"])
        texts = {body["messages"][0]["content"] for body in server.asked}
    assert len(texts) == 3
    assert all(question in "".join(texts) for question in CITIES)
    assert {r.judgement.judge for r in found.results if r.judgement} == {"org/tiny"}


def test_a_judge_that_refuses_makes_answers_unjudged_and_not_wrong(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(StandIn(reply=served("refuse"))) as server:
        assert main([str(judged), f"judge.base_url={server.url}"]) == 1
    assert "mine has no score: none of its 3 answers has a judge's verdict" in capsys.readouterr().err


def test_what_is_doubtful_of_the_server_of_another_judge_is_said(judged: Path) -> None:
    with serving(StandIn(reply=served("honest"), fault=lambda _: "no_usage")) as server:
        (said,) = regrade_run(judged, [f"judge.base_url={server.url}"]).notes
    assert said.startswith("The judge: The server did not count all tokens of 3 completions")


def test_the_cache_gives_the_verdicts_of_a_judge_that_was_asked_before(
    judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(judged.parent / "cache"))
    with serving(StandIn(reply=served("honest"))) as server:
        for _ in range(2):
            found = regrade_run(judged, [f"judge.base_url={server.url}", "cache=on"])
        assert len(server.asked) == 3
    judge = found.summary.benchmarks["mine"].judge
    assert judge is not None
    assert judge.from_cache == 3


def test_the_evaluated_model_judges_no_run_again_whose_judge_was_served(judged: Path) -> None:
    settings = yaml.safe_load((judged / "config.yaml").read_text())
    settings["judge"]["base_url"] = "http://localhost:1/v1"
    (judged / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match=r"loads no model that could judge; type judge\.base_url=URL"):
        regrade_run(judged, ["judge.model=same"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["judge.max_tokens=99"], "regrade loads no model that could judge"),
        (["judge.model=same"], "regrade loads no model that could judge"),
        (["judge.base_ulr=x"], r"did you mean judge\.base_url"),
        (["limit=3"], r"limit=3 is refused"),
        (["judge.base_url=http://localhost:1/v1", "judge.max_tokens=many"], r"judge\.max_tokens must be"),
        (["judge.base_url=http://localhost:1/v1", "judge.price={input"], "cannot be read"),
        (["judge.base_url=nowhere"], r"judge\.base_url=nowhere is refused"),
    ],
)
def test_settings_of_no_judge_are_refused(judged: Path, settings: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        regrade_run(judged, settings)
    assert not (judged / "samples.regraded.jsonl").exists()


def test_a_run_without_judged_answers_takes_no_judge(tmp_path: Path) -> None:
    folder = make(tmp_path / "sums", lambda _: "7", "benchmark=arithmetic", "engine=fake", "limit=2")
    with pytest.raises(ConfigError, match="no answers that a judge grades"):
        regrade_run(folder, ["judge.base_url=http://localhost:1/v1"])


def test_two_judges_of_one_run_are_compared(judged: Path) -> None:
    with serving(StandIn(reply=served("honest"))) as server:
        regrade_run(judged, [f"judge.base_url={server.url}"])
    compared = compare_runs(judged, judged, regraded=True)
    judges = only(compared).benchmarks[0].judges
    assert judges is not None
    assert (judges.baseline, judges.run, judges.answers) == ("smollm2", "org/tiny", 3)
    assert {(d.baseline, d.run) for d in judges.differing} == {("CORRECT", "INCORRECT")}
    assert {d.sample_id for d in judges.differing} == {"2", "3"}
    out = io.StringIO()
    show(compared, out)
    assert "The judges smollm2 and org/tiny agree on 1 of 3 answers" in flat(out.getvalue())
    assert "(CORRECT → INCORRECT)" in flat(out.getvalue())


def test_one_judge_alone_is_not_compared(judged: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other", lambda _: "In Rome.", *JUDGED[:3], judge="yes")
    assert only(compare_runs(judged, other)).benchmarks[0].judges is None


def test_a_comparison_says_where_a_judge_gave_no_verdict_and_where_another_judged(judged: Path) -> None:
    def fault(body: Body) -> tuple[int, str] | None:
        return (400, "I will not read that") if "tower" in last_message(body) else None

    with serving(StandIn(reply=served("yes"), fault=fault)) as server:
        regrade_run(judged, [f"judge.base_url={server.url}"])
    compared = only(compare_runs(judged, judged, regraded=True)).benchmarks[0]
    assert compared.run.accuracy == pytest.approx(2 / 3)
    assert compared.notes == (
        "The run's judge, org/tiny, gave no verdict on 1 of 3 answers: they count as 0, right or not.",
        "The baseline was judged by smollm2, the run by org/tiny: a difference of the scores may be one of the judges.",
    )
    assert only(compare_runs(judged, judged)).benchmarks[0].notes == ()


def test_a_table_of_results_has_judge_and_verdict(judged: Path) -> None:
    table = llmbench.load_run(judged).to_pandas()
    assert list(table["judge"]) == ["smollm2"] * 3
    assert list(table["verdict"]) == ["CORRECT"] * 3


@pytest.mark.parametrize(
    ("pairs", "kappa"),
    [
        ([("yes", "yes"), ("no", "no")], 1.0),
        ([("yes", "no"), ("no", "yes")], -1.0),
        ([("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no")], 0.0),
        ([("yes", "yes")] * 3, None),
        ([("yes", "no")] * 3, 0.0),
        ([], None),
        (
            [("a", "a")] * 25 + [("b", "b")] * 13 + [("c", "c")] * 2 + [("a", "b")] * 6 + [("b", "c")] * 4,
            0.640288,
        ),
    ],
)
def test_kappa_is_agreement_beyond_chance(pairs: list[tuple[str, str]], kappa: float | None) -> None:
    assert cohen_kappa(pairs) == (kappa if kappa is None else pytest.approx(kappa, abs=1e-4))


def of(judge: str, verdict: str | None, text: str = "so 4") -> Result:
    outcome = Outcome.UNJUDGED if verdict is None else Outcome.CORRECT
    return result(1, outcome, text, judgement=Judgement(judge, verdict, "f" * 64, RICH_COMPLETION))


def test_judges_are_compared_on_the_same_text_and_where_both_gave_a_verdict() -> None:
    pairs = [
        (of("a", "YES"), of("b", "NO")),
        (of("a", "YES"), of("b", "YES")),
        (of("a", None), of("b", "NO")),
        (of("a", "YES"), of("b", None)),
        (of("a", "YES", "so 4"), of("b", "NO", "so 5")),
        (of("a", "YES"), result(1)),
    ]
    found = JudgeAgreement.of(pairs)
    assert found is not None
    assert (found.answers, found.agreement, len(found.differing)) == (2, 0.5, 1)
    assert JudgeAgreement.of([(of("a", "YES"), of("a", "NO"))]) is None
