"""How long a replica's process was silent: time in which this process stood still itself is left out, since both may have been stopped."""

from types import SimpleNamespace
from typing import Any

import pytest

from llmbench.engine.replicas import silence
from llmbench.engine.replicas.starting import Starting
from llmbench.errors import EngineError

MUTE: Any = SimpleNamespace(ready=lambda *_: False)
HANDLE: Any = SimpleNamespace(load=SimpleNamespace(remote=lambda *_: object()))


def test_an_hour_in_which_all_were_stopped_is_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: now))
    starting = Starting(MUTE, HANDLE, 0, 4.0)
    starting.placed = True
    starting.begin("load", lambda _: None)
    for now in (1.0, 3601.0, 3602.0):  # noqa: B007 - the clock reads it
        starting.go_on()
    now = 3603.0
    starting.go_on()
    now = 3604.0
    with pytest.raises(EngineError, match="not loaded within 4 s"):
        starting.go_on()
