import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmbench.engine import prefetch

TEXT = {"architectures": ["Qwen2ForCausalLM"]}


def test_a_text_model_does_not_find_what_it_never_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "NOT_FOR_TEXT", ("colorsys", "json"))
    monkeypatch.setattr(prefetch, "own_process", lambda: True)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with prefetch.text_only(TEXT, {}):
        assert importlib.util.find_spec("colorsys") is None
        assert importlib.util.find_spec("json") is not None  # it was imported already
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
    assert importlib.import_module("colorsys")


@pytest.mark.parametrize(
    "settings", [{"vision_config": {}}, {"audio_config": {}}, {"img_processor": {}}, {"num_mel_bins": 80}, {}]
)
def test_other_models_keep_everything(monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]) -> None:
    monkeypatch.setattr(prefetch, "NOT_FOR_TEXT", ("colorsys",))
    monkeypatch.setattr(prefetch, "own_process", lambda: True)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with prefetch.text_only(settings, {}):
        assert importlib.import_module("colorsys")


def test_traces_are_sent_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "NOT_FOR_TEXT", ("colorsys", "chunk"))
    monkeypatch.setattr(prefetch, "TRACING", "colorsys")
    monkeypatch.setattr(prefetch, "own_process", lambda: True)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with prefetch.text_only(TEXT, {"otlp_traces_endpoint": "http://localhost:4317"}):
        assert importlib.util.find_spec("colorsys") is not None
        assert importlib.util.find_spec("chunk") is None


def test_a_program_that_called_keeps_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "NOT_FOR_TEXT", ("colorsys",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with prefetch.text_only(TEXT, {}):
        assert importlib.import_module("colorsys")


@pytest.mark.parametrize(
    ("spec", "file", "own"),
    [
        ("llmbench.__main__", "/site/llmbench/__main__.py", True),
        ("llmbench.cache", "/site/llmbench/cache.py", True),
        (None, "/venv/bin/llmbench", True),
        (None, "/site/ray/_private/workers/default_worker.py", True),
        (None, "/home/me/study.py", False),
        ("study.llmbench", "/home/me/study/llmbench.py", False),
        ("ipykernel_launcher", "/site/ipykernel_launcher.py", False),
        (None, None, False),
    ],
)
def test_a_process_is_its_own_where_it_began_as_a_command_or_a_replica(
    monkeypatch: pytest.MonkeyPatch, spec: str | None, file: str | None, *, own: bool
) -> None:
    main = SimpleNamespace(__spec__=spec and ModuleSpec(spec, None), __file__=file)
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert prefetch.own_process() is own


def test_weights_are_read_ahead_only_where_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not prefetch.read_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 4096)
    assert prefetch.read_weights(tmp_path)
    monkeypatch.setattr(prefetch, "SHARE_OF_MEMORY", 0.0)
    assert not prefetch.read_weights(tmp_path)
