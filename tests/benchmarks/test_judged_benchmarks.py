"""SimpleQA and Humanity's Last Exam: what is asked of rows in the hub's columns, and what becomes of verdicts. All rows are our own."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmbench.benchmarks import hub
from llmbench.benchmarks.hle import HLE, calibration_error
from llmbench.benchmarks.importing import import_benchmark
from llmbench.errors import DataError, OnlyErrorsError, StoppedError
from llmbench.records import Judgement, Outcome, Request
from llmbench.results.reader import Run, load_run
from llmbench.run import pipeline
from llmbench.run.options import RunOptions
from llmbench.run.prompts import text_hash
from llmbench.run.request_plan import RequestPlan
from tests.helpers.engines import FakeEngines
from tests.helpers.factories import RICH_COMPLETION, result
from tests.helpers.own_data import jsonl
from tests.helpers.settings import compose
from tests.helpers.stand_in_server import Body, StandIn, last_message, serving

FACTS = [
    ("In which year was the bridge of Remagen built?", "1919", "History"),
    ("Who designed the first tower of Pisa's cathedral?", "Bonanno Pisano", "Art"),
    ("What is the capital of the canton of Uri?", "Altdorf", "Geography"),
    ("Which element has the symbol W?", "Tungsten", "Science and technology"),
    ("How many strings has a bass viol?", "6", "Music"),
    ("Which river does the Ponte Vecchio cross?", "Arno", "Geography"),
    ("Who wrote Effi Briest?", "Theodor Fontane", "Art"),
    ("Which planet has the moon Miranda?", "Uranus", "Science and technology"),
    ("In which city did the Congress of 1815 meet?", "Vienna", "History"),
    ("What is the smallest prime above 90?", "97", "Other"),
    ("Which gas do plants take in for photosynthesis?", "carbon dioxide", "Science and technology"),
    ("What is the Latin name of the oak genus?", "Quercus", "Other"),
]
SIMPLEQA = [
    {
        "metadata": str({"topic": topic, "answer_type": "Other", "urls": ["https://example.org"]}),
        "problem": problem,
        "answer": answer,
    }
    for problem, answer, topic in FACTS
]
EXAM = [
    {
        "id": f"exam{number}",
        "question": f"{problem}\nAnswer Choices:\nA. {answer}\nB. none" if number % 4 == 0 else problem,
        "image": "data:image/png;base64,AAAA" if number in {5, 9} else "",
        "answer": "A" if number % 4 == 0 else answer,
        "answer_type": "multipleChoice" if number % 4 == 0 else "exactMatch",
        "author_name": "nobody",
        "rationale": "It is known.",
        "raw_subject": topic,
        "category": topic,
        "canary": "none",
    }
    for number, (problem, answer, topic) in enumerate(FACTS)
]
ROWS = {"simpleqa": SIMPLEQA, "hle": EXAM}
HUB = {"simpleqa": ("basicv8vc/SimpleQA", "test", 4326), "hle": ("cais/hle", "test", 2158)}
PROMPTS = {
    "simpleqa": "60650ecbaed7b9a4dee81e6e1e4303203fcfe75f98fe0b39ce5418182e9e28a6",
    "hle": "fe87538b08f4da9f9238d272f601db1b9ef6603568b776fdfa26fb94e9c59d70",
}
"""SHA-256 of the judge's prompt on the first row and the answer `1919`."""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, rows in ROWS.items():
        jsonl(tmp_path / f"{name}.jsonl", *rows)


def settings(name: str, *more: str) -> list[str]:
    files = f"benchmarks.{name}.data_files={name}.jsonl"
    return [f"benchmark={name}", "engine=fake", "profile=published", "report=false", files, *more]


def golds(name: str) -> dict[str, str]:
    return {
        sample.id: sample.target for sample in RequestPlan.read(compose(settings(name))).samples[name].chosen
    }


def run(name: str, answer: Callable[[Request], str], *more: str, judge: str = "honest") -> Run:
    with FakeEngines(answer, judge=judge).pool() as pool:
        pipeline.run(compose(settings(name, *more)), Path("run"), RunOptions(pool=pool))
    return load_run("run")


@pytest.mark.parametrize("name", ROWS)
def test_the_data_is_the_hubs(name: str) -> None:
    found = compose([f"benchmark={name}"]).benchmarks[name]
    assert (found.hub_id, found.split, found.size) == HUB[name]


