"""Whole runs against a stand-in server."""

import json
import re
from collections import deque
from pathlib import Path

import pytest

import llmbench
from llmbench.cli.main import main
from tests.helpers.commands import python
from tests.helpers.endpoints import overrides
from tests.helpers.stand_in_server import Body, Fault, StandIn, last_message, serving

pytestmark = pytest.mark.slow
FEW = ("limit=6", "report=false", "hydra.run.dir=run")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def summary() -> Body:
    found: Body = json.loads(Path("run/summary.json").read_text())
    return found


def two_steps(body: Body) -> str:
    """Stops before an answer, and gives one where the answer is begun."""
    return " 17." if body["messages"][-1]["role"] == "assistant" else "Let me see. Therefore it is so."


def test_a_run_is_named_after_the_served_model_and_says_where_it_was() -> None:
    with serving() as server:
        assert main(overrides(server, *FEW)) == 0
    found = summary()
    assert (found["status"], found["model"]) == ("finished", "org--tiny")
    told = found["engine"]["server"]
    assert (told["address"], told["model"], told["version"]) == (server.url, "org/tiny", "0.27.1")
    assert told["fingerprints"] == ["fp_1"]
    run = llmbench.load_run(Path("run"))
    assert len(run.results) == len(server.asked) == 6
    asked = {json.dumps(body["messages"], separators=(",", ":")) for body in server.asked}
    assert {result.prompt for result in run.results} == asked


def test_a_chat_run_imports_no_library_of_models() -> None:
    code = (
        "import sys; from llmbench.cli.main import main; status = main(sys.argv[1:]); "
        "print(sorted({'torch', 'vllm', 'transformers', 'tokenizers'} & set(sys.modules))); raise SystemExit(status)"
    )
    with serving() as server:
        done = python("-c", code, *overrides(server, *FEW), folder=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_missing_answer_is_asked_for_by_continuing() -> None:
    with serving(StandIn(reply=two_steps)) as server:
        assert main(overrides(server, *FEW)) == 0
    run = llmbench.load_run(Path("run"))
    assert all(result.elicited for result in run.results)
    assert {result.text for result in run.results} == {"Let me see. Therefore\nThe final answer is 17."}
    more = [body for body in server.asked if body.get("continue_final_message")]
    assert {last_message(body) for body in more} == {"Let me see. Therefore\nThe final answer is"}
    assert summary()["status"] == "finished"


def test_a_server_that_cannot_continue_is_not_asked_to() -> None:
    with serving(StandIn(reply=two_steps, vllm=False)) as server:
        assert main(overrides(server, *FEW)) == 0
    run = llmbench.load_run(Path("run"))
    assert not any(result.elicited for result in run.results)
    assert len(server.asked) == 6
    assert "early_stopping: cut" in Path("run/config.yaml").read_text()


def test_faults_that_pass_lose_nothing_and_ask_nothing_twice() -> None:
    faults: list[Fault] = [(429, "slow down"), (500, "oops"), "half", "no_usage", "wrong_json", "silence"]
    with serving(StandIn(faults=deque(faults), vllm=False)) as server:
        assert main(overrides(server, *FEW, "engine_wait_s=3")) == 0
    run = llmbench.load_run(Path("run"))
    assert len({result.key for result in run.results}) == len(run.results) == 6
    assert {result.score.outcome for result in run.results} <= {"correct", "wrong"}
    assert len(server.asked) == 11
    assert any("did not count all tokens of 1 completion" in said for said in summary()["warnings"])


def test_a_refused_run_says_why_and_is_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        server.faults.extend([(404, "no such model")])
        assert main(overrides(server, *FEW, "batch_size=1")) == 1
        assert "refuses (404" in capsys.readouterr().err
        assert main(["resume=run"]) == 0
    assert summary()["status"] == "finished"
    assert len(llmbench.load_run(Path("run")).results) == 6


def test_a_run_whose_server_is_gone_is_resumed_from_one_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    def reply(_: Body) -> str:
        if len(first.asked) > 3:
            raise OSError
        return "It is 4."

    first = StandIn(reply=reply)
    with serving(first):
        assert main(overrides(first, *FEW, "batch_size=1", "engine.retry_s=0")) == 1
    assert summary()["status"] == "interrupted"
    said = capsys.readouterr().err
    assert "the server failed for engine.retry_s=0 s" in said
    assert "resume=" in said
    done = len(llmbench.load_run(Path("run")).results)
    assert 0 < done < 6
    with serving() as second:
        assert main(["resume=run", f"engine.base_url={second.url}"]) == 0
    assert len(second.asked) == 6 - done
    assert summary()["status"] == "finished"


def test_a_run_that_could_cost_too_much_stops_and_goes_on_when_it_may_cost_more() -> None:
    price = "engine.price={input: 0, output: 1e6}"
    with serving() as server:
        limited = (
            price,
            "engine.max_cost=7",
            "batch_size=1",
            "benchmarks.arithmetic.max_tokens=4",
            "early_stopping=off",
        )
        assert main(overrides(server, *FEW, *limited)) == 1
        assert summary()["status"] == "interrupted"
        assert len(server.asked) == 2
        assert main(["resume=run", "engine.max_cost=100"]) == 0
    assert summary()["status"] == "finished"


def test_a_model_by_name_that_is_not_served_ends_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        assert main(overrides(server, *FEW, "model=qwen14b")) == 1
    assert "model=qwen14b is refused" in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert not server.asked


@pytest.mark.parametrize("vllm", [True, False])
def test_a_finished_run_has_nothing_left_to_ask(vllm: bool, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001
    with serving(StandIn(vllm=vllm)) as server:
        assert main(overrides(server, *FEW)) == 0
        assert main(["resume=run"]) == 0
    assert "nothing is left to ask" in capfd.readouterr().out
    assert len(server.asked) == 6


def test_prompts_are_shown_as_messages(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        assert main(overrides(server, "show_prompts=1")) == 0
    assert '[{"role":"user","content":' in capsys.readouterr().out
    assert not server.asked


def test_a_key_is_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PROVIDER", "sesame-sesame")
    with serving(StandIn(key="sesame-sesame")) as server:
        assert main(overrides(server, *FEW, "engine.api_key_env=MY_PROVIDER")) == 0
    files = [path.read_bytes() for path in Path("run").iterdir()]
    assert not any(b"sesame-sesame" in content for content in files)
    assert "api_key_env: MY_PROVIDER" in Path("run/config.yaml").read_text()
