"""Runs whose answers a judge grades: the evaluated model itself, as the fake engine, or a stand-in server."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import llmbench
from llmbench.cli.main import main
from llmbench.errors import ConfigError, OnlyErrorsError, StoppedError
from llmbench.records import Outcome, Request
from llmbench.report.export import lm_eval
from llmbench.results.reader import Run, load_run
from llmbench.results.serialization import line_of
from llmbench.run import pipeline
from llmbench.run.options import Beginning, RunOptions
from tests.helpers.engines import FakeEngines
from tests.helpers.judged import CITIES, INJECTIONS, JUDGED, cities, injected, mark_of, served
from tests.helpers.own_data import jsonl
from tests.helpers.settings import compose
from tests.helpers.stand_in_server import Body, StandIn, last_message, serving

Answers = Callable[[Request], str]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    cities(tmp_path)


def right(request: Request) -> str:
    return f"It is in {list(CITIES.values())[int(request.sample_id) - 1]}."


def run(
    answers: Answers, *overrides: str, judge: str = "honest", beginning: Beginning = Beginning.NEW
) -> Run:
    config = compose([*JUDGED, *overrides])
    with FakeEngines(answers, judge=judge).pool() as pool:
        pipeline.run(config, Path("run"), RunOptions(pool=pool, beginning=beginning))
    return load_run("run")


@pytest.mark.parametrize(
    ("answer", "accuracy", "outcome"),
    [(right, 1.0, Outcome.CORRECT), (lambda _: "In Rome.", 0.0, Outcome.WRONG)],
)
def test_the_model_judges_its_own_answers_and_says_so(
    answer: Answers, accuracy: float, outcome: Outcome
) -> None:
    found = run(answer)
    summary = found.summary.benchmarks["mine"]
    assert summary.accuracy == accuracy
    assert {result.score.outcome for result in found.results} == {outcome}
    assert summary.judge is not None
    assert (summary.judge.name, summary.judge.asked, summary.judge.unjudged) == ("smollm2", 3, 0)
    assert "mine: smollm2 judges its own answers" in found.summary.preflight[0]
    assert not Path("run/unjudged.jsonl").exists()


def test_a_finished_run_that_judged_itself_has_nothing_left(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(list(JUDGED)) == 0
    assert main(["resume=run"]) == 0
    assert "nothing is left to ask" in capfd.readouterr().out


def test_a_judge_that_nobody_asks_is_said() -> None:
    found = run(right, "custom.grade=contains", "judge.base_url=http://localhost:9/v1")
    assert found.summary.preflight == [
        "judge.base_url has no effect: no judge grades mine, as it does with custom.grade=judge, simpleqa and hle."
    ]


def test_the_journal_has_verdict_reason_and_the_hash_of_the_judges_prompt() -> None:
    run(right)
    line = json.loads(Path("run/samples.jsonl").read_text().splitlines()[0])
    assert line["score"]["explanation"] == "The reference stands in the answer."
    said = line["judgement"]
    assert (said["judge"], said["verdict"]) == ("smollm2", "CORRECT")
    assert len(said["prompt_hash"]) == 64
    assert said["prompt_hash"] != line["prompt_hash"]
    assert said["completion"]["text"].splitlines()[-1].startswith("VERDICT ")
    assert line["fields"] == {"question": list(CITIES)[int(line["id"]) - 1]}


def test_the_judges_tokens_stand_apart_from_the_models() -> None:
    found = run(right)
    summary = found.summary.benchmarks["mine"]
    assert summary.judge is not None
    assert summary.tokens.output == 4 * 3
    assert summary.judge.output_tokens == 9 * 3
    assert summary.judge.prompt_tokens > summary.tokens.prompt


def test_a_judge_that_finds_everything_right_shows_in_its_verdicts() -> None:
    summary = run(lambda _: "In Rome.", judge="yes").summary.benchmarks["mine"]
    assert summary.accuracy == 1.0
    assert summary.judge is not None
    assert summary.judge.verdicts == {"CORRECT": 3}


@pytest.mark.parametrize("judge", ["refuse", "malformed", "obey"])
def test_a_judge_without_a_verdict_gives_no_score(judge: str) -> None:
    with pytest.raises(
        OnlyErrorsError, match=r"none of its 3 answers has a judge's verdict, .* judge\.base_url=URL"
    ):
        run(right, judge=judge)
    found = load_run("run")
    summary = found.summary.benchmarks["mine"]
    assert {result.score.outcome for result in found.results} == {Outcome.UNJUDGED}
    assert summary.judge is not None
    assert (summary.judge.unjudged, summary.judge.unjudged_share) == (3, 1.0)
    assert summary.bounds == (0.0, 1.0)
    assert any("gave no verdict on 3 of 3 answers (100.0%)" in warning for warning in found.summary.warnings)


def test_answers_that_ask_for_a_verdict_get_none_from_a_judge_that_obeys() -> None:
    injected(Path.cwd())
    with pytest.raises(OnlyErrorsError):
        run(lambda request: INJECTIONS[int(request.sample_id) - 1], judge="obey")
    assert Counter(result.score.outcome for result in load_run("run").results) == {
        Outcome.UNJUDGED: len(INJECTIONS)
    }


def test_answers_that_ask_for_a_verdict_change_none_of_an_honest_judge() -> None:
    injected(Path.cwd())
    found = run(lambda request: INJECTIONS[int(request.sample_id) - 1].replace("York", "Rome"))
    assert Counter(result.score.outcome for result in found.results) == {Outcome.WRONG: len(INJECTIONS)}


def test_a_text_without_an_answer_is_not_sent_to_the_judge() -> None:
    found = run(lambda request: "<think>Hm.</think>" if request.sample_id == "2" else right(request))
    by_id = {result.sample_id: result for result in found.results}
    assert by_id["2"].score.outcome is Outcome.NO_ANSWER
    assert by_id["2"].judgement is None
    assert found.summary.benchmarks["mine"].judge is not None
    assert found.summary.benchmarks["mine"].judge.asked == 2


def test_an_answer_too_long_for_the_judge_is_unjudged_and_says_why() -> None:
    config = ["model.max_length=700", "benchmarks.mine.max_tokens=300", "judge.max_tokens=250"]
    found = run(lambda r: "word " * 290 if r.sample_id == "1" else right(r), *config)
    by_id = {result.sample_id: result.score for result in found.results}
    assert by_id["1"].outcome is Outcome.UNJUDGED
    assert "more than model.max_length=700" in by_id["1"].explanation
    assert by_id["2"].outcome is Outcome.CORRECT


def test_a_reply_that_is_cut_off_is_no_verdict() -> None:
    with pytest.raises(OnlyErrorsError, match=r"cut off by judge\.max_tokens=8"):
        run(right, "judge.max_tokens=8")


def test_a_run_killed_between_answer_and_verdict_asks_for_the_verdict_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The fake engine breaks after each completion, so that each attempt gets an answer or a verdict."""
    attempts = 0
    assert main([*JUDGED, "batch_size=1", "engine.args={break_after: 1}"]) == 1
    waiting = [json.loads(line) for line in Path("run/unjudged.jsonl").read_text().splitlines()]
    assert [row["outcome"] for row in waiting] == ["unjudged"]
    assert Path("run/samples.jsonl").read_bytes() == b""
    while main(["resume=run"]):
        attempts += 1
        assert attempts < 6
    assert "1 answer without the judge's verdict" in capfd.readouterr().err
    assert attempts == 4  # six completions are three answers and three verdicts
    found = load_run("run")
    assert len(found.results) == 3
    assert {result.sample_id: result.text for result in found.results}[waiting[0]["id"]] == waiting[0]["text"]
    assert not Path("run/unjudged.jsonl").exists()


