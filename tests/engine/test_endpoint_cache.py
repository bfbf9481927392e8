"""The response cache before a server."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import llmbench
from llmbench.cli.main import main
from llmbench.engine.cache.keys import Keys, keys_for
from llmbench.engine.messages import NoTokenizer
from llmbench.records import Outcome, Request
from llmbench.results.reader import Run
from llmbench.telemetry.engine_report import EngineReport, ServerReport
from tests.helpers.endpoints import chat, overrides
from tests.helpers.settings import compose
from tests.helpers.stand_in_server import Body, StandIn, serving

SERVER = ServerReport(
    "http://127.0.0.1:1/v1", "org/tiny", "chat", "/models/tiny", vllm=True, version="0.27.1"
)


def keys(server: ServerReport = SERVER, *more: str) -> Keys:
    known = ["engine=endpoint", f"engine.base_url={server.address}", f"engine.served_model={server.model}"]
    report = EngineReport("endpoint", server.version, server=server)
    return keys_for(compose([*known, *more]), report, None, NoTokenizer(), 0.0)


OTHER_SERVERS: list[dict[str, Any]] = [
    {"address": "http://127.0.0.1:2/v1"}, {"model": "org/other"}, {"root": "/models/other"}, {"version": "0.28"},
    {"vllm": False}, {"max_length": 100},
]  # fmt: skip


@pytest.mark.parametrize("change", OTHER_SERVERS)
def test_another_server_is_another_key(change: dict[str, Any]) -> None:
    assert keys(replace(SERVER, **change)).of(chat(1)) != keys().of(chat(1))


def test_what_asking_took_is_in_no_key() -> None:
    later = replace(SERVER, retries=3, cost=1.0, fingerprints=["fp_2"])
    assert keys(later).of(chat(1)) == keys().of(chat(1)) is not None


OTHER_SETTINGS = [
    "engine.extra_body={reasoning_effort: low}",
    "model.chat_template_kwargs={enable_thinking: false}",
]
SAME = ["batch_size=3", "engine.retry_s=5", "engine.price={input: 1}", "engine_wait_s=7"]


@pytest.mark.parametrize("setting", OTHER_SETTINGS)
def test_what_changes_the_request_changes_the_key(setting: str) -> None:
    assert keys(SERVER, setting).of(chat(1)) != keys().of(chat(1))


@pytest.mark.parametrize("setting", SAME)
def test_what_does_not_change_the_request_does_not_change_the_key(setting: str) -> None:
    assert keys(SERVER, setting).of(chat(1)) == keys().of(chat(1))


OTHERS = [
    chat(1, "3 + 3?"),
    chat(1, max_tokens=33),
    chat(1, stop=("x",)),
    chat(1, seed=2),
    replace(chat(1), repeat=1),
]


@pytest.mark.parametrize("other", OTHERS)
def test_another_request_is_another_key(other: Request) -> None:
    assert keys().of(other) != keys().of(chat(1)) == keys().of(chat(2))


def test_what_is_drawn_without_a_seed_has_no_key() -> None:
    assert keys().of(chat(1, temperature=0.5)) is None
    assert keys().of(chat(1, temperature=0.5, seed=1)) is not None
    assert keys(SERVER, "engine.extra_body={temperature: 1}").of(chat(1)) is None
    assert keys(SERVER, "engine.extra_body={temperature: 1, seed: 4}").of(chat(1)) is not None


def asked_by(server: StandIn, *more: str) -> tuple[int, Run]:
    """How much a run with the cache asks, and the run."""
    before = len(server.asked)
    assert main(overrides(server, "limit=4", "report=false", "cache=on", *more)) == 0
    run = max(Path("runs").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    return len(server.asked) - before, llmbench.load_run(run)


def steps(body: Body) -> str:
    """Stops before an answer, and gives one where the answer is begun."""
    return " 17." if body["messages"][-1]["role"] == "assistant" else "Let me see. Therefore it is so."


@pytest.mark.slow
def test_a_second_run_asks_nothing_and_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    price = "engine.price={input: 1000, output: 1000}"
    with serving(StandIn(reply=steps)) as server:
        count, first = asked_by(server, price)
        assert count == 8
        count, second = asked_by(server, price, "batch_size=2")
        assert count == 0
        assert [r.text for r in second.results] == [r.text for r in first.results]
        assert (second.summary.cost, bool(first.summary.cost)) == (0, True)
        tokens = [run.summary.benchmarks["arithmetic"].tokens for run in (first, second)]
        assert (tokens[0].prompt, tokens[0].output) == (tokens[1].prompt, tokens[1].output)
        assert asked_by(server, "engine.extra_body={reasoning_effort: low}")[0] == 8
        server.version = "0.28.0"
        assert asked_by(server)[0] == 8


@pytest.mark.slow
def test_a_continuation_that_a_chat_template_does_not_take_is_as_if_it_was_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    with serving(StandIn(reply=lambda _: "so it goes on " * 40)) as server:
        server.fault = lambda body: (400, "no such turn") if "continue_final_message" in body else None
        price = ("engine.price={input: 0, output: 1e6}", "engine.max_cost=10000")
        count, run = asked_by(server, "benchmarks.arithmetic.max_tokens=8", *price)
        assert (count, run.summary.cost) == (8, 4 * 8)
        assert {(r.text, r.elicited, r.score.outcome) for r in run.results} == {
            ("so it goes on so it goes on", False, Outcome.TRUNCATED)
        }
        assert any("4 missing answers" in said for said in run.summary.warnings)
        assert asked_by(server, "benchmarks.arithmetic.max_tokens=8", *price)[0] == 4  # continuations


@pytest.mark.slow
def test_a_provider_is_cached_only_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    with serving(StandIn(vllm=False)) as server:
        assert main(overrides(server, "limit=4", "report=false", "cache=off")) == 0
        assert asked_by(server)[0] == 4
        assert "is not vLLM: the response cache gives back" in re.sub(r"\s+", " ", capfd.readouterr().err)
        assert asked_by(server)[0] == 0
        assert (
            json.loads(next(Path("runs").glob("*/summary.json")).read_text())["engine"]["server"]["vllm"]
            is False
        )
