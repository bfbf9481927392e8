"""The KV cache's size from an earlier start: when it is used, when not, and how it is forgotten."""

import gc
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.vllm import engine as vllm_engine
from llmbench.engine.vllm.engine import VllmEngine
from llmbench.engine.vllm.kv_memory import MARGIN_BYTES, MOST_AGE_S, KvMemory
from llmbench.engine.vllm.processes import EngineProcesses
from llmbench.engine.workload import Workload
from llmbench.errors import Cause, EngineError, OutOfMemoryError, Shortage
from llmbench.system import hardware
from llmbench.system.hardware import Gpu
from tests.helpers.settings import compose

GIB = 1 << 30
FREE, SIZE = 79 * GIB, 43 * GIB
ARGUMENTS = {"model": "/models/14b", "seed": 0, "max_num_seqs": 40, "gpu_memory_utilization": 0.95}
H100 = Gpu(0, "NVIDIA H100 80GB HBM3", 80 * GIB, "580.1", "GPU-1")


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> Path:
    found = [H100]
    monkeypatch.setattr(hardware, "gpus", lambda: tuple(found))
    monkeypatch.setattr(hardware, "free_bytes", lambda _: FREE)
    return cache_folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"hidden_size": 64}')
    return Checkpoint(str(folder), None, local=True, folder=str(folder))


def recalled(
    checkpoint: Checkpoint, *settings: str, free: int | None = FREE, **arguments: object
) -> KvMemory:
    return KvMemory.of(compose(["model=qwen14b", *settings]), checkpoint, ARGUMENTS | arguments, free)


def remembered(checkpoint: Checkpoint, *settings: str, free: int = FREE, **arguments: object) -> int | None:
    return recalled(checkpoint, *settings, free=free, **arguments).remembered


def learn(checkpoint: Checkpoint, measured: object = SIZE) -> KvMemory:
    memory = recalled(checkpoint)
    memory.learn(measured)
    return memory


def file_of(memory: KvMemory) -> Path:
    assert memory.file is not None
    return memory.file


def test_the_next_start_of_the_same_kind_gets_the_size_that_was_measured(checkpoint: Checkpoint) -> None:
    assert remembered(checkpoint) is None
    learn(checkpoint)
    again = recalled(checkpoint, seed=7)
    assert again.arguments == {"kv_cache_memory_bytes": SIZE}


@pytest.mark.parametrize(
    "changed",
    [
        {"max_num_seqs": 41},
        {"gpu_memory_utilization": 0.9},
        {"max_model_len": 512},
        {"quantization": "fp8"},
        {"kv_cache_dtype": "fp8"},
        {"enable_lora": True},
        {"speculative_config": {"method": "ngram"}},
        {"compilation_config": {"cudagraph_capture_sizes": [1, 2]}},
    ],
)
def test_a_start_with_other_arguments_measures(checkpoint: Checkpoint, changed: dict[str, Any]) -> None:
    learn(checkpoint)
    assert remembered(checkpoint, **changed) is None


