"""Which vLLM is taken without a word."""

import pytest

from llmbench.engine.vllm import versions
from llmbench.errors import EngineError


@pytest.mark.parametrize("version", ["0.26.0", "0.27.1", "0.27.1+cpu", "unknown"])
def test_a_tested_version_is_taken_without_a_word(version: str) -> None:
    assert versions.untested(version) == ""


@pytest.mark.parametrize("version", ["0.25.1", "0.29.0", "0.33.0", "1.0.0", "0.3.2"])
def test_another_version_gets_one_sentence(version: str) -> None:
    assert versions.untested(version).startswith(
        f"llmbench was not tried with vLLM {version}, only with 0.26"
    )


@pytest.mark.parametrize("version", ["0.28.0", "0.32.0", "1.0.0"])
def test_4_bit_weights_without_the_plugin_are_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PLUGIN", "no_such_plugin")
    with pytest.raises(EngineError, match="pip install --no-deps vllm-bnb-plugin"):
        versions.check_plugin(version, "bitsandbytes")
    versions.check_plugin(version, "fp8")


@pytest.mark.parametrize("version", ["0.26.0", "0.27.1", "unknown"])
def test_vllm_with_bitsandbytes_in_its_tree_needs_no_plugin(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "PLUGIN", "no_such_plugin")
    versions.check_plugin(version, "bitsandbytes")
