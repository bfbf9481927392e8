"""What the page and the terminal show of a model that a server has."""

import re
from collections import deque
from pathlib import Path

import pytest

from llmbench.cli.main import main
from tests.helpers.endpoints import overrides
from tests.helpers.stand_in_server import StandIn, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What the terminal and the page say of a run in which one request was repeated."""
    folder = tmp_path_factory.mktemp("served")
    capture = pytest.MonkeyPatch()
    said: list[str] = []
    capture.setattr("llmbench.system.console.Terminal.say", lambda _, text, **__: said.append(text))
    stand_in = StandIn(faults=deque([(429, "slow down")]), root="/models/tiny")
    try:
        with serving(stand_in) as server:
            more = (
                "limit=4",
                "batch_size=1",
                "engine.price={input: 0, output: 1e6}",
                f"hydra.run.dir={folder}/run",
            )
            assert main(overrides(server, *more)) == 0
            said.append(server.url)
    finally:
        capture.undo()
    return " ".join(said), Path(folder, "run/report.html").read_text()


def test_the_terminal_says_whose_times_they_are_and_what_is_in_no_latency(shown: tuple[str, str]) -> None:
    said, url = shown[0], shown[0].rpartition(" ")[2]
    assert f"org/tiny (/models/tiny) on vLLM 0.27.1 at {url}. Times are this client's view" in said
    assert "GPU, memory and energy are not known" in said
    assert "1 repeated request with" in said
    assert re.search(
        r"of waiting for a place among those in flight, of all requests together, are in no latency", said
    )


def test_the_page_shows_the_server_and_the_cost_and_no_machine(shown: tuple[str, str]) -> None:
    page = shown[1]
    cards = dict(re.findall(r"<p>([^<]*)</p><strong>([^<]*)</strong>", page))
    assert cards["cost"] == "12"
    assert cards["repeated requests"] == "1"
    assert cards["GPU, memory, energy"] == "not known"
    assert "waiting for a place" in cards
    assert not {"loading", "peak memory", "GPU"} & cards.keys()
    assert "latency at the client, mean" in page
    assert "GPU not known" in page
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page))
    assert facts["server"].startswith("org/tiny (/models/tiny) on vLLM 0.27.1 at http")
    assert (facts["API"], facts["fingerprints"]) == ("chat", "fp_1")
    assert not {"GPU", "start-up", "KV cache", "checkpoint"} & facts.keys()
    assert "torch" not in facts["versions"]
    assert "until the first token" in page


def test_the_charts_are_the_clients_and_the_servers(shown: tuple[str, str]) -> None:
    titles = re.findall(r"<figcaption><h2>([^<]*)</h2>", shown[1])
    assert "Time to the first token, at the client" in titles
    assert "The server over time" in titles
    assert not [title for title in titles if "prefill" in title or "scheduler" in title or "machine" in title]
    assert "memory of the process" not in shown[1]
