"""Weights as vLLM's bitsandbytes loader quantises them: written to a folder while it loads, and the digest of what it loaded.

`BitsAndBytesModelLoader._unquantized_generator` gives a model's own `load_weights` the tensors one by one, those of linear layers in 4 bits,
and puts the blocks' scales into a dictionary beside them; `_quantized_4bit_generator` gives the same tensors from a checkpoint that holds
them so (bitsandbytes_loader.py, see `loader_module`, since 0.26). What the first gives is therefore written as it comes, under the
checkpoint's own names. Scales are written as float32, not quantised once more: the loader turns them into that anyway, and bitsandbytes reads
the offset of scales that are quantised once more in the model's data type, which rounds it.
"""

import hashlib
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmbench.engine.vllm.versions import PLUGIN

WRITE_TO = "LLMBENCH_WRITE_WEIGHTS"
"""Set in the environment: the folder that weights are written to while an engine loads them."""
DIGEST = "LLMBENCH_WEIGHTS_DIGEST"
"""Set in the environment where the digest of the loaded weights is wanted."""
SHARD_BYTES = 2 << 30
"""A file of weights has about so much; all of it is held in memory until it is written."""


class _Shards:
    """Files of safetensors, written one after another."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number, self._bytes = folder, 0, 0
        self._tensors: dict[str, Any] = {}

    def add(self, name: str, tensor: Any) -> None:  # noqa: ANN401 - torch's
        """Adds a tensor, copied to the CPU's memory."""
        self._tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()
        self._bytes += tensor.nbytes
        if self._bytes >= SHARD_BYTES:
            self.write()

    def write(self) -> None:
        """Writes what was added since the last file."""
        from safetensors.torch import save_file

        if self._tensors:
            self._number += 1
            save_file(
                self._tensors,
                self._folder / f"weights-{self._number:05d}.safetensors",
                metadata={"format": "pt"},
            )
        self._tensors, self._bytes = {}, 0


def loader_module() -> Any:  # noqa: ANN401 - a module
    """The module with `BitsAndBytesModelLoader`: vllm/model_executor/model_loader/bitsandbytes_loader.py (since 0.26), from 0.28 on in the plugin."""
    try:
        return importlib.import_module("vllm.model_executor.model_loader.bitsandbytes_loader")
    except ModuleNotFoundError:
        return importlib.import_module(f"{PLUGIN}.bitsandbytes_loader")


@contextmanager
def written() -> Iterator[None]:
    """Inside, the weights that the loader quantises are written to the folder that `WRITE_TO` names; nothing happens without it."""
    folder = os.environ.get(WRITE_TO)
    if folder is None:
        yield
        return
    loader = loader_module().BitsAndBytesModelLoader
    original = loader._unquantized_generator  # noqa: SLF001 - what this module is for
    shards = _Shards(Path(folder))

    def writing(self: Any, files: Any, use_safetensors: Any, states: dict[str, Any]) -> Iterator[Any]:  # noqa: ANN401 - vLLM's
        before: set[str] = set()
        for name, tensor in original(self, files, use_safetensors, states):
            shards.add(name, tensor)
            for key in states.keys() - before:  # one for a tensor that was quantised
                before.add(key)
                state = self._dequantize_dq(states[key])  # its scales as the loader leaves them at the end
                for part, value in state.as_dict(packed=True).items():
                    shards.add(f"{name}.{part}", value)
            yield name, tensor
        shards.write()

    loader._unquantized_generator = writing  # noqa: SLF001
    try:
        yield
    finally:
        loader._unquantized_generator = original  # noqa: SLF001


def digest_if_asked(runner: Any) -> str | None:  # noqa: ANN401 - vLLM's model runner
    """The SHA-256 of all that a runner's model computes with, where `DIGEST` asks for it: parameters, buffers, and the blocks' scales."""
    if not os.environ.get(DIGEST):
        return None
    found = hashlib.sha256()
    model = runner.model
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        _add(found.update, name, tensor)
        states = getattr(tensor, "bnb_quant_state", None)
        for shard, state in states.items() if isinstance(states, dict) else [(0, states)]:
            if state is not None:
                _add(found.update, f"{name} {shard} scales", state.absmax)
                _add(found.update, f"{name} {shard} code", state.code)
                facts = (
                    state.quant_type,
                    state.blocksize,
                    tuple(state.shape),
                    str(state.dtype),
                    state.nested,
                )
                found.update(repr(facts).encode())
        offsets = getattr(tensor, "bnb_shard_offsets", None)
        if offsets is not None:
            _add(found.update, f"{name} offsets", offsets)
    return found.hexdigest()


def _add(update: Callable[[Any], None], name: str, tensor: Any) -> None:  # noqa: ANN401 - torch's
    import torch

    data = tensor.detach()
    update(f"{name}\0{data.dtype}\0{tuple(data.shape)}\0".encode())
    update(data.cpu().contiguous().flatten().view(torch.uint8).numpy())