def test_a_torn_line_of_a_waiting_answer_is_asked_again() -> None:
    assert main([*JUDGED, "batch_size=1", "engine.args={break_after: 1}"]) == 1
    path = Path("run/unjudged.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    while main(["resume=run"]):
        pass
    assert len(load_run("run").results) == 3


def test_another_judge_is_refused_when_a_run_is_resumed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*JUDGED, "batch_size=1", "engine.args={break_after: 3}"]) == 1
    with serving(StandIn(reply=served("honest"))) as server:
        assert main(["resume=run", f"judge.base_url={server.url}"]) == 1
        assert not server.asked
    assert "judge.model=org/tiny (it was same) cannot change within a run" in capfd.readouterr().err
    assert main(["resume=run", "judge.max_tokens=99"]) == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("judge.model=qwen14b", r"judge\.model=qwen14b is refused without judge\.base_url"),
        ("judge.max_tokens=0", r"judge\.max_tokens=0 is refused"),
        ("judge.concurrency=0", r"judge\.concurrency=0 is refused"),
        ("judge.temperature=-1", r"judge\.temperature=-1"),
        ("judge.base_url=nowhere", r"judge\.base_url=nowhere is refused: judge\.base_url must be an address"),
        ("judge.price={cached: 1}", r"judge\.price\.cached is refused"),
        ("judge.extra_body={model: x}", r"judge\.extra_body\.model is refused"),
    ],
)
def test_settings_that_no_judge_could_be_asked_with_are_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose([*JUDGED, override])


