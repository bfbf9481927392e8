"""Where a checkpoint is, and whether it can be used, found out before anything heavy is imported."""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from llmbench import embedded, files
from llmbench.config import ModelConfig
from llmbench.errors import ModelError

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")


REFUSED_PICKLE = "Weights only load failed"
"""How torch begins to tell of weights that are a pickle with more than tensors in it; it goes on to say how to run that all the same."""


def pickle_refused(name: str) -> str:
    """What the user is told of it."""
    return (
        f"The weights of {name} are a pickle that is broken or holds more than tensors, so it was not loaded; "
        "use a checkpoint with safetensors."
    )


HEADER_BYTES = 100_000_000
"""Of a safetensors file, by its own specification."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as engines take it: a local folder or a hub id, and the revision it resolved to where known.

    Attributes:
        folder: Where its config.json lies; a hub's snapshot in the local cache may hold nothing else yet.
    """

    name: str
    revision: str | None
    local: bool
    folder: str | None = None


def locate(model: ModelConfig) -> Checkpoint:
    """The checkpoint of a model: `path`, else the one a package carries, else the hub's.

    Raises:
        ModelError: It is missing, broken, gated or out of reach.
    """
    if model.path is not None:
        folder = files.expanded(model.path, ModelError, "model.path")
        check_folder(folder)
        return Checkpoint(str(folder.resolve()), None, local=True, folder=str(folder.resolve()))
    if model.embedded is not None:
        carried = str(embedded.checkpoint(model.embedded))
        return Checkpoint(carried, None, local=True, folder=carried)
    return _on_hub(str(model.hub_id), model.revision)


def check_folder(folder: Path) -> None:
    """Refuses a folder that holds no complete checkpoint.

    Raises:
        ModelError: Says what is missing.
    """
    hint = "check model.path"
    try:
        odd = [entry.name for entry in os.scandir(folder) if not _is_file_or_folder(entry)]
    except (FileNotFoundError, NotADirectoryError):
        odd = []
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The checkpoint folder {folder} cannot be read ({getattr(error, 'strerror', None) or error}); {hint}."
        ) from error
    if odd:  # opening a pipe waits for ever
        raise ModelError(
            f"{folder / min(odd)} is a link that leads nowhere, a pipe or a device; copy the checkpoint again."
        )
    if not folder.is_dir():
        raise ModelError(
            f"There is no checkpoint folder {folder}; {hint}, or leave it away to use the model's hub id."
        )
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(f"{folder} holds no config.json, so it is no Hugging Face checkpoint; {hint}.")
    _read_json(config)
    files = [file for pattern in WEIGHTS for file in folder.glob(pattern)]
    if not files:
        raise ModelError(f"{folder} holds no weights ({', '.join(WEIGHTS)}); copy the checkpoint again.")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = _read_json(index).get("weight_map")
        names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
        missing = sorted(name for name in names if not (folder / name).is_file())
        if missing:
            raise ModelError(
                f"{folder} lacks {missing[0]}, which its index names; copy the checkpoint again."
            )
    for file in files:
        _check_weights(file)


def _is_file_or_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() or entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def weights_bytes(folder: Path) -> int:
    """The size of a checkpoint's weight files, of the first kind that is there; 0 where there are none."""
    for pattern in WEIGHTS:
        size = sum(file.stat().st_size for file in folder.glob(pattern))
        if size:
            return size
    return 0


def settings(checkpoint: Checkpoint | None) -> Mapping[str, object]:
    """What config.json says; nothing where there is none."""
    if checkpoint is None or checkpoint.folder is None:
        return {}
    return _read_json(Path(checkpoint.folder) / "config.json")


def _read_json(path: Path) -> dict[str, object]:
    try:
        content = orjson.loads(files.read(path, files.JSON_BYTES))
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}); copy the checkpoint again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object; copy the checkpoint again.")
    return content


def _check_weights(file: Path) -> None:
    """Compares a safetensors file's length with what its header says (https://huggingface.co/docs/safetensors)."""
    if not file.is_file():
        raise ModelError(f"{file} is no file; copy the checkpoint again.")
    size = file.stat().st_size
    if file.suffix != ".safetensors":
        complete = size > 0
    else:
        try:
            with files.opened(file, size) as opened:
                start = opened.read(8)
                length = struct.unpack("<Q", start)[0] if len(start) == 8 else size  # noqa: PLR2004 - the length's own length
                header = opened.read(length) if length <= min(size - 8, HEADER_BYTES) else b""
        except OSError as error:
            raise ModelError(
                f"{file} cannot be read ({error.strerror}); copy the checkpoint again."
            ) from error
        try:
            tensors = orjson.loads(header)
            ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
            complete = size == 8 + length + max(ends, default=0)
        except (orjson.JSONDecodeError, KeyError, TypeError, IndexError, AttributeError):
            complete = False
    if not complete:
        raise ModelError(f"{file} is broken or was not copied to its end; copy the checkpoint again.")


def _on_hub(hub_id: str, revision: str | None) -> Checkpoint:
    from huggingface_hub import errors, hf_hub_download

    at = f" at {revision}" if revision else ""
    try:
        config = hf_hub_download(hub_id, "config.json", revision=revision)
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{hub_id} is gated: accept its terms on https://huggingface.co/{hub_id} and log in with `hf auth login`, "
            "or give a local copy with model.path=FOLDER."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{hub_id} has no revision {revision!r}; check model.revision.") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ModelError(
            f"The hub has no model {hub_id} for you; check model.hub_id, or log in with `hf auth login`."
        ) from error
    except (
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        errors.HfHubHTTPError,
        OSError,
    ) as error:
        raise ModelError(
            f"The hub cannot be reached (no network, or HF_HUB_OFFLINE is set) and {hub_id}{at} is not in the local cache; "
            "give a local copy with model.path=FOLDER, or use model=smollm2, which needs no download."
        ) from error
    snapshot = Path(config).parent.name
    return Checkpoint(hub_id, revision or snapshot, local=False, folder=str(Path(config).parent))
