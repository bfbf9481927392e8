"""`engine.deterministic`: what it sets, what it records, and what it refuses."""

import importlib
import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmbench.config.choices import Device, Startup
from llmbench.config.deterministic import most_at_once
from llmbench.config.dump import as_yaml
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.replicas import agreement
from llmbench.engine.replicas.cluster import ProcessPlace
from llmbench.engine.replicas.worker import Facts
from llmbench.engine.transformers.loading import Loader
from llmbench.engine.vllm import checks, determinism
from llmbench.engine.vllm.determinism import ProcessMode, check_checkpoint
from llmbench.engine.vllm.internals import process_state
from llmbench.engine.vllm.package import Package
from llmbench.engine.vllm.serve_command import serve_command
from llmbench.engine.vllm.startup import history_key, plan_startup
from llmbench.engine.workload import Workload
from llmbench.errors import ConfigError, EngineError, ModelError
from llmbench.results.manifest import CONFIG
from llmbench.run.engine_pool import engine_key
from llmbench.run.origin import origin
from llmbench.run.resume_checks import check_settings
from llmbench.system import hardware
from llmbench.system.hardware import Gpu
from tests.helpers.settings import compose

ON = ("model=smollm2", "engine.deterministic=true")
INVARIANT, SAMPLER = "VLLM_BATCH_INVARIANT", "VLLM_USE_FLASHINFER_SAMPLER"
CHECKPOINT = Checkpoint("org/model", None, local=False)


def gpu(name: str = "NVIDIA H100 80GB HBM3") -> Gpu:
    return Gpu(0, name, 80 << 30, "580")


