"""Sweeps over a server: it is looked at once, and nothing is loaded."""

import json
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.config.engine import EngineConfig
from llmbench.engine.endpoint import server as servers
from tests.helpers.endpoints import overrides
from tests.helpers.stand_in_server import Body, StandIn, serving

pytestmark = pytest.mark.slow
SWEPT = ("report=false", "hydra.sweep.dir=sweep")
VARIED = [("batch_size=1,2", "limit=3"), ("sampling.temperature=0.0,0.5", "limit=3"), ("limit=2,3",)]


def swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: str
) -> tuple[StandIn, Body, list[Body], int]:
    """Runs a sweep; gives the server, its summary, those of its jobs and how often the server was looked at."""
    monkeypatch.chdir(tmp_path)
    looks: list[str] = []
    look = servers.look

    def counted(engine: EngineConfig) -> servers.Server:
        looks.append(str(engine.base_url))
        return look(engine)

    monkeypatch.setattr(servers, "look", counted)
    with serving() as server:
        assert (
            main(
                [
                    "--multirun",
                    *overrides(
                        server, *SWEPT, *(() if any("limit=" in one for one in more) else ("limit=3",)), *more
                    ),
                ]
            )
            == 0
        )
    jobs = [json.loads(path.read_text()) for path in sorted(Path("sweep").glob("[0-9]*/summary.json"))]
    return server, json.loads(Path("sweep/summary.json").read_text()), jobs, len(looks)


@pytest.mark.parametrize("varied", VARIED)
def test_jobs_share_the_server(
    varied: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, summary, jobs, looks = swept(tmp_path, monkeypatch, *varied)
    assert [job["status"] for job in jobs] == ["finished", "finished"]
    assert looks == 2  # for the settings, and where the engine begins
    assert [job["time_s"]["load"] for job in jobs] == [None, None]
    assert summary["groups"] == [[0, 1]]
    assert len(server.asked) == sum(bench["n"] for job in jobs for bench in job["benchmarks"].values())


def test_each_job_has_its_own_batch_size_and_its_own_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, jobs, _ = swept(
        tmp_path, monkeypatch, "limit=3", "batch_size=1,2", "engine.price={input: 0, output: 1e6}"
    )
    assert [job["engine"]["batch_size"] for job in jobs] == [1, 2]
    assert [job["cost"] for job in jobs] == [9, 9]


def test_the_table_has_cost_and_no_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    swept(tmp_path, monkeypatch, "limit=3", "batch_size=1,2", "engine.price={input: 0, output: 1e6}")
    (heading,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("job ")]
    assert heading.split()[-4:] == ["tokens/s", "generate", "total", "cost"]
    assert "load" not in heading
