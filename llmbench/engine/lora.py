"""A LoRA adapter of PEFT's (`model.lora`): a folder with small weights that are added to those of a base model while it runs."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmbench.config.schema import ModelConfig
from llmbench.engine import fingerprint
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.checkpoint_files import ADAPTER, NOT_A_HEADER, header, read_json
from llmbench.engine.checkpoint_settings import name_of
from llmbench.engine.checkpoint_tensors import LAYER, tensors
from llmbench.errors import ModelError
from llmbench.system import files

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Before each tensor's name, where PEFT wrote it."""
SIDES = {"A.weight": 1, "B.weight": 0}
"""The two matrices of a module, rank x inputs and outputs x rank, and which of their sizes is the module's own."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in a folder (absolute), after which it is named; `base` is the model that it was trained for, as PEFT wrote it down."""

    path: str
    name: str
    rank: int
    base: str | None

    @property
    def files(self) -> tuple[Path, Path]:
        """Its settings and its weights."""
        return Path(self.path) / ADAPTER, Path(self.path) / WEIGHTS

    def content(self) -> str:
        """The SHA-256 of its two files' fingerprints, in hex."""
        digests = "".join(fingerprint.of_path(file)[0] for file in self.files)
        return hashlib.sha256(digests.encode()).hexdigest()

    def row(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return asdict(self) | {"content": self.content()}


def read(model: ModelConfig) -> Adapter | None:
    """Reads what the folder of `model.lora` says of itself; None where none is set.

    Raises:
        ModelError: It is not an adapter.
    """
    if model.lora is None:
        return None
    folder = files.expanded(model.lora, ModelError, "model.lora").absolute()
    missing = [name for name in (ADAPTER, WEIGHTS) if not (folder / name).is_file()]
    config = {} if missing else read_json(folder / ADAPTER)
    kind, rank = config.get("peft_type"), config.get("r")
    if kind != "LORA" or not isinstance(rank, int) or rank < 1:
        reason = (
            f"it lacks {' and '.join(missing)}" if missing else f"peft_type {kind}, r {rank} in its {ADAPTER}"
        )
        raise ModelError(
            f"model.lora={folder} is not a LoRA adapter ({reason}); give the folder that peft's save_pretrained wrote for a LoRA of rank 1 "
            "or more."
        )
    base = config.get("base_model_name_or_path")
    return Adapter(str(folder), name_of(str(folder), None), rank, str(base) if base else None)


def content_of(model: ModelConfig) -> str | None:
    """What tells the adapter of `model.lora` from others; None without one."""
    adapter = read(model)
    return adapter.content() if adapter is not None else None


def label(name: str, adapter: str) -> str:
    """What a model with an adapter is called in results: `smollm2 + my-adapter`."""
    added = f" + {adapter}"
    return name if name.endswith(added) else f"{name}{added}"


def other_base(model: ModelConfig) -> list[str]:
    """A sentence where an adapter was trained for another model than this one of the hub."""
    adapter = read(model)
    if adapter is None or adapter.base is None or model.path is not None or model.hub_id is None:
        return []
    if adapter.base.lower() == model.hub_id.lower():
        return []
    return [
        f"The adapter {adapter.name} was trained for {adapter.base}, and the model here is {model.hub_id}."
    ]


def check_shapes(model: ModelConfig, checkpoint: Checkpoint) -> None:
    """Refuses an adapter whose matrices do not fit the checkpoint's, by the headers of both; of packed weights nothing is known.

    Raises:
        ModelError: Names the first that does not fit.
    """
    adapter = read(model)
    if adapter is None:
        return
    weights = adapter.files[1]
    try:
        found = {name: list(tensor["shape"]) for name, tensor in header(weights)[1].items()}
    except (OSError, *NOT_A_HEADER) as error:
        raise ModelError(
            f"{weights} is not a safetensors file, or a broken one; copy the adapter again."
        ) from error
    whole = {name.removesuffix(".weight"): tensor["shape"] for name, tensor in tensors(checkpoint).items()}
    if settings(checkpoint).get("quantization_config"):
        whole = {}
    layers, kinds = max(map(_layer, whole), default=-1), {name.rpartition(".")[2] for name in whole}
    for name, shape in found.items() if whole else ():
        module, _, side = name.removeprefix(PREFIX).partition(".lora_")
        if side not in SIDES:
            continue
        reason = None
        if module in whole and shape[SIDES[side]] not in whole[module]:
            reason = f"{name} has the shape {shape}, and the weight that it is added to {whole[module]}"
        elif _layer(module) > layers or module.rpartition(".")[2] not in kinds:
            reason = f"the model has no weight that {name} could be added to"
        if reason is not None:
            raise ModelError(
                f"The adapter {adapter.name} does not fit {model.name}: {reason}; it was trained for {adapter.base or 'another model'}."
            )


def _layer(name: str) -> int:
    """The number of the layer that a tensor is of; -1 for none."""
    found = LAYER.search(name)
    return int(found[1]) if found else -1
