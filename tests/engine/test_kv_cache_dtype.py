"""`model.kv_cache_dtype`: where it goes, what it changes, and who refuses it."""

from dataclasses import replace
from pathlib import Path

import pytest

from llmbench.config.choices import Device, Startup
from llmbench.config.dump import as_yaml
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.endpoint import settings as of_server
from llmbench.engine.memory import planned_element_bytes
from llmbench.engine.vllm import loading
from llmbench.engine.vllm.errors import start_error
from llmbench.engine.vllm.forecast.demand import Demand
from llmbench.engine.vllm.forecast.gpu_kinds import named
from llmbench.engine.vllm.forecast.replica import Place, Replica
from llmbench.engine.vllm.startup import StartupPlan, history_key
from llmbench.engine.vllm.startup_history import Key
from llmbench.engine.workload import Workload
from llmbench.errors import ConfigError
from llmbench.results.manifest import CONFIG
from llmbench.run.engine_pool import engine_key
from llmbench.run.origin import origin
from llmbench.run.resume_checks import check_settings
from llmbench.telemetry.engine_report import ServerIdentity
from tests.helpers.settings import compose

FP8 = "model.kv_cache_dtype=fp8"
CHECKPOINT = Checkpoint("org/model", None, local=False)


def arguments(*typed: str) -> dict[str, object]:
    plan = StartupPlan(Startup.eager, "", Key("gpu", "m", None, "bfloat16", "0"), None, 4)
    return loading.arguments(compose(typed), CHECKPOINT, Device.cuda, Workload(4, 8, 32), plan)


def test_it_reaches_vllm_and_nothing_does_where_it_is_left_open() -> None:
    assert arguments(FP8)["kv_cache_dtype"] == "fp8"
    assert "kv_cache_dtype" not in arguments()
    assert "kv_cache_dtype" not in arguments("model.kv_cache_dtype=auto")
    assert arguments(FP8, "engine.args={kv_cache_dtype: fp8_e5m2}")["kv_cache_dtype"] == "fp8_e5m2"


def test_the_start_up_history_keeps_runs_with_another_cache_or_attention_apart() -> None:
    def key(*typed: str) -> Key:
        return history_key(compose(typed), CHECKPOINT, Device.cpu)

    assert key("model.kv_cache_dtype=auto") == key()
    assert len({key(), key(FP8), key("model.attention_backend=TRITON_ATTN")}) == 3


def test_a_type_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.kv_cache_dtype=fp4 is refused: .*fp8_e4m3.*engine\.args"):
        compose(["model.kv_cache_dtype=fp4"])


@pytest.mark.parametrize(
    ("typed", "element_bytes"),
    [
        ((), 2),
        (("model.dtype=float32",), 4),
        (("model.dtype=auto",), 2),
        ((FP8,), 1),
        ((FP8, "engine.args={kv_cache_dtype: auto}"), 2),
        (("engine.args={kv_cache_dtype: fp8_e5m2}",), 1),
        (("engine.args={kv_cache_dtype: one_of_tomorrow}",), 2),
    ],
)
def test_the_bytes_of_a_number_are_planned_with(typed: tuple[str, ...], element_bytes: int) -> None:
    assert planned_element_bytes(compose(typed)) == element_bytes


def test_a_forecast_holds_twice_the_tokens() -> None:
    place = Place(gpu=named("H100"), memory_bytes=named("H100").memory_bytes)
    tokens = [
        Replica.of(compose(["model=qwen14b", *typed]), None, place, 1, Demand((100,))).kv_tokens()
        for typed in ((), (FP8,))
    ]
    assert tokens[0] is not None
    assert tokens[1] == pytest.approx(2 * tokens[0], abs=1)


def test_a_run_is_not_resumed_with_another(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(as_yaml(compose([])))
    check_settings(tmp_path, compose(["model.kv_cache_dtype=auto"]))
    with pytest.raises(ConfigError, match=r"model\.kv_cache_dtype=fp8 \(it was null\) cannot change"):
        check_settings(tmp_path, compose([FP8]))


def test_a_run_from_before_the_setting_is_resumed(tmp_path: Path) -> None:
    lines = as_yaml(compose([])).splitlines(keepends=True)
    (tmp_path / CONFIG).write_text("".join(line for line in lines if "kv_cache_dtype" not in line))
    check_settings(tmp_path, compose([]))


def test_the_manifest_has_it_and_an_engine_is_loaded_for_one() -> None:
    assert origin(compose([FP8]), [])["kv_cache_dtype"] == "fp8"
    assert engine_key(compose([FP8])) != engine_key(compose([]))


def test_a_server_is_not_told() -> None:
    config = compose(["engine=fake", FP8])
    served = replace(config, engine=replace(config.engine, name="endpoint"))
    known = ServerIdentity("http://localhost:1/v1", "m", "chat")
    with pytest.raises(ConfigError, match=r"model\.kv_cache_dtype=fp8 is refused: the server has"):
        of_server.complete(served, known)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "Selected backend AttentionBackendEnum.FLASH_ATTN is not valid for this configuration. Reason: ['kv_cache_dtype not supported']",
            (
                "vLLM's attention backend FLASH_ATTN does not fit this GPU and these settings ('kv_cache_dtype not supported'); set "
                "model.attention_backend=null, and vLLM chooses one that does."
            ),
        ),
    ],
)
def test_what_vllm_says_where_it_cannot_becomes_one_sentence(said: str, sentence: str) -> None:
    assert str(start_error(NotImplementedError(said), compose([FP8]))) == sentence
