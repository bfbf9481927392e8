"""How long a replica's process was silent: time in which this process stood still itself is left out, since both may have been stopped."""

from types import SimpleNamespace

import pytest

from llmbench.engine.replicas import silence


def test_an_hour_in_which_all_were_stopped_is_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 3601.0, 3602.0, 3603.0, 3603.0, 3603.0])
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    quiet = silence.Silence(looked=0.0)
    assert [quiet.elapsed_s() for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]
    quiet.reset()
    assert quiet.elapsed_s() == 0.0
