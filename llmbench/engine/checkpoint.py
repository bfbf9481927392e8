"""Where a checkpoint is, and whether it can be used, found out before anything heavy is imported."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmbench.config.schema import ModelConfig
from llmbench.engine import bundled_model
from llmbench.engine.checkpoint_files import check_folder, read_json
from llmbench.errors import ModelError
from llmbench.system import files

REFUSED_PICKLE = "Weights only load failed"
"""How torch begins to tell of weights that are a pickle with more than tensors in it; it goes on to say how to run that all the same."""


def pickle_refused(name: str) -> str:
    """The message about it."""
    return (
        f"The weights of {name} are a pickle that is broken or holds more than tensors, so it was not loaded; "
        "use a checkpoint with safetensors."
    )


def needs_code(name: str) -> str:
    """The message about a checkpoint with Python code of its own."""
    return (
        f"{name} needs Python code that comes with the checkpoint; read that code, and if you trust it set "
        "model.trust_remote_code=true."
    )


SHOWN = 3
"""Missing tensors that a sentence names."""


def weights_lack(name: str, missing: Sequence[str]) -> str:
    """The message about a checkpoint that lacks tensors, which engines would fill with random numbers."""
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return (
        f"The weights of {name} lack {', '.join(missing[:SHOWN])}{more}; such a model would answer with random numbers. "
        "Copy the checkpoint again."
    )


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
        carried = str(bundled_model.checkpoint(model.embedded))
        return Checkpoint(carried, None, local=True, folder=carried)
    return _on_hub(str(model.hub_id), model.revision)


def settings(checkpoint: Checkpoint | None) -> Mapping[str, Any]:
    """What config.json says; nothing where there is none."""
    if checkpoint is None or checkpoint.folder is None:
        return {}
    return read_json(Path(checkpoint.folder) / "config.json")


CONTEXT_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
)
"""Where a config.json says how many tokens a model was made for, depending on the architecture."""


def context_length(config_json: Mapping[str, Any]) -> int | None:
    """The tokens that a model was made for, by its config.json.

    Returns:
        None where it does not say, or scales its positions (RoPE scaling): then the engine knows.
    """
    inner = config_json.get("text_config")
    config = inner if isinstance(inner, Mapping) else config_json
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if isinstance(scaling, Mapping) and scaling.get("rope_type", scaling.get("type", "default")) != "default":
        return None
    stated = [value for key in CONTEXT_KEYS if isinstance(value := config.get(key), int) and value > 0]
    return min(stated, default=None)


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
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.HFValidationError,
    ) as error:
        raise ModelError(
            f"The hub has no model {hub_id}{at} for you; check model.hub_id and model.revision, or log in with `hf auth login`."
        ) from error
    except OSError as error:
        raise ModelError(
            files.cache_trouble(error)
            or f"The hub cannot be reached (no network, or HF_HUB_OFFLINE is set) and {hub_id}{at} is not in the local cache; "
            "give a local copy with model.path=FOLDER, or use model=smollm2, which needs no download."
        ) from error
    with suppress(errors.EntryNotFoundError, OSError):  # a model need not have one
        hf_hub_download(hub_id, "generation_config.json", revision=revision)
    snapshot = Path(config).parent.name
    return Checkpoint(hub_id, revision or snapshot, local=False, folder=str(Path(config).parent))
