"""`python -m llmbench.serve`, with a stand-in for vLLM: its start, its end in every way, and the command that it prints."""

import json
import os
import re
import shlex
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmbench.engine import factory
from llmbench.engine.endpoint import local_servers
from llmbench.engine.endpoint import server as servers
from llmbench.engine.vllm import server_process
from llmbench.engine.vllm.serve_command import serve_command
from llmbench.engine.vllm.server_process import ServerProcess
from llmbench.serve import main
from llmbench.serve import serve as serve_in_process
from tests.helpers.commands import wait_until
from tests.helpers.families import all_end, descendants
from tests.helpers.served import PATH, serve, written
from tests.helpers.settings import compose


@pytest.fixture(autouse=True)
def _environment(cache_folder: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of the test's own with the embedded model in it; programs that tests start import the stand-in for vLLM."""
    cache_folder.mkdir()
    (cache_folder / "models").symlink_to(smollm2.parent)
    monkeypatch.setenv("PYTHONPATH", PATH)
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    yield
    servers._looked.clear()


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def typed(command: str) -> list[str]:
    """The settings of a command that was printed."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "llmbench"]
    return words[3:]


def test_a_server_is_found_without_its_address_until_ctrl_c(tmp_path: Path) -> None:
    with serve(tmp_path, f"port={free_port()}") as serving:
        command = serving.command()
        assert command == "python -m llmbench engine=endpoint model=smollm2 benchmark=arithmetic", (
            serving.said()
        )
        for settings in (["engine=endpoint"], typed(command)):
            config, _ = factory.complete(compose(settings))
            server = servers.look(config.engine)
            servers.check_identity(config, server)
            assert (server.model, server.vllm, config.model.name) == ("smollm2", True, "smollm2")
            assert config.model.max_length == 4096
        assert serving.end() == 0
    assert "Ctrl-C ends it" in serving.said()
    assert "vLLM's log: " in serving.said()
    assert list(local_servers.folder().glob("*.json")) == []


def test_sigterm_ends_it_too(tmp_path: Path) -> None:
    with serve(tmp_path, f"port={free_port()}") as serving:
        assert serving.command()
        assert serving.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_can_be_ended_while_it_loads(tmp_path: Path, number: int, status: int) -> None:
    with serve(tmp_path, f"port={free_port()}", trouble="silent") as serving:
        wait_until(lambda: len(descendants(serving.process)) > 2, serving.process)
        assert serving.end(number) == status
    assert serving.said().endswith("llmbench: Interrupted.\n")
    assert list(local_servers.folder().glob("*.json")) == []


def test_nothing_is_left_where_it_is_killed(tmp_path: Path) -> None:
    with serve(tmp_path, f"port={free_port()}") as serving:
        assert serving.command()
        assert len(descendants(serving.process)) > 1
        serving.end(signal.SIGKILL)
    assert local_servers.running() == []


def test_a_server_that_hears_nothing_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_process, "STOP_S", 0.2)
    monkeypatch.setenv("SERVE_TROUBLE", "stubborn")
    config, port = compose(["engine.device=cpu"]), free_port()
    checkpoint = factory.find_checkpoint(config)
    assert checkpoint is not None
    start = serve_command(config, checkpoint, "127.0.0.1", port)
    with ServerProcess(start, tmp_path / "log") as process:
        process.wait_until_ready("127.0.0.1", port, lambda: None)
        family = descendants(process._process)  # type: ignore[arg-type]
    assert process._process.returncode == -signal.SIGKILL
    all_end(family)


def test_a_second_start_finds_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with serve(tmp_path, f"port={port}") as serving:
        command = serving.command()
        for same in ([], ["engine=vllm", f"port={port}"]):
            assert main(same) == 0
            said = capsys.readouterr()
            assert said.out.strip() == command
            assert f"served already, by process {serving.process.pid}" in said.err
        for other in (["seed=3"], ["model.dtype=float32", f"port={port}"], ["engine.args={block_size: 16}"]):
            assert main(other) == 1
            said = capsys.readouterr()
            assert said.out == ""
            assert f"smollm2 at http://127.0.0.1:{port}/v1 is served already, with other settings" in said.err
            assert f"kill {serving.process.pid}" in said.err
        assert "engine.args={}" in said.err
        beside = tmp_path / "beside"
        beside.mkdir()
        with serve(beside, "seed=3", f"port={(second := free_port())}") as another:
            assert f"engine.base_url=http://127.0.0.1:{second}/v1" in typed(another.command())
            assert another.end() == 0
        assert serving.end() == 0


def test_one_that_still_loads_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with serve(tmp_path, trouble="silent") as serving:
        wait_until(local_servers.running, serving.process)
        assert main([]) == 1
        assert "is being loaded by process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ("refuses", r"exit status 1\): vllm serve: error: unrecognized arguments: --no-such-thing; its log"),
        ("core_fails", r"exit status 1\): ValueError: the weights are of another shape; its log is"),
        ("dies", r"exit status 9\): .*; its log is"),
    ],
)
def test_a_server_that_ends_by_itself_is_one_sentence(
    trouble: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVE_TROUBLE", trouble)
    assert main([f"port={free_port()}"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(sentence, said), said
    assert list(local_servers.folder().glob("*.json")) == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["engine=fake"], "engine=fake is refused: vLLM serves the model"),
        (["engine=endpoint"], "engine=endpoint is refused: vLLM serves the model"),
        (["engine.args={api_key: sesame}"], "set the environment variable VLLM_API_KEY"),
        (["port=http"], "port=http is refused: port must be a whole number from 1 to 65535"),
        (["port=70000"], "port=70000 is refused"),
        (["host="], "host= is empty"),
        (["model=no_such"], "There is no model called 'no_such'"),
        (["host=203.0.113.7"], "No server can listen at 203.0.113.7:8000"),
        (["--port", "8001"], "--port"),
    ],
)
def test_what_cannot_be_served_is_refused(
    settings: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(settings) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err


def test_a_port_in_use_is_refused_where_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([f"port={port}"]) == 1
    assert f"No server can listen at 127.0.0.1:{port} (Address already in use)" in capsys.readouterr().err


def test_another_port_is_taken_where_the_usual_one_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = tmp_path / "arguments.json"
    monkeypatch.setenv("SERVE_ARGUMENTS", str(arguments))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = taken.getsockname()[1]
        monkeypatch.setattr("llmbench.serve.PORT", used)
        monkeypatch.setenv("SERVE_TROUBLE", "dies")
        with pytest.raises(Exception, match="exit status 9"):
            serve_in_process(["batch_size=40"])
    words = json.loads(arguments.read_text())
    (port,) = (word.removeprefix("--port=") for word in words if word.startswith("--port="))
    assert int(port) != used
    assert "--max-num-seqs=40" in words


def test_the_command_keeps_what_was_typed_and_can_be_pasted(
    tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my model").symlink_to(smollm2)
    monkeypatch.setenv("VLLM_API_KEY", "a-key-that-nobody-guesses")
    settings = [
        "model.path=my model",
        "engine.args={block_size: 16}",
        "profile=published",
        "benchmark=[gsm8k,math]",
    ]
    with serve(tmp_path, *settings, f"port={free_port()}") as serving:
        command = serving.command()
        assert typed(command) == [
            "engine=endpoint",
            "engine.api_key_env=VLLM_API_KEY",
            f"model.path='{tmp_path}/my model'",
            "profile=published",
            "benchmark=[gsm8k,math]",
        ], serving.said()
        config, _ = factory.complete(compose(typed(command)))
        servers.check_identity(config, servers.look(config.engine))
        for path in local_servers.folder().iterdir():
            assert "nobody-guesses" not in path.read_text()


def test_a_server_that_others_reach_needs_a_key_or_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVE_TROUBLE", "dies")
    assert main(["host=0.0.0.0", f"port={free_port()}"]) == 1
    assert "Whoever reaches this machine can use the server; set the environment variable VLLM_API_KEY" in (
        capsys.readouterr().err
    )


def test_a_server_of_another_model_is_not_started_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    written(os.getppid(), "other/model", settings={"seed": 1})
    assert main([]) == 1
    assert "other/model at http://127.0.0.1:8000/v1 is served already" in capsys.readouterr().err