def test_the_evaluated_model_and_a_server_are_not_both_the_judge() -> None:
    with pytest.raises(ConfigError, match="leave one out"):
        compose([*JUDGED, "judge.model=same", "judge.base_url=http://localhost:1/v1"])


def test_a_served_judge_is_asked_while_the_model_answers() -> None:
    with serving(StandIn(reply=served("honest"))) as server:
        price = "judge.price={input: 1000000, output: 1000000}"
        found = run(right, f"judge.base_url={server.url}", price, judge="refuse")
        assert len(server.asked) == 3
        body = server.asked[0]
    summary = found.summary.benchmarks["mine"]
    assert (summary.accuracy, summary.judge and summary.judge.name) == (1.0, "org/tiny")
    assert (body["model"], body["temperature"], body["max_completion_tokens"]) == ("org/tiny", 0.0, 1024)
    assert len(mark_of(last_message(body))) == 16
    assert summary.judge is not None
    assert found.summary.judge_cost == summary.judge.prompt_tokens + summary.judge.output_tokens
    assert found.summary.cost is None
    assert not found.summary.preflight
    assert "model: org/tiny" in Path("run/config.yaml").read_text()


def test_a_judges_server_gets_no_more_requests_at_once_than_asked_for() -> None:
    injected(Path.cwd())
    with serving(StandIn(reply=served("honest"), word_s=0.002)) as server:
        run(lambda _: "In York.", f"judge.base_url={server.url}", "judge.concurrency=2")
        assert 1 <= server.most_in_flight <= 2
        assert len(server.asked) == len(INJECTIONS)


def test_what_is_typed_for_the_judges_requests_is_sent_and_the_manifest_says_who_it_is() -> None:
    with serving(StandIn(reply=served("honest"))) as server:
        assert main([*JUDGED, f"judge.base_url={server.url}", "judge.extra_body.reasoning_effort=low"]) == 0
        assert {body["reasoning_effort"] for body in server.asked} == {"low"}
    manifest = load_run("run").manifest
    assert manifest.judge is not None
    assert (manifest.judge.model, manifest.judge.address) == ("org/tiny", server.url)
    assert manifest.server is None


def test_the_library_takes_a_judge_by_its_settings() -> None:
    custom = {"data": "mine.jsonl", "grade": "judge"}
    with serving(StandIn(reply=served("yes"))) as server:
        found = llmbench.evaluate(
            custom=custom,
            judge={"base_url": server.url, "extra_body": {"top_p": 1}},
            engine="fake",
            quiet=True,
            report=False,
        )
    assert found.summary.benchmarks["mine"].accuracy == 1.0


def test_a_served_judge_gets_the_key_of_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-of-the-judge-1234")
    with serving(StandIn(reply=served("honest"), key="sk-of-the-judge-1234")) as server:
        assert (
            run(right, f"judge.base_url={server.url}", "judge.api_key_env=JUDGE_KEY").summary.status
            == "finished"
        )
    assert all(b"sk-of-the-judge" not in path.read_bytes() for path in Path("run").iterdir())


def test_a_judge_that_is_not_there_is_said_before_anything_is_asked() -> None:
    with pytest.raises(
        llmbench.errors.EngineError, match=r"The judge cannot be asked: .* check judge\.base_url"
    ):
        run(right, "judge.base_url=http://127.0.0.1:9/v1")
    assert not Path("run").exists()


def test_a_run_whose_judge_is_not_there_leaves_no_folder(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*JUDGED, "judge.base_url=http://127.0.0.1:9/v1"]) == 1
    assert "The judge cannot be asked" in capfd.readouterr().err
    assert not Path("run").exists()


