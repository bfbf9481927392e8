"""Which vLLM is taken without a word."""

import pytest

from llmbench.config.choices import Startup
from llmbench.engine.vllm import versions
from llmbench.engine.vllm.startup import StartupPlan
from llmbench.engine.vllm.startup_history import Key
from llmbench.errors import EngineError


@pytest.mark.parametrize("version", ["0.26.0", "0.27.1", "0.27.1+cpu", "0.32.0", "unknown"])
def test_a_tested_version_is_taken_without_a_word(version: str) -> None:
    assert versions.untested(version) == ""


@pytest.mark.parametrize("version", ["0.25.1", "0.29.0", "0.33.0", "1.0.0", "0.3.2"])
def test_another_version_gets_one_sentence(version: str) -> None:
    said = versions.untested(version)
    assert said == f"llmbench was not tried with vLLM {version}, only with 0.26, 0.27 and 0.32."


@pytest.mark.parametrize(("version", "times"), [("0.32.0", 0), ("0.33.0", 1)])
def test_the_line_before_a_start_says_once_that_this_vllm_was_not_tried(version: str, times: int) -> None:
    plan = StartupPlan(Startup.eager, "as asked", Key("cpu", "a model", None, "bfloat16", version), None, 16)
    assert plan.announcement().count(versions.untested("0.33.0")) == times


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
