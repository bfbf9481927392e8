import importlib.util
import sys
from pathlib import Path

import pytest

from llmbench.engine import prefetch


def test_a_text_model_does_not_find_what_it_never_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "NOT_FOR_TEXT", ("colorsys", "json"))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with prefetch.text_only({"architectures": ["Qwen2ForCausalLM"]}):
        assert importlib.util.find_spec("colorsys") is None
        assert importlib.util.find_spec("json") is not None  # it was imported already
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
    assert importlib.import_module("colorsys")


@pytest.mark.parametrize("settings", [{"vision_config": {}}, {"audio_config": {}}, {}])
def test_other_models_keep_everything(monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]) -> None:
    monkeypatch.setattr(prefetch, "NOT_FOR_TEXT", ("colorsys",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with prefetch.text_only(settings):
        assert importlib.import_module("colorsys")


def test_weights_are_read_ahead_only_where_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not prefetch.read_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 4096)
    assert prefetch.read_weights(tmp_path)
    monkeypatch.setattr(prefetch, "SHARE_OF_MEMORY", 0.0)
    assert not prefetch.read_weights(tmp_path)
