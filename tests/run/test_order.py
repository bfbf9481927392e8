"""In which order requests are asked, and what is known of their lengths from earlier runs."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from llmbench.config.schema import Config
from llmbench.records import FinishReason, Request, Result, Sampling
from llmbench.results.reader import load_run
from llmbench.run import order, pipeline
from llmbench.system import files
from tests.helpers import factories
from tests.helpers.settings import compose

ARITHMETIC = ["benchmark=arithmetic", "engine=transformers", "model=smollm2"]


def request(
    number: int, benchmark: str = "b", *, limit: int = 100, prompt: int = 5, repeat: int = 0
) -> Request:
    return Request(
        f"{benchmark}/{number}/{repeat}",
        benchmark,
        str(number),
        repeat,
        tuple(range(prompt)),
        Sampling(max_tokens=limit),
    )


def lengths(**tokens: dict[int, float]) -> order.Lengths:
    return {
        name: {order.question(str(number)): length for number, length in of.items()}
        for name, of in tokens.items()
    }


def numbers(requests: list[Request], known: order.Lengths, config: Config | None = None) -> list[int]:
    made, _ = order.ordered(requests, config or compose([]), known)
    assert sorted(each.id for each in made) == sorted(each.id for each in requests)
    return [int(each.sample_id) for each in made]


def test_without_earlier_answers_the_largest_limit_and_the_longest_prompt_come_first() -> None:
    requests = [request(0), request(1, prompt=9), request(2, limit=200), request(3, prompt=7)]
    assert numbers(requests, {}) == [2, 1, 3, 0]
    assert order.ordered(requests, compose([]), {})[1] == order.BY_LIMIT


def test_the_longest_expected_come_first() -> None:
    requests = [request(number) for number in range(6)]
    known = lengths(b={0: 10, 1: 20, 2: 90, 3: 30, 4: 80, 5: 40})
    assert numbers(requests, known) == [2, 4, 5, 3, 1, 0]
    basis = order.ordered(requests, compose([]), known)[1]
    assert basis == "the longest expected first, by the lengths of earlier answers to 6 of 6 requests"


def test_a_question_without_an_earlier_answer_is_expected_to_take_the_median() -> None:
    requests = [request(number) for number in range(4)]
    assert numbers(requests, lengths(b={0: 10, 1: 50, 2: 60}))[0] == 2
    assert numbers(requests, lengths(b={0: 10, 1: 20, 2: 30, 9: 90, 8: 90}))[0] == 2
    assert numbers(requests, lengths(b={0: 10, 1: 20, 2: 15, 9: 90, 8: 90}))[0] == 1


def test_a_benchmark_without_earlier_answers_is_expected_to_take_a_share_of_its_limit() -> None:
    requests = [request(0), request(1), request(2, "other", limit=400), request(3, "other", limit=160)]
    assert numbers(requests, lengths(b={0: 70, 1: 10})) == [2, 0, 3, 1], "100, 70, 40 and 10 tokens"


def test_an_answer_is_not_expected_to_pass_its_limit() -> None:
    requests = [request(0, limit=50, prompt=9), request(1, limit=80, prompt=9)]
    assert numbers(requests, lengths(b={0: 900, 1: 70}))[0] == 1


def test_one_benchmark_after_another_stays_so() -> None:
    config = compose(["benchmark=[gsm8k,arithmetic]", "schedule=sequential"])
    requests = [request(number, name) for name in ("arithmetic", "gsm8k") for number in range(3)]
    made, _ = order.ordered(requests, config, lengths(arithmetic={2: 90, 0: 1}, gsm8k={1: 5}))
    assert [each.benchmark for each in made] == ["gsm8k"] * 3 + ["arithmetic"] * 3
    assert [each.sample_id for each in made][3:] == ["2", "1", "0"]


def test_every_repeat_is_asked_once() -> None:
    requests = [request(number, repeat=repeat) for number in range(3) for repeat in range(3)]
    assert sorted(numbers(requests, lengths(b={1: 50}))) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.fixture
def config(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    assert not cache_folder.exists()
    monkeypatch.setattr(order, "NOT_KEPT", ("fake",))
    return compose(ARITHMETIC)


def results(**tokens: int) -> list[Result]:
    made = [factories.result(number, tokens=length) for number, length in tokens.items()]
    return [replace(result, benchmark="arithmetic") for result in made]


def known(config: Config) -> dict[str, float]:
    return dict(order.known_lengths(config).get("arithmetic", {}))


def tokens_of(config: Config, sample_id: str) -> float:
    return known(config)[order.question(sample_id)]


def test_lengths_are_known_in_the_next_run(config: Config) -> None:
    assert known(config) == {}
    order.remember_lengths(config, results(a=10, b=30))
    assert (tokens_of(config, "a"), tokens_of(config, "b")) == (10, 30)
    order.remember_lengths(config, results(a=20))
    assert (tokens_of(config, "a"), tokens_of(config, "b")) == (20, 30)


def test_a_request_may_have_numbers_for_keys(config: Config) -> None:
    config.engine.extra_body = {"logit_bias": {50256: -100}}
    order.remember_lengths(config, results(a=10))
    assert tokens_of(config, "a") == 10


def test_a_full_disk_leaves_what_was_known_and_nothing_half(
    config: Config, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order.remember_lengths(config, results(a=10))

    def full(path: Path, pieces: list[bytes]) -> None:
        path.write_bytes(pieces[0][:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_new", full)
    order.remember_lengths(config, results(a=90))
    assert tokens_of(config, "a") == 10
    assert len(list((cache_folder / "lengths").iterdir())) == 1


def test_without_a_home_folder_nothing_is_known(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", "~nobody-of-this-name/cache")
    order.remember_lengths(config, results(a=10))
    assert known(config) == {}


def test_a_cut_answer_stands_in_place_of_no_longer_one(config: Config) -> None:
    def cut(length: int) -> list[Result]:
        (made,) = results(a=length)
        completions = [replace(made.completions[0], finish_reason=FinishReason.LENGTH)]
        return [replace(made, completions=tuple(completions))]

    order.remember_lengths(config, results(a=30))
    order.remember_lengths(config, cut(8))
    assert tokens_of(config, "a") == 30
    order.remember_lengths(config, cut(50))
    assert tokens_of(config, "a") == 50


def test_what_failed_or_was_dropped_has_no_length(config: Config) -> None:
    (made,) = results(a=3)
    dropped = replace(made.completions[0], finish_reason=FinishReason.ABORT)
    for completions in ((), (dropped,), (replace(dropped, error="gone"),)):
        order.remember_lengths(config, [replace(made, completions=completions)])
    assert known(config) == {}


@pytest.mark.parametrize(
    "settings",
    [
        "model.chat_template_kwargs={enable_thinking: true}",
        "model.path=/elsewhere",
        "early_stopping=off",
        "fewshot=3",
    ],
)
def test_other_texts_have_other_lengths(config: Config, settings: str) -> None:
    order.remember_lengths(config, results(a=10))
    assert known(compose([*ARITHMETIC, settings])) == {}


@pytest.mark.parametrize(
    "settings", ["model.dtype=float16", "benchmarks.arithmetic.max_tokens=7", "seed=3", "batch_size=2"]
)
def test_settings_that_change_little_share_what_is_known(config: Config, settings: str) -> None:
    order.remember_lengths(config, results(a=10))
    assert len(known(compose([*ARITHMETIC, settings]))) == 1


def test_nothing_is_known_where_each_answer_runs_to_its_limit_or_is_made_up(config: Config) -> None:
    for unlike in (["sampling.ignore_eos=true"], ["engine=fake"]):
        order.remember_lengths(compose([*ARITHMETIC, *unlike]), results(a=10))
    assert known(config) == {}


def test_a_damaged_file_is_none(config: Config, cache_folder: Path) -> None:
    order.remember_lengths(config, results(a=10))
    (file,) = (cache_folder / "lengths").iterdir()
    for content in (b"", b'{"a": 1', b"[1]", b'{"x": "long", "y": null}'):
        file.write_bytes(content)
        assert known(config) == {}
    order.remember_lengths(config, results(a=12))
    assert tokens_of(config, "a") == 12


def test_a_cache_folder_that_cannot_be_written_ends_no_run(config: Config, cache_folder: Path) -> None:
    cache_folder.write_text("a file")
    order.remember_lengths(config, results(a=10))
    assert known(config) == {}


def test_the_newest_files_stay(config: Config, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MOST_FILES", 2)
    assert known(config) == {}
    for number in range(3):
        order.remember_lengths(compose([*ARITHMETIC, f"fewshot={number + 1}"]), results(a=1))
        for age, file in enumerate(
            sorted((cache_folder / "lengths").iterdir(), key=lambda f: -f.stat().st_mtime_ns)
        ):
            os.utime(file, (100 - age, 100 - age))
    assert len(list((cache_folder / "lengths").iterdir())) == 2


def test_no_id_of_a_question_can_be_read_there(config: Config, cache_folder: Path) -> None:
    order.remember_lengths(config, results(what_is_secret=10))
    (file,) = (cache_folder / "lengths").iterdir()
    assert b"secret" not in file.read_bytes()


def test_a_second_run_asks_the_longest_earlier_and_gives_the_same_answers(
    cache_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not cache_folder.exists()
    monkeypatch.setattr(order, "NOT_KEPT", ())
    config = compose(["benchmark=arithmetic", "engine=fake", "limit=12", "batch_size=2", "report=false"])
    runs = [tmp_path / "first", tmp_path / "second"]
    for folder in runs:
        pipeline.run(config, folder)
    orders = [json.loads((folder / "manifest.json").read_text())["order"] for folder in runs]
    assert orders[0] == order.BY_LIMIT
    assert "of earlier answers to 12 of 12 requests" in orders[1]
    answers = [{result.key: result.text for result in load_run(folder).results} for folder in runs]
    assert answers[0] == answers[1]