def test_a_run_whose_judge_fails_keeps_its_answers_and_resumes_with_the_verdicts() -> None:
    asked: list[str] = []

    def answers(request: Request) -> str:
        asked.append(request.sample_id)
        return right(request)

    with serving(StandIn(reply=served("honest"), fault=lambda _: "drop")) as server:
        settings = (f"judge.base_url={server.url}", "judge.retry_s=0")
        with pytest.raises(StoppedError, match=r"The judge cannot be asked: .*judge\.retry_s=0 s: "):
            run(answers, *settings)
        assert len(Path("run/unjudged.jsonl").read_text().splitlines()) == 3
        server.fault = lambda _: None
        found = run(answers, *settings, beginning=Beginning.RESUMED)
    assert sorted(asked) == ["1", "2", "3"]
    assert found.summary.benchmarks["mine"].accuracy == 1.0


def test_times_of_answers_from_an_attempt_before_are_not_those_of_the_one_that_got_the_verdicts() -> None:
    with serving(StandIn(reply=served("honest"), fault=lambda _: "drop")) as server:
        settings = (f"judge.base_url={server.url}", "judge.retry_s=0")
        with pytest.raises(StoppedError):
            run(right, *settings)
        server.fault = lambda _: None
        found = run(right, *settings, beginning=Beginning.RESUMED).summary
    summary = found.benchmarks["mine"]
    assert summary.latency_s.mean is not None
    assert (summary.time_s, summary.throughput.output_tokens_per_s) == (None, None)
    assert found.time_s.requests is None


def test_an_answer_that_is_refused_before_any_verdict_came_ends_no_run() -> None:
    def fault(body: Body) -> tuple[int, str] | None:
        return None if "in Berlin" in last_message(body) else (400, "I will not read that")

    with serving(StandIn(reply=served("honest"), fault=fault)) as server:
        found = run(right, f"judge.base_url={server.url}", "judge.concurrency=1", "batch_size=1")
    outcomes = {result.sample_id: result.score.outcome for result in found.results}
    assert outcomes == {"1": Outcome.UNJUDGED, "2": Outcome.UNJUDGED, "3": Outcome.CORRECT}


def test_what_is_doubtful_of_the_judges_server_is_said() -> None:
    with serving(StandIn(reply=served("honest"), fault=lambda _: "no_usage")) as server:
        found = run(right, f"judge.base_url={server.url}")
    (said,) = found.summary.notes
    assert said.startswith("The judge: The server did not count all tokens of 3 completions")


def test_a_model_that_judges_itself_is_asked_as_the_benchmark_asks_it() -> None:
    prompts: list[str] = []

    def answers(request: Request) -> str:
        prompts.append(request.id)
        return right(request)

    def lengths(*overrides: str) -> int:
        found = run(answers, *overrides).results
        Path("run").rename(f"run{len(prompts)}")
        return sum(r.judgement.completion.prompt_tokens for r in found if r.judgement)

    assert lengths("benchmarks.mine.chat=false") == lengths("chat=false") < lengths()


def test_a_judge_that_refuses_everything_ends_the_run() -> None:
    rows = ({"question": f"Where? ({n})", "answer": "York"} for n in range(9))
    jsonl(Path("mine.jsonl"), *rows)
    with serving(StandIn(fault=lambda _: (400, "no such field"))) as server:
        with pytest.raises(llmbench.errors.EngineError, match=r"The judge cannot be asked: .* no such field"):
            run(lambda _: "In York.", f"judge.base_url={server.url}")
        assert len(load_run("run").results) < 9


