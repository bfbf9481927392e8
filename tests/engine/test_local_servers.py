"""Which server `engine=endpoint` takes where no address is typed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.engine import factory
from llmbench.engine.endpoint import local_servers
from llmbench.errors import ConfigError
from tests.helpers.served import written
from tests.helpers.settings import compose
from tests.helpers.stand_in_server import Body, StandIn, serving

ENDPOINT = ["engine=endpoint", "engine.served_model=org/tiny"]

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def pids() -> Iterator[list[int]]:
    """Processes that live as long as the test."""
    with ExitStack() as stack:
        found = []
        for _ in range(3):
            code = "import sys; sys.stdin.read()"
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
            )
            found.append(process.pid)
        yield found


def chosen(*typed: str) -> str | None:
    config = compose(["engine=endpoint", *typed])
    return local_servers.with_address(config.engine, config.model).base_url


def port_of(server: StandIn) -> int:
    return int(server.url.removesuffix("/v1").rpartition(":")[2])


def test_without_a_server_the_sentence_says_how_to_start_one() -> None:
    with pytest.raises(ConfigError, match=r"no server of llmbench\.serve runs here; start one with `python"):
        chosen("model=smollm2")
    with pytest.raises(ConfigError, match=r"no server of llmbench\.serve runs here"):
        factory.complete(compose(ENDPOINT))


def test_the_only_one_is_taken_whatever_it_serves(pids: list[int]) -> None:
    written(pids[0], port=8123)
    for typed in (["model=smollm2"], ["model=qwen14b"], ["engine.served_model=other", "model=smollm2"]):
        assert chosen(*typed) == "http://127.0.0.1:8123/v1"


def test_a_typed_address_wins(pids: list[int]) -> None:
    written(pids[0])
    assert chosen("engine.base_url=http://host:1/v1", "model=smollm2") == "http://host:1/v1"


@pytest.mark.parametrize(
    ("typed", "port"),
    [
        ("model=smollm2", 8001),
        ("model=qwen14b", 8002),
        ("model.hub_id=org/tiny", 8000),
        ("model.hub_id=ORG/Tiny", 8000),
        ("engine.served_model=org/tiny", 8000),
    ],
)
def test_of_several_the_one_that_serves_the_model(pids: list[int], typed: str, port: int) -> None:
    names = ("org/tiny", "smollm2", "Qwen/Qwen2.5-14B-Instruct")
    for number, (pid, name) in enumerate(zip(pids, names, strict=True)):
        written(pid, name, 8000 + number)
    assert chosen(typed) == f"http://127.0.0.1:{port}/v1"


def test_several_that_do_or_do_not_serve_it_are_named(pids: list[int]) -> None:
    for number, (pid, name) in enumerate(zip(pids, ("smollm2", "smollm2", "org/tiny"), strict=True)):
        written(pid, name, 8000 + number)
    with pytest.raises(
        ConfigError, match=r"none of the servers .*org/tiny at .*engine\.base_url=http"
    ) as found:
        chosen("model=qwen14b")
    assert str(found.value).count("smollm2 at http") == 2
    with pytest.raises(ConfigError, match=r"2 of the servers .* serve the model"):
        chosen("model=smollm2")
    with pytest.raises(ConfigError, match="3 of the servers"):
        compose(["engine=endpoint"])


def test_one_that_still_loads_is_named_and_not_taken(pids: list[int]) -> None:
    written(pids[0], ready=False)
    with pytest.raises(ConfigError, match=r"still loading: org/tiny at .*wait until it is ready"):
        chosen("model=smollm2")
    written(pids[1], port=8001)
    assert chosen("model=smollm2") == "http://127.0.0.1:8001/v1"


def test_files_of_dead_servers_are_ignored_and_removed(pids: list[int]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    written(process.pid)
    written(pids[0], started="another process that had this number")
    files = set(local_servers.folder().glob("*.json"))
    assert len(files) == 2
    assert local_servers.running() == []
    assert not any(path.exists() for path in files)


def test_other_machines_files_and_unreadable_ones_are_left_alone(
    pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(local_servers, "process_space", lambda: "elsewhere pid:[1]")
        written(pids[0])
    (local_servers.folder() / "odd.json").write_text("{")
    files = set(local_servers.folder().glob("*.json"))
    assert local_servers.running() == []
    assert set(local_servers.folder().glob("*.json")) == files


def test_a_run_takes_the_address_and_the_name_of_the_server(pids: list[int]) -> None:
    with serving(StandIn(models=("org/tiny",))) as server:
        written(pids[0], port=port_of(server))
        config, _ = factory.complete(compose(ENDPOINT[:1]))
    assert config.engine.base_url == server.url
    assert config.model.hub_id == "org/tiny"
    assert config.model.name == "org--tiny"


def test_a_run_without_an_address_is_resumed_where_the_server_is_now(
    pids: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(_: Body) -> str:
        if len(first.asked) > 3:
            raise OSError
        return "It is 4."

    monkeypatch.chdir(tmp_path)
    first = StandIn(reply=reply)
    settings = [
        "benchmark=arithmetic",
        "limit=6",
        "batch_size=1",
        "engine.retry_s=0",
        "engine_restarts=0",
        "report=false",
    ]
    with serving(first):
        written(pids[0], port=port_of(first))
        assert main(["engine=endpoint", "hydra.run.dir=run", *settings]) == 1
    local_servers.remove(pids[0])
    with serving() as second:
        written(pids[1], port=port_of(second))
        assert main(["resume=run"]) == 0
    assert 0 < len(second.asked) < 6
    assert f"base_url: {second.url}" in (tmp_path / "run" / "config.yaml").read_text()


def test_old_logs_are_removed_but_those_of_running_servers(pids: list[int]) -> None:
    folder = local_servers.folder()
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"{number:02}.log").touch()
    used = folder / "00.log"
    written(pids[0], log=str(used))
    made = local_servers.new_log()
    logs = set(folder.glob("*.log"))
    assert {made, used} <= logs
    assert len(logs) == local_servers.LOGS + 1


def test_a_folder_that_cannot_be_written_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "file"))
    with (
        pytest.raises(Exception, match=r"cannot be written .* set LLMBENCH_CACHE to another"),
        local_servers.starting(),
    ):
        pass
    assert local_servers.running() == []