@pytest.mark.parametrize("name", ROWS)
def test_the_judges_prompt_is_pinned(name: str) -> None:
    benchmark = import_benchmark(name, compose([f"benchmark={name}"]).benchmarks[name].module)
    sample = benchmark.load(ROWS[name], {}, 0)[0]
    assert benchmark.rubric is not None
    text = benchmark.rubric.prompt(benchmark.question(sample), sample.target, "1919").text
    assert all(word in text for word in (*benchmark.rubric.verdicts, sample.target, FACTS[0][0]))
    assert text_hash(text) == PROMPTS[name]


@pytest.mark.parametrize(("name", "count"), [("simpleqa", 12), ("hle", 10)])
def test_gold_answers_are_right_and_others_wrong(name: str, count: int) -> None:
    right = golds(name)
    found = run(
        name, lambda request: f"Explanation: I know.\nAnswer: {right[request.sample_id]}\nConfidence: 80%"
    )
    assert (found.summary.benchmarks[name].accuracy, len(found.results)) == (1.0, count)
    Path("run").rename("right")
    wrong = run(name, lambda _: "Answer: nobody knows\nConfidence: 20%").summary.benchmarks[name]
    assert wrong.accuracy == 0.0
    assert wrong.rates is not None
    assert wrong.rates.no_answer == 0.0


@pytest.mark.parametrize(
    ("name", "ids"), [("simpleqa", ["0", "1", "2"]), ("hle", ["exam0", "exam1", "exam2"])]
)
def test_questions_have_the_same_ids_each_time_and_a_subject(name: str, ids: list[str]) -> None:
    part = RequestPlan.read(compose(settings(name))).samples[name]
    assert [sample.id for sample in part.chosen[:3]] == ids
    assert {part.benchmark.subject(sample) for sample in part.chosen} == {topic for _, _, topic in FACTS}
    assert all(part.benchmark.stored_fields(sample)["subject"] for sample in part.chosen)


def test_the_topic_is_optional_in_a_copy_of_simpleqa() -> None:
    jsonl(
        Path("simpleqa.jsonl"),
        {"problem": "Where?", "answer": "York"},
        {"problem": "Who?", "answer": 7, "metadata": "{"},
    )
    part = RequestPlan.read(compose(settings("simpleqa"))).samples["simpleqa"]
    assert [(sample.target, part.benchmark.subject(sample)) for sample in part.chosen] == [
        ("York", None),
        ("7", None),
    ]


def test_the_questions_with_an_image_are_left_out_and_counted() -> None:
    found = run("hle", lambda _: "Answer: none")
    assert not {"exam5", "exam9"} & {result.sample_id for result in found.results}
    assert found.manifest.data["hle"].notes == ("With an image, and therefore left out: 2 questions.",)
    assert found.manifest.data["hle"].rows == 12


def test_an_exam_of_images_alone_is_refused() -> None:
    with pytest.raises(DataError, match="each row has an image"):
        HLE().load([{**EXAM[0], "image": "data:"}], {}, 0)


def test_nothing_of_the_exam_stands_in_plain_text() -> None:
    run("hle", lambda _: "Answer: none of them. Confidence: 5%")
    files = [path for path in Path("run").iterdir() if path.is_file()]
    assert all(problem.encode() not in path.read_bytes() for problem, _, _ in FACTS for path in files)


def test_nothing_of_the_exam_stands_in_plain_text_while_answers_wait_for_the_judge() -> None:
    with (
        serving(StandIn(fault=lambda _: "drop")) as server,
        pytest.raises(StoppedError, match="The judge cannot be asked"),
    ):
        run(
            "hle",
            lambda request: golds("hle")[request.sample_id],
            f"judge.base_url={server.url}",
            "judge.retry_s=0",
        )
    waiting = Path("run/unjudged.jsonl").read_bytes()
    assert len(waiting.splitlines()) == 10
    assert not any(problem.encode() in waiting for problem, _, _ in FACTS)


def verdicts(*words: str) -> Callable[[Body], str]:
    """A judge that gives one verdict after another."""
    left = list(words)

    def reply(body: Body) -> str:
        form = last_message(body).splitlines()[-1]
        return form.replace("WORD", left.pop(0))

    return reply


