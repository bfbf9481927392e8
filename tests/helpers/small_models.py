"""Checkpoints made from the embedded model: its first layers alone, which write nonsense three times as fast, and one that ends thinking."""

import json
import shutil
from pathlib import Path


def first_layers(smollm2: Path, folder: Path, layers: int = 4) -> Path:
    """A copy of the embedded checkpoint with its first layers alone."""
    from safetensors.torch import load_file, save_file  # it imports torch, which takes seconds

    shutil.copytree(smollm2, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": layers}))
    dropped = tuple(f"model.layers.{number}." for number in range(layers, 30))
    tensors = {}
    for file in smollm2.glob("*.safetensors"):
        tensors.update(
            {name: value for name, value in load_file(file).items() if not name.startswith(dropped)}
        )
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def with_thinking_token(smollm2: Path, folder: Path, word: str = "the") -> Path:
    """The embedded checkpoint, which writes a special token "</think>" in the place of a frequent word."""
    shutil.copytree(smollm2, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    for weights in smollm2.glob("*.safetensors"):
        (folder / weights.name).symlink_to(weights)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    piece = f"Ġ{word}"
    number = vocabulary["</think>"] = vocabulary.pop(piece)
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    content["model"]["merges"] = [pair for pair in pairs if piece not in (*pair, "".join(pair))]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    content["added_tokens"].append({"id": number, "content": "</think>", "special": True, **flags})
    path.write_text(json.dumps(content))
    return folder
