"""What decides a completion: keys, and fingerprints of weights."""

import os
import struct
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmbench.engine import fingerprint
from llmbench.engine.cache import keys
from llmbench.engine.cache.keys import Keys, keys_for, setup
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.fake import WordTokenizer
from llmbench.errors import CacheError
from llmbench.records import Request, Sampling
from llmbench.system import hardware
from llmbench.telemetry.engine_report import EngineReport
from tests.helpers.settings import compose

REPORT = EngineReport(
    "vllm", "0.27.1", "cpu", quantization="fp8", dtype="bfloat16", attention_backend="CPU_ATTN"
)
SAMPLING = Sampling(max_tokens=20, seed=3, stop=("Answer:",))
REQUEST = Request("b/1/0", "b", "1", 0, (1, 2, 3), SAMPLING)
LATER = 10.0
"""Seconds: what a test has just written counts as there when loading began."""

CHANGED_SAMPLING: dict[str, Any] = {
    "max_tokens": 21, "temperature": 0.5, "top_p": 0.5, "top_k": 5, "min_p": 0.5, "repetition_penalty": 1.1,
    "presence_penalty": 0.5, "frequency_penalty": 0.5,
    "stop": ("Answer",), "seed": 4, "ignore_eos": True,
}  # fmt: skip
CHANGED_REPORT: dict[str, Any] = {
    "name": "transformers", "version": "0.27.2", "device": "cuda", "quantization": None, "dtype": "float16",
    "attention_backend": "FLASH_ATTN",
}  # fmt: skip
CHANGED_SETTINGS = (
    "model.dtype=float16", "model.quantization=awq", "model.attention_backend=FLASHINFER", "model.kv_cache_dtype=fp8", "model.max_length=100",
    "model.trust_remote_code=true", "model.revision=dev", "engine.tensor_parallel_size=2", "engine.pipeline_parallel_size=2",
    "engine.speculative={method: ngram}", "engine.args={a: 1}", "engine.args={a: '1'}", "engine.args={b: [1, {c: 2}]}",
    "engine.deterministic=true",
)  # fmt: skip


def test_every_field_of_sampling_is_tried() -> None:
    assert CHANGED_SAMPLING.keys() == {field.name for field in fields(Sampling)}


@pytest.mark.parametrize("name", CHANGED_SAMPLING)
def test_another_sampling_is_another_key(name: str) -> None:
    made = Keys(b"setup")
    other = replace(REQUEST, sampling=replace(SAMPLING, **{name: CHANGED_SAMPLING[name]}))
    assert made.of(other) != made.of(REQUEST) == made.of(replace(REQUEST))


@pytest.mark.parametrize("ids", [(), (1, 2), (1, 2, 4), (12, 3), (1, 23), (3, 2, 1), (1, 2, 3, 3)])
def test_other_tokens_are_another_key(ids: tuple[int, ...]) -> None:
    made = Keys(b"setup")
    assert made.of(replace(REQUEST, prompt_ids=ids)) != made.of(REQUEST)


def test_repeats_are_kept_apart_and_names_are_not() -> None:
    made = Keys(b"setup")
    assert made.of(replace(REQUEST, repeat=1)) != made.of(REQUEST)
    assert made.of(replace(REQUEST, id="c/9/0", benchmark="c", sample_id="9")) == made.of(REQUEST)
    assert Keys(b"other").of(REQUEST) != made.of(REQUEST)


def test_what_nothing_decides_has_no_key() -> None:
    drawn = replace(REQUEST, sampling=replace(SAMPLING, temperature=1.0, seed=None))
    assert Keys(b"").of(drawn) is None
    assert Keys(b"").of(replace(REQUEST, sampling=replace(SAMPLING, seed=None))) is not None


def test_words_stand_for_numbers_that_mean_nothing_later() -> None:
    one, two = WordTokenizer(), WordTokenizer()
    two.encode("something else comes first", special=False)
    made = []
    for tokenizer in (one, two):
        ids = tokenizer.encode("What is 1 + 1?", special=False)
        made.append(Keys(b"", tokenizer).of(replace(REQUEST, prompt_ids=ids)))
    assert made[0] == made[1] is not None


@pytest.mark.parametrize("change", CHANGED_SETTINGS)
def test_another_setting_is_another_setup(change: str) -> None:
    assert setup(compose([change]), REPORT, "w", {}) != setup(compose([]), REPORT, "w", {})


def test_up_to_how_many_requests_tokens_are_drafted_counts_only_where_they_are() -> None:
    drafting = ["engine.speculative={method: ngram}"]
    below = ["engine.speculative_max_running=8"]
    assert setup(compose(below), REPORT, "w", {}) == setup(compose([]), REPORT, "w", {})
    assert setup(compose([*drafting, *below]), REPORT, "w", {}) != setup(compose(drafting), REPORT, "w", {})


@pytest.mark.parametrize("name", CHANGED_REPORT)
def test_what_the_engine_made_of_the_settings_counts_too(name: str) -> None:
    other = replace(REPORT, **{name: CHANGED_REPORT[name]})
    assert setup(compose([]), other, "w", {}) != setup(compose([]), REPORT, "w", {})