def test_another_gpu_driver_version_or_model_measures(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(checkpoint)
    for other in (
        Gpu(0, "NVIDIA H200", 80 * GIB, "580.1"),
        Gpu(0, H100.name, 94 * GIB, "580.1"),
        Gpu(0, H100.name, 80 * GIB, "590.2"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(hardware, "gpus", lambda other=other: (other,))
            assert remembered(checkpoint) is None
    with monkeypatch.context() as patch:
        patch.setattr(hardware, "distribution", lambda name: f"{name} 99")
        assert remembered(checkpoint) is None
    assert remembered(checkpoint) == SIZE
    Path(str(checkpoint.folder), "config.json").write_text('{"hidden_size": 128}')
    assert remembered(checkpoint) is None


def test_a_size_counts_only_where_as_much_memory_is_free_as_before(checkpoint: Checkpoint) -> None:
    learn(checkpoint)
    assert remembered(checkpoint, free=FREE + GIB) == SIZE
    assert remembered(checkpoint, free=FREE - MARGIN_BYTES) == SIZE
    assert remembered(checkpoint, free=FREE - MARGIN_BYTES - 1) is None


def test_a_size_is_measured_anew_after_a_week(checkpoint: Checkpoint) -> None:
    file = file_of(learn(checkpoint))
    old = file.stat().st_mtime - MOST_AGE_S
    os.utime(file, (old - 60, old - 60))
    assert remembered(checkpoint) is None
    learn(checkpoint)
    assert remembered(checkpoint) == SIZE


def test_a_size_from_a_time_to_come_is_measured_anew(checkpoint: Checkpoint) -> None:
    file = file_of(learn(checkpoint))
    ahead = file.stat().st_mtime + 3600
    os.utime(file, (ahead, ahead))
    assert remembered(checkpoint) is None


def test_arguments_may_have_numbers_for_keys(checkpoint: Checkpoint) -> None:
    assert recalled(checkpoint, hf_overrides={"id2label": {0: "no"}}).file is not None


def test_nothing_is_remembered_where_it_is_off_or_the_size_is_the_users(checkpoint: Checkpoint) -> None:
    learn(checkpoint)
    assert recalled(checkpoint, "engine.remember_kv_cache=false").file is None
    assert recalled(checkpoint, kv_cache_memory_bytes=GIB).file is None
    assert recalled(checkpoint, "engine.tensor_parallel_size=2").file is None
    assert recalled(checkpoint, tensor_parallel_size=2).file is None
    assert recalled(checkpoint, free=None).file is None


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "[]",
        '{"kv_cache_bytes": "x", "free_bytes": 1}',
        '{"free_bytes": 1}',
        '{"kv_cache_bytes": true, "free_bytes": 1}',
        '{"kv_cache_bytes": 2, "free_bytes": 1}',
    ],
)
def test_a_file_that_cannot_be_read_is_no_size(checkpoint: Checkpoint, broken: str) -> None:
    file_of(learn(checkpoint)).write_text(broken)
    assert remembered(checkpoint) is None


def test_what_was_not_measured_is_not_remembered(checkpoint: Checkpoint) -> None:
    for measured in (None, 0, -GIB, "much"):
        learn(checkpoint, measured)
    assert remembered(checkpoint) is None
    learn(checkpoint)
    learn(checkpoint, SIZE // 2)  # vLLM gives back what it was given
    assert remembered(checkpoint) == SIZE


def test_a_folder_that_cannot_be_written_costs_nothing(checkpoint: Checkpoint, gpu: Path) -> None:
    gpu.mkdir(exist_ok=True)
    (gpu / "kv_cache").write_text("in the way")
    learn(checkpoint)
    assert remembered(checkpoint) is None


def test_a_shortage_forgets_the_size_and_says_whether_it_was_used(checkpoint: Checkpoint) -> None:
    first = learn(checkpoint)
    short = OutOfMemoryError("The GPU is full.", Shortage("running", needs_new_process=True))
    again = recalled(checkpoint)
    blamed = again.blamed(short)
    assert isinstance(blamed, OutOfMemoryError)
    assert (blamed.shortage.remembered, blamed.shortage.needs_new_process) == (True, True)
    assert not file_of(first).exists()
    learn(checkpoint)
    measured = first.blamed(short)  # the engine that measured it ran out itself
    assert isinstance(measured, OutOfMemoryError)
    assert not measured.shortage.remembered
    assert remembered(checkpoint) is None


@pytest.mark.parametrize("cause", ["free", "weights"])
def test_a_shortage_before_there_is_a_kv_cache_is_not_its_fault(checkpoint: Checkpoint, cause: Cause) -> None:
    learn(checkpoint)
    memory = recalled(checkpoint)
    short = OutOfMemoryError("The GPU is full.", Shortage(cause))
    assert memory.blamed(short) is short
    assert memory.blamed(died := EngineError("It died.")) is died
    assert remembered(checkpoint) == SIZE


class Started:
    """Stands for vLLM's `LLM`: measures a size unless it is given one, and runs out of memory with one that is too large."""

    def __init__(self, most: int) -> None:
        self.most, self.given = most, list[int | None]()

    def __call__(self, **arguments: Any) -> object:  # noqa: ANN401 - as vLLM takes them
        size = arguments.get("kv_cache_memory_bytes")
        self.given.append(size)
        if size is not None and size > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        facts = {"created": 0.0, "seconds": {}, "kv_cache_bytes": None if size else self.most}
        return SimpleNamespace(collective_rpc=lambda _: [facts])


def load(config: Config, checkpoint: Checkpoint, started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cpu_build", lambda: False)
    monkeypatch.setattr(vllm_engine, "watch_for_death", lambda _: None)
    monkeypatch.setattr(EngineProcesses, "of", lambda _: EngineProcesses())
    engine = VllmEngine(config, checkpoint)
    package = SimpleNamespace(
        vllm=SimpleNamespace(LLM=started), default_batch=256, in_process=True, restore=lambda: None
    )
    monkeypatch.setattr(engine, "_package", package)
    try:
        engine.load(Workload(4, 16, 64, greedy=True), lambda _: None)
    finally:
        gc.unfreeze()  # else this process's objects stay out of every later collection


def test_an_engine_starts_with_the_size_of_the_start_before_and_without_it_once_that_is_too_much(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, started = compose(["model=qwen14b", "engine.weights_copy=false"]), Started(SIZE)
    load(config, checkpoint, started, monkeypatch)
    load(config, checkpoint, started, monkeypatch)
    assert started.given == [None, SIZE]
    crowded = Started(SIZE // 2)
    with pytest.raises(OutOfMemoryError) as failed:
        load(config, checkpoint, crowded, monkeypatch)
    assert failed.value.shortage.remembered
    load(config, checkpoint, crowded, monkeypatch)
    load(config, checkpoint, crowded, monkeypatch)
    assert crowded.given == [SIZE, None, SIZE // 2]


def test_a_file_of_a_size_says_what_was_free(checkpoint: Checkpoint) -> None:
    assert json.loads(file_of(learn(checkpoint)).read_text()) == {"kv_cache_bytes": SIZE, "free_bytes": FREE}
