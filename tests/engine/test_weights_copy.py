"""Copies of quantised weights: which start takes which, how they are made and removed. No engine is loaded."""

import gc
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from llmbench.cache import main
from llmbench.config.choices import Device
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.vllm import engine as vllm_engine
from llmbench.engine.vllm import quantizing, weights_copy
from llmbench.engine.vllm.engine import VllmEngine
from llmbench.engine.vllm.internals.quantized_weights import DIGEST, WRITE_TO
from llmbench.engine.vllm.loading import particulars
from llmbench.engine.vllm.weights_copy import Copy, as_checkpoint, copies, in_place_of
from llmbench.errors import ConfigError, EngineError
from llmbench.system import hardware
from llmbench.system.hardware import Gpu
from tests.helpers.settings import compose

pytestmark = pytest.mark.usefixtures("cache_folder")

NOT_LOADED: tuple[str, ...] = ()
FOUR_BIT = ("model=qwen14b", "model.quantization=bitsandbytes", "engine.device=cpu")


def checkpoint_in(folder: Path, weights: bytes = b"abcd") -> Checkpoint:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"hidden_size": 64, "architectures": ["Qwen2ForCausalLM"]}')
    head = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + weights)
    return Checkpoint(str(folder), None, local=True, folder=str(folder))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return checkpoint_in(tmp_path / "model")


def made(
    checkpoint: Checkpoint, *settings: str, digests: tuple[str, ...] = ("d1", "d1"), size: int = 1000
) -> Copy:
    """The copy that `make_copy` makes with a stand-in for loading, which gives these digests."""
    left = list(digests)

    def load(_: Config, loaded: Checkpoint, variables: Mapping[str, str]) -> str:
        if WRITE_TO in variables:
            (Path(variables[WRITE_TO]) / "weights-00001.safetensors").write_bytes(bytes(size))
        else:
            assert Path(loaded.name, "config.json").is_file()
        return left.pop(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantizing, "_digest", load)
        return quantizing.make_copy(compose([*FOUR_BIT, *settings]), checkpoint, lambda _: None)


def taken(checkpoint: Checkpoint, *settings: str, device: Device = Device.cpu) -> str | None:
    copy = in_place_of(compose([*FOUR_BIT, *settings]), checkpoint, device)
    return None if copy is None else copy.digest


def test_a_start_takes_the_copy_of_its_checkpoint(checkpoint: Checkpoint) -> None:
    assert taken(checkpoint) is None
    copy = made(checkpoint)
    assert taken(checkpoint) == copy.digest == "d1"
    stated = json.loads((copy.folder / "config.json").read_text())
    assert (stated["hidden_size"], stated["quantization_config"]["quant_method"]) == (64, "bitsandbytes")
    assert taken(checkpoint, "model.max_length=512", "batch_size=3", "engine.args={max_num_seqs: 4}") == "d1"


@pytest.mark.parametrize(
    "settings",
    [
        ("engine.weights_copy=false",),
        ("model.quantization=null",),
        ("model.dtype=float16",),
        ("model.trust_remote_code=true",),
        ("model.lora=/somewhere",),
        ("engine.tensor_parallel_size=2",),
        ("engine.pipeline_parallel_size=2",),
        ("engine.args={load_format: dummy}",),
        ("engine.args={hf_overrides: {a: 1}}",),
        ("engine.speculative={method: eagle, model: /draft}",),
    ],
)
def test_a_start_that_could_load_other_weights_takes_none(
    checkpoint: Checkpoint, settings: tuple[str, ...]
) -> None:
    made(checkpoint)
    assert taken(checkpoint, *settings) is None


def test_a_checkpoint_that_changed_has_no_copy(tmp_path: Path, checkpoint: Checkpoint) -> None:
    made(checkpoint)
    assert taken(checkpoint_in(tmp_path / "other" / "model", b"abce")) is None
    assert taken(checkpoint_in(tmp_path / "same" / "model")) == "d1"  # wherever it lies
    Path(checkpoint.name, "config.json").write_text('{"hidden_size": 65}')
    assert taken(checkpoint) is None