def test_other_weights_under_the_name_of_the_judge_are_refused_when_a_run_is_resumed() -> None:
    verdicts = iter(range(9))
    dies = lambda _: "drop" if next(verdicts) else None  # noqa: E731 - a fault
    with serving(StandIn(reply=served("honest"), fault=dies, root="/models/a")) as server:
        settings = ("judge.retry_s=0", "judge.concurrency=1", "batch_size=1")
        with pytest.raises(StoppedError):
            run(right, f"judge.base_url={server.url}", *settings)
    before = Path("run/summary.json").read_bytes()
    with serving(StandIn(reply=served("honest"), root="/models/b")) as server:
        said = r"The judge: .* serves org/tiny \(/models/b\) now, and the results in run are those of org/tiny \(/models/a\)"
        with pytest.raises(ConfigError, match=said):
            run(right, f"judge.base_url={server.url}", *settings, beginning=Beginning.RESUMED)
        assert not server.asked
    assert Path("run/summary.json").read_bytes() == before
    with serving(StandIn(reply=served("honest"), root="/models/a")) as server:
        found = run(right, f"judge.base_url={server.url}", *settings, beginning=Beginning.RESUMED)
    assert found.summary.benchmarks["mine"].accuracy == 1.0
    assert any("The judge: This run goes on under other conditions" in note for note in found.summary.notes)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_an_answer_that_the_judges_server_refuses_alone_is_unjudged(status: int) -> None:
    def fault(body: Body) -> tuple[int, str] | None:
        return (status, "I will not read that") if "Paris" in last_message(body) else None

    with serving(StandIn(reply=served("honest"), fault=fault)) as server:
        found = run(right, f"judge.base_url={server.url}")
    outcomes = {result.sample_id: result.score for result in found.results}
    assert [outcomes[number].outcome for number in "123"] == [
        Outcome.CORRECT,
        Outcome.UNJUDGED,
        Outcome.CORRECT,
    ]
    assert "I will not read that" in outcomes["2"].explanation


def test_the_response_cache_gives_verdicts_of_a_served_judge_back() -> None:
    with serving(StandIn(reply=served("honest"))) as server:
        settings = (f"judge.base_url={server.url}", "cache=on")
        run(right, *settings)
        Path("run").rename("first")
        found = run(right, *settings)
        assert len(server.asked) == 3
    summary = found.summary.benchmarks["mine"]
    assert summary.judge is not None
    assert (summary.judge.from_cache, summary.judge.output_tokens) == (3, 0)
    assert summary.accuracy == 1.0


def test_the_response_cache_gives_verdicts_of_the_model_itself_back() -> None:
    run(right, "cache=on")
    Path("run").rename("first")
    summary = run(lambda _: "never asked", "cache=on", judge="refuse").summary.benchmarks["mine"]
    assert summary.judge is not None
    assert (summary.judge.from_cache, summary.accuracy) == (3, 1.0)


def test_of_a_sealed_benchmark_neither_reply_nor_reason_can_be_read() -> None:
    assert main([*JUDGED, "benchmarks.mine.sealed=true"]) == 0
    content = Path("run/samples.jsonl").read_text()
    assert "VERDICT" not in content
    assert "reference stands" not in content
    assert {result.judgement is not None for result in load_run("run").results} == {True}


def test_a_judge_is_asked_for_each_repeat_with_a_seed_of_its_own() -> None:
    sampled = ("sampling.repeats=2", "sampling.temperature=1", "judge.temperature=0.5")
    with serving(StandIn(reply=served("honest"))) as server:
        found = run(right, f"judge.base_url={server.url}", *sampled)
        seeds = {body["seed"] for body in server.asked}
    assert len(seeds) == len(found.results) == 6


def test_a_benchmark_that_is_not_judged_needs_no_judge() -> None:
    assert (
        main(
            [
                "benchmark=arithmetic",
                "limit=3",
                "engine=fake",
                "report=false",
                "judge.base_url=http://127.0.0.1:9/v1",
            ]
        )
        == 0
    )


def test_the_library_grades_no_text_that_a_judge_has_to_grade() -> None:
    custom = {"question": "question", "answer": "answer", "grade": "judge"}
    found = llmbench.grade("custom", {"question": "Where?", "answer": "York"}, "In York.", custom=custom)
    assert found == replace(found, outcome=Outcome.UNJUDGED, value=0.0, answer="In York.")


def test_another_model_at_the_judges_server_is_refused_when_a_run_is_resumed() -> None:
    with serving(StandIn(reply=served("honest"), fault=lambda _: "drop")) as server:
        settings = (f"judge.base_url={server.url}", "judge.retry_s=0")
        with pytest.raises(StoppedError):
            run(right, *settings)
    with serving(StandIn(models=("org/other",))) as server:
        settings = (f"judge.base_url={server.url}", "judge.retry_s=0")
        with pytest.raises(ConfigError, match=r"judge\.model=org/other \(it was org/tiny\) cannot change"):
            run(right, *settings, beginning=Beginning.RESUMED)