def test_simpleqas_three_verdicts_are_its_outcomes_and_figures() -> None:
    words = ["CORRECT"] * 3 + ["INCORRECT"] * 3 + ["NOT_ATTEMPTED"] * 5 + ["MAYBE"]
    with serving(StandIn(reply=verdicts(*words))) as server:
        found = run("simpleqa", lambda _: "I think so.", f"judge.base_url={server.url}")
    summary = found.summary.benchmarks["simpleqa"]
    assert summary.judge is not None
    assert summary.judge.verdicts == {"CORRECT": 3, "INCORRECT": 3, "NOT_ATTEMPTED": 5}
    assert summary.judge.unjudged == 1
    outcomes = [result.score.outcome for result in found.results]
    assert [
        outcomes.count(o) for o in (Outcome.CORRECT, Outcome.WRONG, Outcome.NO_ANSWER, Outcome.UNJUDGED)
    ] == [3, 3, 5, 1]
    assert summary.accuracy == 3 / 12
    assert summary.details == pytest.approx(
        {
            "correct": 3 / 11,
            "incorrect": 3 / 11,
            "not_attempted": 5 / 11,
            "correct_given_attempted": 0.5,
            "f_score": 2 * (3 / 11) * 0.5 / (3 / 11 + 0.5),
        }
    )


def test_the_exams_stated_confidence_is_measured_against_the_verdicts() -> None:
    right = golds("hle")
    said = {
        "exam0": "Confidence: 100%",
        "exam1": "**Confidence:** 60 %",
        "exam2": "confidence: 10%, no: Confidence: 250%",
    }

    def answer(request: Request) -> str:
        name = request.sample_id
        return f"Answer: {right[name] if name in {'exam0', 'exam1'} else 'nothing'}\n{said.get(name, '')}"

    details = run("hle", answer).summary.benchmarks["hle"].details
    assert details is not None
    assert details["confidence_not_stated"] == 7
    assert details["mean_confidence"] == pytest.approx((1.0 + 0.6 + 1.0 + 7) / 10)
    assert details["calibration_error"] is None  # too few for the published one
    assert details["calibration_error_all_bins"] == pytest.approx(0.96 - 0.2)


STATED = {
    "Confidence: 85%": 85,
    "Confidence: 0.85": 85,
    "Confidence: .8": 80,
    "Confidence: 1.0": 100,
    "Confidence: 0.0": 0,
    "Confidence: 1": 1,
    "Confidence: 0.5%": 0.5,
    "Confidence: 99.5%": 99.5,
    "Confidence (0-100%): 85%": 85,
    "**Confidence (0% to 100%):** 85%": 85,
    "**Confidence** (0\u2013100): 0.85": 85,
    "Confidence (0-1): 0.85": 85,
    "Confidence (from 0% to 100%): 85": 85,
    "Confidence: $85\\%$": 85,
    "Confidence: 0%": 0,
    "Confidence: 0": 0,
    "Confidence: 100%.": 100,
    "Confidence: 20%, no, Confidence: 0.9": 90,
}


@pytest.mark.parametrize("text", STATED)
def test_a_confidence_is_read_in_percent_or_as_a_share(text: str) -> None:
    judgement = Judgement("judge", "YES", "", RICH_COMPLETION)
    details = HLE().details([result(answer=f"Answer: 6\n{text}", judgement=judgement)])
    assert details is not None
    assert (details["mean_confidence"] * 100, details["confidence_not_stated"]) == (
        pytest.approx(STATED[text]),
        0,
    )


def test_the_published_calibration_error_leaves_the_most_confident_bin_out() -> None:
    pairs = [(0.2, float(n % 2)) for n in range(100)] + [(0.9, 0.0)] * 100 + [(1.0, 1.0)] * 150
    expected = (100 / 350) * (0.2 - 0.5) ** 2 + (100 / 350) * 0.9**2
    assert calibration_error(pairs[::-1]) == pytest.approx(math.sqrt(expected))
    assert calibration_error(pairs, all_bins=True) == pytest.approx(math.sqrt(expected))
    assert calibration_error(pairs[:150]) is None
    assert calibration_error([], all_bins=True) is None


def test_a_judge_that_never_answers_leaves_the_exam_without_a_score() -> None:
    with pytest.raises(OnlyErrorsError, match="hle has no score"):
        run("hle", lambda _: "Answer: none", judge="refuse")
    assert json.loads(Path("run/summary.json").read_text())["benchmarks"]["hle"]["details"] is None


def test_columns_of_pictures_are_not_read_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows: dict[str, list[Any]] = {"question": ["Where?"], "image": [""], "image_preview": [None]}
    kinds = datasets.Features(
        {
            "question": datasets.Value("string"),
            "image": datasets.Value("string"),
            "image_preview": datasets.Image(),
        }
    )
    made = datasets.Dataset.from_dict(rows, features=kinds)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: made)
    found = hub.read_hub("hle", compose(["benchmark=hle"]).benchmarks["hle"])
    assert found[0] == [{"question": "Where?", "image": ""}]
