"""How much memory vLLM's KV cache had at an earlier start of the same kind, so that the next one need not measure it.

vLLM measures at each start what weights and the largest batch take, and gives the KV cache the rest of its share. On the same GPU, with the
same settings and versions, that comes to the same size, and with `kv_cache_memory_bytes` vLLM leaves out most of the measuring. A size is used
only where at least as much memory is free as before. Should memory run out all the same, the size is forgotten, and the engine is loaded as if
there had been none (`run.oom_recovery`). The sizes are in the cache folder, in `kv_cache`, a small file each, shared by all runs of a user.
"""

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import orjson

from llmbench.config.schema import Config
from llmbench.engine.bundled_model import cache_folder
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.checkpoint_files import weights_bytes
from llmbench.errors import EngineError, OutOfMemoryError
from llmbench.system import decoding, files, hardware

log = logging.getLogger(__name__)

FOLDER = "kv_cache"
SETTING = "kv_cache_memory_bytes"
MOST_AGE_S = 7 * 86400
"""A size is measured anew after a week: what another process took while vLLM measured is missing from it."""
MARGIN_BYTES = 64 << 20
"""So much less may be free than before: other processes' contexts come and go. vLLM leaves a twentieth of the GPU free."""
PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
"""Arguments that give an engine several GPUs; `engine.args` may have them too."""
BESIDE = ("model", "revision", "seed", "use_tqdm_on_load", "worker_cls")
"""Arguments that do not decide the size; of the model its config.json and the size of its files do."""
PACKAGES = ("vllm", "torch", "transformers", "bitsandbytes", "flashinfer-python")
NOT_TO_BLAME = ("free", "weights")
"""Shortages of memory that come before there is a KV cache."""


@dataclass(frozen=True, slots=True)
class KvMemory:
    """The size for one start.

    Attributes:
        file: Where it is remembered; None where none is: without a GPU, over several GPUs, with a size of the user's own, or switched off.
        free_bytes: Free on the GPU before loading.
        remembered: The size that this start is given, in bytes; None where vLLM measures.
    """

    file: Path | None = None
    free_bytes: int = 0
    remembered: int | None = None

    @classmethod
    def of(
        cls, config: Config, checkpoint: Checkpoint, arguments: Mapping[str, Any], free_bytes: int | None
    ) -> Self:
        """The size for a start with these arguments of `LLM`."""
        gpu = next(iter(hardware.gpus()), None)
        single = config.engine.gpus_each == 1 and all(arguments.get(name, 1) == 1 for name in PARALLEL)
        if not config.engine.remember_kv_cache or SETTING in arguments or not single:
            return cls()
        if gpu is None or free_bytes is None:
            return cls()
        parts = {
            "gpu": [gpu.name, gpu.total_bytes, gpu.driver],
            "versions": {name: hardware.distribution(name) for name in PACKAGES},
            "model": settings(checkpoint),
            "weights_bytes": weights_bytes(Path(checkpoint.folder)) if checkpoint.folder else 0,
            "arguments": {name: value for name, value in arguments.items() if name not in BESIDE},
        }
        key = hashlib.sha256(orjson.dumps(parts, option=decoding.CANONICAL, default=repr)).hexdigest()
        try:
            file = cache_folder() / FOLDER / f"{key[:32]}.json"
        except RuntimeError:  # there is no home folder
            return cls()
        return cls(file, free_bytes, _read(file, free_bytes))

    @property
    def arguments(self) -> dict[str, int]:
        """What `LLM` gets of it."""
        return {} if self.remembered is None else {SETTING: self.remembered}

    def learn(self, measured: object) -> None:
        """Remembers a size that vLLM measured; one that cannot be written costs the next start a second, nothing else."""
        if self.file is None or self.remembered is not None:
            return
        if not isinstance(measured, int) or measured <= 0:
            return
        known = {"kv_cache_bytes": measured, "free_bytes": self.free_bytes}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            files.replace(self.file, (orjson.dumps(known),), shared=True)
        except OSError as error:
            log.debug("the size of the KV cache cannot be remembered: %s", error)

    def blamed(self, error: EngineError) -> EngineError:
        """Forgets the size where an engine with it ran out of memory; returns the error, which says so."""
        if self.file is None or not isinstance(error, OutOfMemoryError):
            return error
        if error.shortage.cause in NOT_TO_BLAME:
            return error
        try:
            self.file.unlink(missing_ok=True)
        except OSError as failure:
            log.debug("the size of the KV cache cannot be forgotten: %s", failure)
        if self.remembered is None:
            return error
        return OutOfMemoryError(str(error), replace(error.shortage, remembered=True))


def _read(file: Path, free_bytes: int) -> int | None:
    """The remembered size; None where there is none, it is old or of a time to come, or less memory is free than there was."""
    if not 0 <= time.time() - files.written_at(file) <= MOST_AGE_S:
        return None
    known = files.json_object(file)
    size, free = known.get("kv_cache_bytes"), known.get("free_bytes")
    if type(size) is not int or type(free) is not int or not 0 < size <= free:
        return None
    return size if free_bytes >= free - MARGIN_BYTES else None