def test_a_served_model_judges_itself_through_the_same_server() -> None:
    def reply(body: Body) -> str:
        return served("honest")(body) if "VERDICT" in last_message(body) else "In York."

    price = "engine.price={input: 1000000, output: 1000000}"
    with serving(StandIn(reply=reply)) as server:
        settings = [
            "engine=endpoint",
            f"engine.base_url={server.url}",
            price,
            "benchmarks.mine.max_tokens=100",
            *JUDGED[:2],
            *JUDGED[3:],
        ]
        assert main(settings) == 0
        assert len(server.asked) == 6
    found = load_run("run")
    summary = found.summary.benchmarks["mine"]
    assert summary.judge is not None
    assert (summary.judge.name, summary.judge.verdicts) == ("org--tiny", {"CORRECT": 1, "INCORRECT": 2})
    judged = summary.judge.prompt_tokens + summary.judge.output_tokens
    assert found.summary.cost == summary.tokens.prompt + summary.tokens.output + judged
    assert found.summary.judge_cost is None


def test_the_cost_of_an_answer_is_kept_where_its_run_was_killed_before_the_verdict() -> None:
    def reply(body: Body) -> str:
        return served("honest")(body) if "VERDICT" in last_message(body) else "In York."

    own = ["benchmarks.mine.max_tokens=100", "engine.price={input: 1000000, output: 1000000}"]
    with serving(StandIn(reply=reply)) as server:
        assert main([*JUDGED[:2], "engine=endpoint", f"engine.base_url={server.url}", *own, *JUDGED[3:]]) == 0
        whole = load_run("run")
        killed(whole)
        assert main(["resume=run"]) == 0
    found = load_run("run").summary
    assert found.cost == whole.summary.cost
    assert [attempt.cost for attempt in found.sittings] == [None, found.cost]


def killed(run: Run) -> None:
    """Makes of a finished run what is left of one that was killed when each answer waited for its verdict."""
    waiting = [
        replace(r, judgement=None, score=replace(r.score, outcome=Outcome.UNJUDGED)) for r in run.results
    ]
    (run.folder / "unjudged.jsonl").write_bytes(b"".join(line_of(r, sealed=False) for r in waiting))
    (run.folder / "samples.jsonl").write_bytes(b"")
    (run.folder / "summary.json").unlink()
    manifest = json.loads((run.folder / "manifest.json").read_text())
    attempt = manifest["sittings"][0] | {"status": "running", "results": 0, "cost": None}
    left = manifest | {"status": "running", "sittings": [attempt]}
    (run.folder / "manifest.json").write_text(json.dumps(left))


def test_terminal_and_page_name_the_judge_and_how_often_it_said_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fault(body: Body) -> tuple[int, str] | None:
        return (400, "I will not read that") if "Berlin" in last_message(body) else None

    with serving(StandIn(reply=served("honest"), fault=fault)) as server:
        assert main([*JUDGED[:3], "hydra.run.dir=run", f"judge.base_url={server.url}"]) == 0
    captured = capfd.readouterr()
    shown = " ".join((captured.out + captured.err).split())
    assert "mine: judged by org/tiny:" in shown
    assert "1 of 3 answers (33.3%) without a verdict" in shown
    assert "mine: the judge, org/tiny, gave no verdict on 1 of 3 answers (33.3%)" in shown
    page = Path("run/report.html").read_text()
    assert "1 of 3 (33.3%)" in page
    assert "org/tiny" in page


def test_the_harnesss_layout_calls_a_judges_verdict_no_exact_match() -> None:
    def fault(body: Body) -> tuple[int, str] | None:
        return (400, "I will not read that") if "Paris" in last_message(body) else None

    with serving(StandIn(reply=served("honest"), fault=fault)) as server:
        found = run(right, f"judge.base_url={server.url}")
    (_, results), (_, samples) = lm_eval.files(found, {"benchmarks": {"mine": {}}}, set())
    content = json.loads(results)
    assert content["results"]["mine"]["judged,none"] == found.summary.benchmarks["mine"].accuracy
    said = content["configs"]["mine"]["metadata"]
    assert (said["judge"], said["unjudged"]) == ("org/tiny", 1)
    assert "exact_match" not in results + samples


def test_most_answers_agree_on_nothing_where_whole_texts_are_judged() -> None:
    repeated = run(right, "sampling.repeats=2", "sampling.temperature=1").summary.benchmarks["mine"].repeated
    assert repeated is not None
    assert repeated.maj is None
    assert repeated.avg is not None