def test_all_else_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(weights: str = "w", report: EngineReport = REPORT, **named: str) -> bytes:
        return setup(compose([]), report, weights, named)

    gpu = replace(REPORT, device="cuda")
    seen = [made(), made("v"), made(adapter="a"), made(adapter="b"), made(report=gpu)]
    for name in ("NVIDIA H100", "NVIDIA A100"):
        found = (hardware.Gpu(0, name, 1, "1"),)
        monkeypatch.setattr(hardware, "gpus", lambda found=found: found)
        seen.append(made(report=gpu))
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    seen.append(made())
    monkeypatch.setattr(hardware, "distribution", lambda name: f"{name} 99")
    seen.append(made())
    monkeypatch.setattr(keys, "__version__", "99")
    seen.append(made())
    assert len(set(seen)) == len(seen)


# ── fingerprints ──────────────────────────────────────────────────────────────────────────────────────────────────────


def checkpoint(folder: Path, size: int = 4 << 20) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["A"]}')
    (folder / "tokenizer.json").write_text("{}")
    header = orjson.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    content = struct.pack("<Q", len(header)) + header + bytes(size)
    (folder / "model.safetensors").write_bytes(content)
    (folder / "pytorch_model.bin").write_bytes(bytes(size))
    return folder


def taken(folder: Path, *, all_files: bool = False) -> str:
    local = Checkpoint(str(folder), None, local=True, folder=str(folder))
    return fingerprint.of_checkpoint(local, time.time() + LATER, all_files=all_files)


def overwrite(file: Path, place: int, content: bytes) -> None:
    """In place, and with its old time again."""
    status = file.stat()
    with file.open("r+b") as opened:
        opened.seek(place)
        opened.write(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "config": lambda folder: (folder / "config.json").write_text('{"architectures": ["B"]}'),
    "tokenizer": lambda folder: overwrite(folder / "tokenizer.json", 0, b"[]"),
    "one more": lambda folder: (folder / "chat_template.jinja").write_text(""),
    "one less": lambda folder: (folder / "tokenizer.json").unlink(),
    "another name": lambda folder: (folder / "tokenizer.json").rename(folder / "t.json"),
    "header": lambda folder: overwrite(folder / "model.safetensors", 20, b"X"),
    "first weights": lambda folder: overwrite(folder / "model.safetensors", 200, b"X"),
    "last weights": lambda folder: overwrite(folder / "model.safetensors", (4 << 20) + 20, b"X"),
    "all weights": lambda folder: overwrite(folder / "pytorch_model.bin", 0, bytes([1]) * (4 << 20)),
    "longer": lambda folder: overwrite(folder / "pytorch_model.bin", 4 << 20, b"X"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_that_changed_is_another_one(change: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    before = taken(folder)
    assert taken(folder) == before
    CHANGES[change](folder)
    assert taken(folder) != before


def test_where_it_lies_and_hidden_files_do_not_matter(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", 1000)
    before = taken(folder)
    (folder / ".cache").mkdir()
    (folder / ".gitattributes").write_text("")
    os.mkfifo(folder / "pipe")
    assert taken(folder.rename(tmp_path / "b")) == before


def test_what_changed_after_loading_began_has_no_fingerprint(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", 1000)
    with pytest.raises(OSError, match="changed after it was loaded"):
        fingerprint.of_path(folder, time.time() - LATER)
    overwrite(folder / "config.json", 0, b"{")  # its time is the old one, but that it changed is known
    status = (folder / "config.json").stat()
    os.utime(folder / "config.json", (status.st_atime, status.st_mtime - 3600))
    with pytest.raises(OSError, match="changed after it was loaded"):
        fingerprint.of_path(folder / "config.json", time.time() - LATER)


def test_a_folder_without_a_model_has_no_fingerprint(tmp_path: Path) -> None:
    for folder, why in ((tmp_path, "holds no file of a model"), (tmp_path / "gone", "No such file")):
        local = Checkpoint(str(folder), None, local=True, folder=str(folder))
        with pytest.raises(CacheError, match=f"{folder} cannot be relied on .*{why}"):
            keys_for(compose([]), REPORT, local, WordTokenizer(), time.time() + LATER)


def test_files_of_any_name_decide_what_the_cache_gives_back(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", 1000)
    made = set()
    for content in (b"1", b"2"):
        (folder / "model.tensors").write_bytes(content)
        made.add(taken(folder, all_files=True))
    assert len(made) == 2


def test_a_large_file_that_was_written_anew_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "LARGEST_WHOLE", 1 << 20)
    folder = checkpoint(tmp_path / "a")
    before, told = taken(folder), (folder / "model.safetensors").stat()
    os.utime(folder / "model.safetensors", ns=(told.st_atime_ns, told.st_mtime_ns + 1))
    assert taken(folder) != before


def test_a_hubs_checkpoint_is_its_commit(tmp_path: Path) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    known = Checkpoint("org/name", "main", local=False, folder=str(tmp_path / commit))
    assert fingerprint.commit(known) == commit
    for folder in (None, str(tmp_path / "main")):
        assert fingerprint.commit(replace(known, folder=folder)) is None


def test_what_the_engines_arguments_name_is_looked_at_too(tmp_path: Path) -> None:
    adapter = checkpoint(tmp_path / "adapter", 1000)
    config = compose([f"engine.args={{lora: [{{path: {adapter}}}], other: /nowhere/at/all}}"])
    here = Checkpoint(str(checkpoint(tmp_path / "a", 1000)), None, local=True, folder=None)

    def made() -> bytes:
        return keys_for(config, REPORT, here, WordTokenizer(), time.time() + LATER).setup

    before = made()
    assert made() == before
    CHANGES["config"](adapter)
    assert made() != before