# Settings


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("engine=transformers", r"engine\.deterministic=true is refused with engine=transformers: its batches are padded.*static_batch_size=1"),
        ("engine=fake", r"engine\.deterministic=true is refused with engine=fake: no model computes"),
        ("model=qwen14b", r"model\.quantization=bitsandbytes is refused .*bf16 and fp8 weights; set model\.quantization=null or"),
        ("model.quantization=awq", r"model\.quantization=awq is refused"),
        ("engine.args={quantization: gptq}", r"engine\.args\.quantization=gptq is refused"),
        ("model.dtype=float16", r"model\.dtype=float16 is refused .*set model\.dtype=bfloat16"),
        ("model.kv_cache_dtype=fp8", r"model\.kv_cache_dtype=fp8 is refused .*set model\.kv_cache_dtype=null"),
        ("engine.args={kv_cache_dtype: fp8_e5m2}", r"engine\.args\.kv_cache_dtype=fp8_e5m2 is refused"),
        ("engine.args={max_num_batched_tokens: 256}", r"max_num_batched_tokens=256 is refused .*more than 255 tokens"),
        ("model.attention_backend=FLASHINFER", r"model\.attention_backend=FLASHINFER is refused .*one of FLASH_ATTN, TRITON_ATTN"),
        ("engine.args={attention_backend: FLASHINFER}", "FLASHINFER is refused"),
        ("engine.speculative={method: ngram}", r"engine\.speculative is refused .*leave one out"),
        ("engine.args={speculative_config: {method: ngram}}", r"engine\.speculative is refused"),
        ("engine.startup=full", r"engine\.startup=full is refused .*use graphs"),
    ],
)  # fmt: skip
def test_what_could_change_a_text_is_refused_with_the_way_out(typed: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        compose([*ON, typed])
    if not typed.startswith("engine=fake"):
        compose(["model=smollm2", typed])


def test_a_server_is_not_made_deterministic_from_here() -> None:
    config = compose(list(ON))
    served = replace(config, engine=replace(config.engine, name="endpoint"))
    from llmbench.config.deterministic import validate_deterministic

    with pytest.raises(ConfigError, match=r"engine=endpoint: the server computes; .*llmbench\.serve"):
        validate_deterministic(served)


@pytest.mark.parametrize(
    "typed",
    [
        ("model=qwen14b", "profile=published"),
        ("model=qwen14b", "model.quantization=fp8"),
        ("model=qwen14b", "engine.args={quantization: fp8}"),
        ("model.attention_backend=TRITON_ATTN",),
        ("engine.startup=eager",),
        ("engine.tensor_parallel_size=2",),
        ("sampling.temperature=0.7",),
    ],
    ids=str,
)
def test_bf16_and_fp8_weights_are_taken(typed: tuple[str, ...]) -> None:
    assert compose([*ON, *typed]).engine.deterministic


# Machines and checkpoints


def test_the_cpu_is_refused_with_the_batch_size_that_does_it_there() -> None:
    with pytest.raises(EngineError, match=r"refused on the CPU, .*batch_size=1"):
        determinism.check_device(compose(list(ON)), Device.cpu)
    determinism.check_device(compose(["model=smollm2"]), Device.cpu)


@pytest.mark.parametrize(
    ("capability", "fits"), [((7, 5), False), ((8, 0), True), ((9, 0), True), ((12, 0), True), (None, True)]
)
def test_an_old_gpu_is_refused(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None, *, fits: bool
) -> None:
    monkeypatch.setattr(hardware, "gpus", lambda: (gpu("Tesla T4"),))
    monkeypatch.setattr(hardware, "cpu_build", lambda: False)
    monkeypatch.setattr(hardware, "compute_capability", lambda _: capability)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    if fits:
        checks.check_machine(compose(list(ON)))
        return
    with pytest.raises(EngineError, match=r"Tesla T4 has compute capability 7\.5, .* need 8\.0"):
        checks.check_machine(compose(list(ON)))


@pytest.mark.parametrize(
    ("content", "typed", "sentence"),
    [
        ({}, (), None),
        ({"quantization_config": {"quant_method": "fp8"}}, (), None),
        ({"num_experts": 128}, (), None),
        ({"quantization_config": {"quant_method": "awq"}}, (), "is quantised with awq, .*use another checkpoint"),
        ({"quantization_config": {"bits": 4}}, (), "is quantised with an unknown method"),
        ({"num_experts": 128}, ("model.quantization=fp8",), r"mixture of experts, .*in fp8; .*quantization=null"),
        ({"text_config": {"num_local_experts": 8}}, ("engine.args={quantization: fp8}",), "mixture of experts"),
        ({"num_experts": 8, "quantization_config": {"quant_method": "fp8"}}, (), "mixture of experts"),
    ],
)  # fmt: skip
def test_a_checkpoint_without_batch_invariant_kernels_is_refused(
    tmp_path: Path, content: dict[str, object], typed: tuple[str, ...], sentence: str | None
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    checkpoint = Checkpoint(str(tmp_path), None, local=True, folder=str(tmp_path))
    check_checkpoint(compose(["model=smollm2", *typed]), checkpoint)
    if sentence is None:
        check_checkpoint(compose([*ON, *typed]), checkpoint)
        return
    with pytest.raises(ModelError, match=sentence):
        check_checkpoint(compose([*ON, *typed]), checkpoint)


def test_replicas_on_unlike_gpus_are_refused() -> None:
    def facts(host: str, *gpus: Gpu) -> Facts:
        return Facts(ProcessPlace(host, "space", 1, "node"), gpus, {}, "c")

    unlike = [facts("one", gpu()), facts("two", gpu("NVIDIA A100"))]
    agreement.compare(unlike)
    agreement.compare([facts("one", gpu()), facts("two", gpu())], same_gpus=True)
    with pytest.raises(
        EngineError, match=r"one has GPUs .*engine\.deterministic\) NVIDIA H100 .*, two has NVIDIA A100; make"
    ):
        agreement.compare(unlike, same_gpus=True)


# The process


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """What a stand-in for vLLM finds in the environment at its import."""
    found: dict[str, str | None] = {}

    def stand_in(name: str) -> SimpleNamespace:
        if name == "vllm":
            found.update({each: os.environ.get(each) for each in (INVARIANT, SAMPLER)})
            monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace())
        return SimpleNamespace(LLM=None)

    for name in (INVARIANT, SAMPLER):
        monkeypatch.delenv(name, raising=False)
    for name in [each for each in sys.modules if each.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(ProcessMode, "invariant", None)
    monkeypatch.setattr(importlib, "import_module", stand_in)
    monkeypatch.setattr(process_state, "clean_up_distributed", lambda: None)
    return found


def test_vllm_finds_the_environment_at_its_import_and_a_program_has_its_own_back(
    seen: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SAMPLER, "1")
    before = dict(os.environ)
    made = Package(compose(list(ON)), Device.cuda)
    made.load(CHECKPOINT)
    assert seen == {INVARIANT: "1", SAMPLER: "0"}
    assert os.environ[INVARIANT] == "1"
    assert ProcessMode.invariant is True
    made.restore()
    assert dict(os.environ) == before


def test_without_it_the_users_own_environment_stays(
    seen: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INVARIANT, "1")
    made = Package(compose(["model=smollm2"]), Device.cuda)
    made.load(CHECKPOINT)
    made.restore()
    assert seen == {INVARIANT: "1", SAMPLER: None}
    assert ProcessMode.invariant is True


@pytest.mark.parametrize("first", [True, False])
def test_a_process_does_not_change_its_mind(seen: dict[str, str | None], *, first: bool) -> None:
    both = {True: compose(list(ON)), False: compose(["model=smollm2"])}
    made = Package(both[first], Device.cuda)
    made.load(CHECKPOINT)
    made.restore()
    again = Package(both[first], Device.cuda)
    again.load(CHECKPOINT)
    again.restore()
    before = dict(os.environ)
    with pytest.raises(
        EngineError, match=rf"engine\.deterministic={str(not first).lower()} is refused: .*a run of its own"
    ):
        Package(both[not first], Device.cuda).load(CHECKPOINT)
    assert dict(os.environ) == before
    assert seen[INVARIANT] == ("1" if first else None)


def test_transformers_does_not_compute_with_what_is_left_of_the_mode(
    seen: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Package(compose(list(ON)), Device.cuda)
    made.load(CHECKPOINT)
    made.restore()
    assert seen[INVARIANT] == "1"
    loader = Loader(compose(["model=smollm2", "engine=transformers"]), CHECKPOINT, Device.cuda)
    with pytest.raises(EngineError, match=r"engine=transformers is refused: .*a run of its own"):
        loader.prepare()
    monkeypatch.setenv(INVARIANT, "1")
    ProcessMode.refuse_after("engine=transformers")  # the user asked for it in all of the process


def test_a_program_that_imported_vllm_itself_is_refused(
    seen: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace())
    with pytest.raises(
        EngineError, match=r"engine\.deterministic=true is refused: .*vLLM reads it at its import"
    ):
        Package(compose(list(ON)), Device.cuda).load(CHECKPOINT)
    assert not seen


def test_a_server_gets_the_environment() -> None:
    typed = ["engine.device=cpu", "engine.startup=eager"]
    made = serve_command(compose([*ON, *typed]), CHECKPOINT, "127.0.0.1", 8123)
    assert (made.variables[INVARIANT], made.variables[SAMPLER]) == ("1", "0")
    assert INVARIANT not in serve_command(compose(["model=smollm2", *typed]), CHECKPOINT, "::1", 1).variables


def test_no_step_has_so_many_tokens_that_vllm_takes_another_norm() -> None:
    """From 256 on it did (an H100, 0.26): of 16 texts at batch size 32, 4 were those of batch size 1; with 255 all."""
    typed = ["engine.device=cpu", "engine.startup=eager", "batch_size=400"]
    words = serve_command(compose([*ON, *typed]), CHECKPOINT, "127.0.0.1", 8123).arguments
    assert {"--max-num-batched-tokens=255", "--max-num-seqs=255"} <= set(words)
    engine = compose(list(ON)).engine
    assert [most_at_once(engine, wanted) for wanted in (1, 255, 256)] == [1, 255, 255]
    assert most_at_once(compose(["model=smollm2"]).engine, 400) == 400


# What depends on it


def test_the_startup_does_not_depend_on_the_work() -> None:
    plan = plan_startup(compose(list(ON)), CHECKPOINT, Device.cuda, Workload(9999, 999, 999999), lambda _: 64)
    assert plan.startup is Startup.graphs
    assert plan.reason == "as all deterministic runs"
    keys = {history_key(compose(typed), CHECKPOINT, Device.cpu) for typed in (list(ON), ["model=smollm2"])}
    assert len(keys) == 2


def test_an_engine_is_loaded_for_one_mode() -> None:
    assert engine_key(compose(list(ON))) != engine_key(compose(["model=smollm2"]))


def test_the_manifest_has_what_was_set() -> None:
    assert origin(compose(list(ON)), [])["deterministic"] == {INVARIANT: "1", SAMPLER: "0"}
    assert origin(compose(["model=smollm2"]), [])["deterministic"] is None


def test_a_run_is_not_resumed_in_the_other_mode(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(as_yaml(compose(["model=smollm2"])))
    with pytest.raises(ConfigError, match=r"engine\.deterministic=True \(it was False\) cannot change"):
        check_settings(tmp_path, compose(list(ON)))


def test_a_deterministic_run_keeps_the_number_of_gpus_that_share_a_model(tmp_path: Path) -> None:
    wider = "engine.tensor_parallel_size=2"
    (tmp_path / CONFIG).write_text(as_yaml(compose(list(ON))))
    check_settings(tmp_path, compose([*ON, "batch_size=3", "engine.startup=eager"]))
    with pytest.raises(ConfigError, match=r"engine\.tensor_parallel_size=2 \(it was 1\) cannot change"):
        check_settings(tmp_path, compose([*ON, wider]))
    (tmp_path / CONFIG).write_text(as_yaml(compose(["model=smollm2"])))
    check_settings(tmp_path, compose(["model=smollm2", wider]))


def test_a_run_from_before_the_setting_is_resumed(tmp_path: Path) -> None:
    lines = as_yaml(compose(["model=smollm2"])).splitlines(keepends=True)
    (tmp_path / CONFIG).write_text("".join(line for line in lines if "deterministic" not in line))
    check_settings(tmp_path, compose(["model=smollm2"]))
