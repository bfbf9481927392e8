"""The tensors of a checkpoint, by the headers of its safetensors files: how many parameters, and whether any is missing."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmbench.engine.checkpoint import Checkpoint, settings, weights_lack
from llmbench.engine.checkpoint_files import NOT_A_HEADER, header
from llmbench.errors import ModelError


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
        headers = [header(file)[1] for file in Path(checkpoint.folder).glob("*.safetensors")]
    except (OSError, *NOT_A_HEADER):  # the run's own check of the files says what is wrong
        return {}
    return {name: tensor for each in headers for name, tensor in each.items()}


def embedding_rows(checkpoint: Checkpoint) -> int | None:
    """How many token ids a model has embeddings for; None where the headers do not say."""
    rows = [tensor["shape"][0] for name, tensor in tensors(checkpoint).items() if EMBEDDINGS.search(name)]
    return max(rows, default=None)


def _ties_outputs(config: Mapping[str, Any]) -> bool:
    """Whether the input embeddings serve as outputs: by config.json, else by the architecture's default in transformers."""
    for place in (config, config.get("text_config") or {}):
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
    inner = config.get("text_config") or config
    stated = inner.get("num_hidden_layers") or config.get("n_layer")
    stated = stated if isinstance(stated, int) else 0
    unfit = _unfit(names, config, stated)
    if unfit is not None:
        raise ModelError(f"{checkpoint.name} cannot be evaluated: {unfit}; give another checkpoint.")
    there = {int(found[1]) for name in names if (found := LAYER.search(name))}
    if not there:  # no such files, or names that are not known here
        return
    missing = [f"layer {layer}" for layer in range(stated) if layer not in there]
    if not any(map(EMBEDDINGS.search, names)):
        missing.append("the input embeddings")
    if not any(map(OUTPUTS.search, names)) and not _ties_outputs(config):
        missing.append("lm_head.weight (tie_word_embeddings is false)")
    if "num_kv_shared_layers" not in inner:  # there, layers use the keys of others
        missing += _gaps(names)
    if missing:
        raise ModelError(weights_lack(checkpoint.name, missing))


def _unfit(names: Sequence[str], config: Mapping[str, Any], stated: int) -> str | None:
    """Why weights of these names are no model that writes text, or not the one of its config.json: engines leave out more layers silently."""
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    if NO_WRITER.search(architecture):
        return f"it is a {architecture}, which writes no text"
    if any(map(UNMERGED.search, names)):
        return "its weights are those of a LoRA adapter within its base model; merge them with peft's merge_and_unload"
    found = [int(match[1]) for n in names if (match := re.match(r"(?:model\.)?(?:layers|h)\.(\d+)\.", n))]
    more = config.get("num_nextn_predict_layers")
    most = stated + (more if isinstance(more, int) else 0)
    if stated and not isinstance(config.get("text_config"), Mapping) and max(found, default=-1) >= most:
        return f"its weights have {max(found) + 1} layers, its config.json says {stated} (num_hidden_layers)"
    return None


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
