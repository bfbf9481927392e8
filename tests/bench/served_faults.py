"""A real server under a run: the same answers as in process, and what a run makes of one that is killed, stopped or misbehaves.

`python -m pytest tests/bench/served_faults.py`, as `make bench` does.
"""

import json
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.endpoint import local_servers
from llmbench.engine.tokenizer import HubTokenizer
from llmbench.results.manifest import JOURNAL
from llmbench.results.reader import Run, load_run
from tests.helpers.commands import LIMIT_S, lines_in, llmbench_program, start_llmbench, wait_until
from tests.helpers.families import all_end, descendants
from tests.helpers.installed import needs
from tests.helpers.misbehaving_proxy import FAULTS, misbehaving
from tests.helpers.paths import ROOT
from tests.helpers.runs import outcomes
from tests.helpers.served import Serving, serve

pytestmark = [needs("vllm"), pytest.mark.real_engine]

MODEL = ("model=smollm2", "model.dtype=float32", "model.max_length=2048", "engine.device=cpu")
ASKED = ("batch_size=16", "report=false", "hydra.run.dir=run")
PAUSE_S = 20.0


class Server:
    """A server that can be killed and started again at the same address."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.serving = self._start()

    def _start(self, *more: str) -> Serving:
        serving = self._stack.enter_context(serve(self.folder, *MODEL, *more, path=str(ROOT)))
        assert serving.command(), serving.said()
        (known,) = local_servers.running()
        self.url, self.port = known.url, known.port
        return serving

    def kill(self) -> None:
        """Kills its processes, and sees llmbench.serve end with them."""
        family = descendants(self.serving.process)
        for process in family:
            process.kill()
        all_end(family)
        assert self.serving.process.wait(LIMIT_S) == 1

    def start_again(self) -> None:
        """Serves at the same address."""
        self.serving = self._start(f"port={self.port}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        (folder / "cache").mkdir()
        (folder / "cache" / "models").symlink_to(smollm2.parent)
        patch.setenv("LLMBENCH_CACHE", str(folder / "cache"))
        patch.delenv("VLLM_API_KEY", raising=False)
        made = Server(folder, stack)
        yield made
        assert made.serving.end() == 0


def run(folder: Path, *settings: str) -> Run:
    done = llmbench_program(*settings, *ASKED, folder=folder)
    assert done.returncode == 0, done.stderr
    return load_run(folder / "run")


@pytest.fixture(scope="module")
def undisturbed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("chat"), "engine=endpoint", f"engine.base_url={server.url}")


@pytest.fixture(scope="module")
def in_process(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Run:
    assert server.url
    return run(tmp_path_factory.mktemp("in_process"), "engine=vllm", *MODEL)


def all_asked_once(found: Run) -> bool:
    keys = [result.key for result in found.results]
    return len(keys) == len(set(keys)) == 48 and found.summary.status == "finished"


def test_token_ids_get_the_answers_of_the_engine_in_process(
    server: Server, in_process: Run, tmp_path: Path
) -> None:
    address = ("engine=endpoint", f"engine.base_url={server.url}")
    served = run(tmp_path, *address, "engine.api=completions", "model=smollm2", "model.max_length=2048")
    assert all_asked_once(served)
    assert outcomes(served) == outcomes(in_process)
    assert [r.prompt for r in sorted(served.results, key=lambda r: r.sample_id)] == [
        r.prompt for r in sorted(in_process.results, key=lambda r: r.sample_id)
    ]
    same = ("output_tokens", "prompt_tokens", "finish_reason", "stop_string")
    theirs = {r.key: r for r in in_process.results}
    for result in served.results:
        for one, other in zip(result.completions, theirs[result.key].completions, strict=True):
            assert [getattr(one, name) for name in same] == [getattr(other, name) for name in same]


def test_messages_become_the_prompts_of_the_engine_in_process_token_for_token(
    server: Server, undisturbed: Run, in_process: Run, smollm2: Path
) -> None:
    tokenizer = HubTokenizer(Checkpoint(str(smollm2), None, local=True), trust_remote_code=False)
    rendered = {result.key: result.prompt for result in in_process.results}
    for result in undisturbed.results:
        body = {"messages": json.loads(result.prompt)}
        ids = httpx2.post(f"{server.url.removesuffix('/v1')}/tokenize", json=body, timeout=LIMIT_S).json()[
            "tokens"
        ]
        assert tuple(ids) == tokenizer.encode(rendered[result.key], special=False)
    assert outcomes(undisturbed) == outcomes(in_process)


def test_a_server_that_is_killed_and_comes_back_costs_no_answer(
    server: Server, undisturbed: Run, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    process = start_llmbench(
        tmp_path, "engine=endpoint", f"engine.base_url={server.url}", *ASKED, errors=said
    )
    wait_until(lambda: lines_in(tmp_path / "run" / JOURNAL) >= 8, process)
    server.kill()
    server.start_again()
    assert process.wait(2 * LIMIT_S) == 0, said.read_text()
    assert "answers again after" in said.read_text()
    disturbed = load_run(tmp_path / "run")
    assert all_asked_once(disturbed)
    assert outcomes(disturbed) == outcomes(undisturbed)


def test_a_server_that_is_stopped_for_a_while_costs_no_answer(
    server: Server, undisturbed: Run, tmp_path: Path
) -> None:
    process = start_llmbench(
        tmp_path, "engine=endpoint", f"engine.base_url={server.url}", *ASKED, errors=tmp_path / "said"
    )
    wait_until(lambda: lines_in(tmp_path / "run" / JOURNAL) >= 8, process)
    family = descendants(server.serving.process)
    for member in family:
        member.send_signal(signal.SIGSTOP)
    time.sleep(PAUSE_S)
    for member in family:
        member.send_signal(signal.SIGCONT)
    assert process.wait(2 * LIMIT_S) == 0, (tmp_path / "said").read_text()
    disturbed = load_run(tmp_path / "run")
    assert all_asked_once(disturbed)
    assert outcomes(disturbed) == outcomes(undisturbed)


def test_a_proxy_that_misbehaves_costs_no_answer(server: Server, undisturbed: Run, tmp_path: Path) -> None:
    faults = deque(FAULTS * 2)
    with misbehaving(server.url, faults) as address:
        disturbed = run(tmp_path, "engine=endpoint", f"engine.base_url={address}")
    assert not faults
    assert all_asked_once(disturbed)
    assert outcomes(disturbed) == outcomes(undisturbed)
    assert disturbed.summary.engine is not None
    assert disturbed.summary.engine.server is not None
    assert disturbed.summary.engine.server.retries == 8  # silence and missing usage are no failures
    assert disturbed.summary.engine.server.unknown_usage == 2