def test_other_versions_and_another_gpu_have_copies_of_their_own(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(checkpoint)
    monkeypatch.setattr(hardware, "gpus", lambda: (Gpu(0, "NVIDIA H100", 80 << 30, "1"),))
    assert taken(checkpoint, device=Device.cuda) is None
    monkeypatch.setattr(hardware, "distribution", lambda name: f"{name} 99")
    assert taken(checkpoint) is None


def test_a_checkpoint_that_is_quantised_already_has_none(checkpoint: Checkpoint) -> None:
    Path(checkpoint.name, "config.json").write_text('{"quantization_config": {"quant_method": "awq"}}')
    with pytest.raises(ConfigError, match="No copy is made of"):
        made(checkpoint)


def test_a_copy_that_would_give_other_weights_is_not_kept(checkpoint: Checkpoint) -> None:
    with pytest.raises(EngineError, match="would hold other weights"):
        made(checkpoint, digests=("d1", "d2"))
    assert copies() == []
    assert not any(path.is_dir() for path in weights_copy.copies_folder().iterdir())


def test_a_copy_is_made_once(checkpoint: Checkpoint) -> None:
    made(checkpoint)
    assert made(checkpoint, digests=("d2", "d2")).digest == "d1"


def test_what_a_killed_process_left_is_never_used(checkpoint: Checkpoint) -> None:
    folder = weights_copy.place(compose(list(FOUR_BIT)), checkpoint, Device.cpu)
    assert folder is not None
    folder.mkdir(parents=True)
    (folder / "weights-00002.safetensors").write_bytes(b"half")
    assert (copies(), taken(checkpoint)) == ([], None)
    made(checkpoint)
    assert not (folder / "weights-00002.safetensors").exists()
    assert taken(checkpoint) == "d1"


def test_a_copy_whose_files_changed_is_not_used(checkpoint: Checkpoint) -> None:
    file = made(checkpoint).folder / "weights-00001.safetensors"
    file.write_bytes(b"\1" + bytes(999))
    assert taken(checkpoint) is None
    assert made(checkpoint, digests=("d2", "d2")).digest == "d2"  # made anew
    assert taken(checkpoint) == "d2"


def test_a_copy_whose_record_is_damaged_is_made_anew(checkpoint: Checkpoint) -> None:
    (made(checkpoint).folder / weights_copy.RECORD).write_bytes(b"")
    assert (copies(), taken(checkpoint)) == ([], None)
    assert made(checkpoint, digests=("d2", "d2")).digest == "d2"


def test_of_a_checkpoint_that_changes_while_it_is_quantised_no_copy_is_kept(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: Config, loaded: Checkpoint, variables: Mapping[str, str]) -> str:
        if WRITE_TO in variables:
            Path(checkpoint.name, "config.json").write_text('{"hidden_size": 65}')
            (Path(variables[WRITE_TO]) / "weights-00001.safetensors").write_bytes(b"of the new one")
        return f"d1{loaded.revision}"

    monkeypatch.setattr(quantizing, "_digest", load)
    with pytest.raises(EngineError, match="changed while it was quantised"):
        quantizing.make_copy(compose(list(FOUR_BIT)), checkpoint, lambda _: None)
    assert copies() == []


def test_a_copy_that_is_being_made_is_not_used_and_of_one_that_fails_nothing_stays(
    checkpoint: Checkpoint,
) -> None:
    folder = weights_copy.place(compose(list(FOUR_BIT)), checkpoint, Device.cpu)
    assert folder is not None
    with pytest.raises(OSError, match="full"), weights_copy.being_made(folder) as made_in:  # noqa: PT012
        (made_in / "weights-00001.safetensors").write_bytes(b"half")
        assert taken(checkpoint) is None
        raise OSError("the disk is full")
    assert list(folder.parent.iterdir()) == []


def test_two_processes_that_make_the_same_copy_do_not_meet(checkpoint: Checkpoint) -> None:
    folder = weights_copy.place(compose(list(FOUR_BIT)), checkpoint, Device.cpu)
    assert folder is not None
    with weights_copy.being_made(folder) as made_in:
        (made_in / "weights-00001.safetensors").write_bytes(b"half")
        other = made(checkpoint)
        assert (made_in / "weights-00001.safetensors").read_bytes() == b"half"
        (made_in / weights_copy.RECORD).write_bytes(b'{"digest": "d2"}')
    assert copies() == [other], "a run may be loading it"
    assert other.whole
    assert list(folder.parent.iterdir()) == [folder]


def test_a_copy_that_would_be_too_much_beside_the_others_is_refused(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    kept = made(checkpoint)
    refused = (
        rf"the copies in {weights_copy.copies_folder()} take .*, more than engine\.weights_copies_max_bytes=2500 allows; "
        r"set it to 3000 or more, or remove copies "
    )
    with pytest.raises(ConfigError, match=refused):
        made(checkpoint_in(tmp_path / "other", b"aaaa"), "engine.weights_copies_max_bytes=2500", size=2000)
    assert copies() == [kept]


def test_a_copy_that_will_be_larger_than_all_may_be_is_refused_before_anything_is_loaded(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantizing, "weights_bytes", lambda _: 1 << 40)
    with pytest.raises(ConfigError, match="weights_copies_max_bytes=68719476736 allows"):
        made(checkpoint, digests=NOT_LOADED)


def test_the_engine_loads_the_copy(checkpoint: Checkpoint) -> None:
    copy = made(checkpoint)
    engine = VllmEngine(compose([*FOUR_BIT]), checkpoint)
    loaded: list[Checkpoint] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine._package, "load", loaded.append)
        engine.prepare()
    assert loaded == [as_checkpoint(copy.folder)]


def test_the_line_about_a_start_tells_of_a_copy_and_of_an_fp8_cache() -> None:
    assert particulars({"kv_cache_dtype": "fp8_e4m3"}, from_copy=True) == [
        "quantised weights from a copy",
        "KV cache in fp8_e4m3",
    ]
    assert (
        particulars({"kv_cache_dtype": "bfloat16"}, from_copy=False) == particulars({}, from_copy=False) == []
    )


class StandIn:
    """Stands for vLLM's package: each engine writes weights where it is asked to, and says that it holds the same."""

    started: ClassVar[list[tuple[str, str | None, str | None]]] = []
    shut_down: ClassVar[list[bool]] = []

    def __init__(self, *_: object) -> None:
        self.vllm, self.default_batch, self.in_process = SimpleNamespace(LLM=self.start), 256, True

    def load(self, _: Checkpoint) -> None:
        assert not self.started[len(self.shut_down) :], "one engine is closed before the next begins"

    def start(self, **arguments: Any) -> object:  # noqa: ANN401 - as vLLM takes them
        into, digest = (os.environ.get(name) for name in (WRITE_TO, DIGEST))
        if into is not None:
            Path(into, "weights-00001.safetensors").write_bytes(b"quantised")
        assert arguments["enforce_eager"]
        self.started.append((arguments["model"], into, digest))
        core = SimpleNamespace(shutdown=lambda: self.shut_down.append(True))
        facts = {"created": 0.0, "seconds": {}, "weights_digest": "d1"}
        return SimpleNamespace(llm_engine=SimpleNamespace(engine_core=core), collective_rpc=lambda _: [facts])

    def restore(self) -> None:
        gc.unfreeze()


def test_a_copy_is_written_by_one_engine_and_compared_with_another(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_engine, "Package", StandIn)
    copy = quantizing.make_copy(compose(list(FOUR_BIT)), checkpoint, lambda _: None)
    (source, folder, written), compared = StandIn.started
    assert (source, written, compared) == (checkpoint.name, "1", (folder, None, "1"))
    assert folder != str(copy.folder), "it is made beside its place"
    assert StandIn.shut_down == [True, True]
    assert (copy.digest, taken(checkpoint)) == ("d1", "d1")


def test_a_copy_that_is_removed_while_an_engine_starts_is_done_without(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(checkpoint)
    monkeypatch.setattr(vllm_engine, "Package", StandIn)
    monkeypatch.setattr(StandIn, "started", [])
    monkeypatch.setattr(StandIn, "shut_down", [])
    engine = VllmEngine(compose([*FOUR_BIT, "engine.startup=eager"]), checkpoint)
    engine.prepare()
    weights_copy.clear()
    engine.load(quantizing.WORK, lambda _: None)
    assert StandIn.started == [(checkpoint.name, None, None)]
    engine.close()


def test_the_command_shows_and_removes_copies(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = made(checkpoint)
    damaged, killed, other = (
        copy.folder.with_name(name) for name in (f"old-{'0' * 24}", f"{weights_copy.BESIDE}0", "notes")
    )
    for folder in (damaged, killed, other):
        (folder / copy.folder.name).mkdir(parents=True)
    assert main([]) == 0
    assert f"{copy.folder}: the quantised weights of {checkpoint.name}, " in capsys.readouterr().out
    assert main(["--clear"]) == 0
    assert copies()
    assert main(["--clear-copies"]) == 0
    assert not copies()
    assert list(copy.folder.parent.iterdir()) == [other], "it is not llmbench's"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quantize", "engine=fake"], "leave engine= out"),
        (["quantize", "model=qwen7b", "model=qwen14b"], "model is given twice"),
        (["quantize", "model=smollm2", "model.quantization=null"], "No copy is made of"),
        (["quantise"], "invalid choice"),
        (["quantize", "model=nobody"], "nobody"),
    ],
)
def test_what_cannot_be_quantised_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
