"""Where a checkpoint is, and whether it can be used, found out before anything heavy is imported."""

import math
import os
import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from llmbench.config.schema import ModelConfig
from llmbench.engine import bundled_model
from llmbench.errors import ModelError
from llmbench.system import files

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state\w*|adapter_model)\.")
"""Files of trainers and adapters that end as weights do."""
ADAPTER = "adapter_config.json"
"""What a folder with nothing but a LoRA adapter holds."""


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
        carried = str(bundled_model.checkpoint(model.embedded))
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
        is_file = f"{folder} is a file; type model.path={folder.parent}, the folder that it lies in."
        raise ModelError(is_file if folder.is_file() else f"There is no checkpoint folder {folder}; {hint}.")
    files = weight_files(folder)
    if not files and (folder / ADAPTER).is_file():
        base = _read_json(folder / ADAPTER).get("base_model_name_or_path") or "its base model"
        raise ModelError(
            f"{folder} holds a LoRA adapter of {base}, no whole model; merge it into the base model (peft's merge_and_unload) "
            "and give the merged folder."
        )
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(f"{folder} holds no config.json, so it is no Hugging Face checkpoint; {hint}.")
    _read_json(config)
    if not files:
        raise ModelError(f"{folder} holds no weights ({', '.join(WEIGHTS)}); copy the checkpoint again.")
    _check_index(folder)
    for file in files:
        _check_weights(file)


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
        shards = _read_json(index).get("weight_map")
        names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
        missing = sorted(name for name in names if not (folder / name).is_file())
        if missing:
            raise ModelError(
                f"{folder} lacks {missing[0]}, which its index names; copy the checkpoint again."
            )


def _is_file_or_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() or entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


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


def settings(checkpoint: Checkpoint | None) -> Mapping[str, Any]:
    """What config.json says; nothing where there is none."""
    if checkpoint is None or checkpoint.folder is None:
        return {}
    return _read_json(Path(checkpoint.folder) / "config.json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(files.read(path, files.JSON_BYTES))
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}); copy the checkpoint again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object; copy the checkpoint again.")
    return content


NOT_A_HEADER = (orjson.JSONDecodeError, KeyError, TypeError, IndexError, AttributeError)
"""What reading a broken safetensors header fails with."""


