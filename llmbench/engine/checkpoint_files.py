"""The files of a checkpoint's folder: which are there, whether they are whole, and the headers of its safetensors files."""

import re
import struct
from pathlib import Path
from typing import Any

import orjson

from llmbench.errors import ModelError
from llmbench.system import files

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state\w*|adapter_model)\.")
"""Files of trainers and adapters that end as weights do."""
ADAPTER = "adapter_config.json"
"""What a folder with nothing but a LoRA adapter holds."""
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
HEADER_BYTES = 100_000_000
"""Of a safetensors file, by its own specification."""


def check_folder(folder: Path) -> None:
    """Refuses a folder that holds no complete checkpoint.

    Raises:
        ModelError: Says what is missing.
    """
    try:
        _check_content(folder)
        _check_index(folder)
        for file in weight_files(folder):
            _check_weights(file)
    except OSError as error:
        raise ModelError(
            f"{error.filename or folder} cannot be read ({error.strerror}); check model.path."
        ) from error


def _check_content(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(
            f"There is no checkpoint folder {folder}; check model.path, which takes the folder with config.json and the weights."
        )
    odd = [each for each in folder.iterdir() if not (each.is_file() or each.is_dir())]
    if odd:  # opening a pipe waits for ever
        raise ModelError(
            f"{min(odd)} is a link that leads nowhere, a pipe or a device; copy the checkpoint again."
        )
    files = weight_files(folder)
    if not files and (folder / ADAPTER).is_file():
        base = read_json(folder / ADAPTER).get("base_model_name_or_path") or "its base model"
        raise ModelError(
            f"{folder} holds a LoRA adapter of {base}, no whole model; choose that model and add model.lora={folder}, or merge "
            "the two (peft's merge_and_unload) and give the merged folder."
        )
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(
            f"{folder} holds no config.json, so it is no Hugging Face checkpoint; check model.path."
        )
    read_json(config)
    if not files:
        raise ModelError(f"{folder} holds no weights ({', '.join(WEIGHTS)}); copy the checkpoint again.")


def _check_index(folder: Path) -> None:
    """Refuses a folder without all the files that its index names, or with other weights beside them."""
    sharded = sorted(file.name for file in folder.glob("*") if SHARD.fullmatch(file.name))
    if sharded and (folder / "model.safetensors").is_file():
        raise ModelError(
            f"{folder} holds two sets of weights, model.safetensors and {sharded[0]} …; engines differ in which they take: "
            "move one away."
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = read_json(index).get("weight_map")
        names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
        missing = sorted(name for name in names if not (folder / name).is_file())
        if missing:
            raise ModelError(
                f"{folder} lacks {missing[0]}, which its index names; copy the checkpoint again."
            )


def weight_files(folder: Path) -> list[Path]:
    """A checkpoint's files of weights, without what trainers leave beside them."""
    found = [file for pattern in WEIGHTS for file in folder.glob(pattern)]
    return [file for file in found if not NO_WEIGHTS.match(file.name)]


def weights_bytes(folder: Path) -> int:
    """The size of a checkpoint's weight files, of the first kind that is there; 0 where there are none."""
    found = weight_files(folder)
    for pattern in WEIGHTS:
        size = sum(file.stat().st_size for file in found if file.match(pattern))
        if size:
            return size
    return 0


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises `ModelError` where it holds none."""
    try:
        content = orjson.loads(files.read(path, files.JSON_BYTES))
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}); copy the checkpoint again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object; copy the checkpoint again.")
    return content


NOT_A_HEADER = (orjson.JSONDecodeError, KeyError, TypeError, IndexError, AttributeError)
"""What reading a broken safetensors header fails with."""


def header(file: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """The length of a safetensors file's header in bytes, and its tensors by name."""
    size = file.stat().st_size
    with files.opened(file, size) as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size  # noqa: PLR2004 - the length's own length
        found = orjson.loads(opened.read(length) if length <= min(size - 8, HEADER_BYTES) else b"")
    found.pop("__metadata__", None)
    return length, found


def _check_weights(file: Path) -> None:
    """Compares a safetensors file's length with what its header says (https://huggingface.co/docs/safetensors)."""
    size = file.stat().st_size
    complete = file.is_file() and size > 0
    if file.suffix == ".safetensors":
        try:
            length, tensors = header(file)
            ends = [tensor["data_offsets"][1] for tensor in tensors.values()]
            complete = size == 8 + length + max(ends, default=0)
        except NOT_A_HEADER:
            complete = False
    if not complete:
        raise ModelError(f"{file} is broken or was not copied to its end; copy the checkpoint again.")