def _header(file: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """The length of a safetensors file's header in bytes, and its tensors by name."""
    status = file.stat()
    return _read_header(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _read_header(file: Path, size: int, _written: int) -> tuple[int, dict[str, dict[str, Any]]]:
    with files.opened(file, size) as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size  # noqa: PLR2004 - the length's own length
        header = orjson.loads(opened.read(length) if length <= min(size - 8, HEADER_BYTES) else b"")
    header.pop("__metadata__", None)
    return length, header


def parameters(checkpoint: Checkpoint) -> int | None:
    """Counts the parameters in the headers of a checkpoint's safetensors files.

    Returns:
        None where there are no such files, or where quantised weights are packed.
    """
    if checkpoint.folder is None or settings(checkpoint).get("quantization_config"):
        return None
    return sum(math.prod(tensor["shape"]) for tensor in tensors(checkpoint).values()) or None


EMBEDDINGS = re.compile(
    r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|embeddings)\.weight$"
)
"""Names of the input embeddings, one row for each token id."""
OUTPUTS = re.compile(r"(?:^|\.)(?:lm_head|embed_out|output)\.\w+$")
"""Names of what turns hidden states into token scores, where it is not the input embeddings."""
LAYER = re.compile(r"\.(?:layers|h|blocks|block)\.(\d+)\.")
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Tensors that vLLM makes one of; where one of them is missing it says nothing."""
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
UNMERGED = re.compile(r"(?:^base_model\.model\.|\.base_layer\.|\.lora_[AB]\.)")
NO_WRITER = re.compile(
    r"For(?:SequenceClassification|TokenClassification|QuestionAnswering|MaskedLM|MultipleChoice|RewardModel)$|RewardModel$"
)
"""Architectures that write no text."""


def tensors(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    """The tensors in a checkpoint's safetensors headers; none where there are no such files or one cannot be read."""
    if checkpoint.folder is None:
        return {}
    try:
        headers = [_header(file)[1] for file in Path(checkpoint.folder).glob("*.safetensors")]
    except (OSError, *NOT_A_HEADER):  # the run's own check of the files says what is wrong
        return {}
    return {name: tensor for header in headers for name, tensor in header.items()}


def embedding_rows(checkpoint: Checkpoint) -> int | None:
    """How many token ids a model has embeddings for; None where the headers do not say."""
    rows = [tensor["shape"][0] for name, tensor in tensors(checkpoint).items() if EMBEDDINGS.search(name)]
    return max(rows, default=None)


def _ties_outputs(config: Mapping[str, Any]) -> bool:
    """Whether the input embeddings serve as outputs: by config.json, else by the architecture's default in transformers."""
    inner = config.get("text_config") or {}
    for place in (config, inner):
        if isinstance(place.get("tie_word_embeddings"), bool):
            return bool(place["tie_word_embeddings"])
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        return bool(getattr(CONFIG_MAPPING[config.get("model_type", "")](), "tie_word_embeddings", True))
    except (KeyError, TypeError, ValueError, ImportError):
        return True


def check_tensors(checkpoint: Checkpoint) -> None:
    """Refuses a checkpoint that lacks tensors, which engines fill with random numbers; reads safetensors headers only.

    Raises:
        ModelError: Lists what is missing.
    """
    names, config = list(tensors(checkpoint)), settings(checkpoint)
    architecture = next(iter(config.get("architectures") or ()), "")
    if NO_WRITER.search(str(architecture)):
        raise ModelError(
            f"{checkpoint.name} is a {architecture}, which writes no text; it cannot be evaluated."
        )
    if any(map(UNMERGED.search, names)):
        raise ModelError(
            f"The weights of {checkpoint.name} are those of a LoRA adapter within its base model; merge them (peft's "
            "merge_and_unload) and give the merged folder."
        )
    there = {int(found[1]) for name in names if (found := LAYER.search(name))}
    if not there:  # no such files, or names that are not known here
        return
    inner = config.get("text_config")
    missing = []
    if not any(map(EMBEDDINGS.search, names)):
        missing.append("the input embeddings")
    if not any(map(OUTPUTS.search, names)) and not _ties_outputs(config):
        missing.append("lm_head.weight (tie_word_embeddings is false)")
    stated = (inner or config).get("num_hidden_layers") or config.get("n_layer")
    if isinstance(stated, int):
        gaps = sorted(set(range(stated)) - there)
        missing += (
            [f"layer {gaps[0]}" if len(gaps) == 1 else f"{len(gaps)} layers, from {gaps[0]}"] if gaps else []
        )
        _refuse_more_layers(checkpoint.name, names, config, stated)
    if "num_kv_shared_layers" not in (inner or config):  # there, layers use the keys of others
        missing += _gaps(names)
    if missing:
        raise ModelError(weights_lack(checkpoint.name, missing))


def _refuse_more_layers(name: str, names: Sequence[str], config: Mapping[str, Any], stated: int) -> None:
    """Refuses weights with more text layers than config.json states: engines leave the rest out without a word."""
    if not isinstance(config.get("text_config"), Mapping):
        found = [int(match[1]) for n in names if (match := re.match(r"(?:model\.)?(?:layers|h)\.(\d+)\.", n))]
        more = config.get("num_nextn_predict_layers")
        if found and max(found) >= stated + (more if isinstance(more, int) else 0):
            raise ModelError(
                f"The weights of {name} have {max(found) + 1} layers, its config.json says {stated} (num_hidden_layers); "
                "one of the two is of another model."
            )


def _gaps(names: Sequence[str]) -> list[str]:
    """Tensors that some layers lack, of those that vLLM joins, where others have them."""
    have = set(names)
    missing = []
    for group in FUSED:
        ends = tuple(f".{part}.weight" for part in group)
        modules = {name.rpartition(".")[0].rpartition(".")[0] for name in names if name.endswith(ends)}
        for end in ends:
            without = [f"{module}{end}" for module in modules if f"{module}{end}" not in have]
            if len(without) < len(modules):
                missing += sorted(without)
    return missing


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


def _check_weights(file: Path) -> None:
    """Compares a safetensors file's length with what its header says (https://huggingface.co/docs/safetensors)."""
    if not file.is_file():
        raise ModelError(f"{file} is not a file; copy the checkpoint again.")
    size = file.stat().st_size
    if file.suffix != ".safetensors":
        complete = size > 0
    else:
        try:
            length, tensors = _header(file)
            ends = [tensor["data_offsets"][1] for tensor in tensors.values()]
            complete = size == 8 + length + max(ends, default=0)
        except OSError as error:
            raise ModelError(
                f"{file} cannot be read ({error.strerror}); copy the checkpoint again."
            ) from error
        except NOT_A_HEADER:
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
            files.cache_trouble(error)
            or f"The hub cannot be reached (no network, or HF_HUB_OFFLINE is set) and {hub_id}{at} is not in the local cache; "
            "give a local copy with model.path=FOLDER, or use model=smollm2, which needs no download."
        ) from error
    with suppress(errors.EntryNotFoundError, errors.HfHubHTTPError, OSError):  # a model need not have one
        hf_hub_download(hub_id, "generation_config.json", revision=revision)
    snapshot = Path(config).parent.name
    return Checkpoint(hub_id, revision or snapshot, local=False, folder=str(Path(config).parent))
