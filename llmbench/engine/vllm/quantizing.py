"""Makes a copy of a checkpoint with its weights quantised (`weights_copy`): written while one engine loads, compared with what another loads."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from llmbench.config.choices import Startup
from llmbench.config.schema import Config
from llmbench.engine.base import Notice
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.checkpoint_files import weights_bytes
from llmbench.engine.memory import weights_on_gpu
from llmbench.engine.vllm import weights_copy
from llmbench.engine.vllm.checks import pick_device
from llmbench.engine.vllm.engine import VllmEngine
from llmbench.engine.vllm.internals.quantized_weights import DIGEST, WRITE_TO
from llmbench.engine.vllm.weights_copy import Copy
from llmbench.engine.workload import Workload
from llmbench.errors import ConfigError, EngineError, ModelError
from llmbench.system.processes import environment

log = logging.getLogger(__name__)

WORK = Workload(requests=1, longest=16, output_tokens=16, batch_size=1, greedy=True)


def make_copy(config: Config, checkpoint: Checkpoint, notice: Notice) -> Copy:
    """The copy of a checkpoint; made now where there is none, by loading the model twice.

    Raises:
        ConfigError: A copy cannot stand for what these settings load, or is too much beside the others.
        ModelError: The weights have no fingerprint.
        EngineError: The model cannot be loaded, the copy not written, or a start from it would hold other weights.
    """
    if not weights_copy.fits(config, checkpoint):
        raise no_copy(checkpoint.name)
    folder = weights_copy.place(config, checkpoint, pick_device(config))
    if folder is None or checkpoint.folder is None:
        raise ModelError(
            f"{checkpoint.name} has no fingerprint, so a later start could not tell whether a copy is of its weights; use a local folder "
            "with model.path."
        )
    found = Copy.read(folder)
    if found is not None and found.whole:
        return found
    try:
        with weights_copy.being_made(folder) as beside:
            made = _made(config, checkpoint, beside, notice)
            if weights_copy.place(config, checkpoint, pick_device(config)) != folder:
                raise EngineError(
                    f"{checkpoint.name} changed while it was quantised, so no copy is kept; try again when it is as it should be."
                )
    except OSError as error:
        raise EngineError(
            f"A copy cannot be written to {folder.parent} ({error.strerror or error}); set LLMBENCH_CACHE to another folder."
        ) from error
    return replace(made, folder=folder)


def no_copy(name: str) -> ConfigError:
    """Says that a copy cannot stand for what these settings load."""
    return ConfigError(
        f"No copy is made of {name} with these settings: only weights that vLLM quantises at load on one GPU have one; set "
        "model.quantization=bitsandbytes, and leave out model.lora, model.trust_remote_code, engine.speculative and engine.args."
    )


def _made(config: Config, checkpoint: Checkpoint, folder: Path, notice: Notice) -> Copy:
    source, most_bytes = Path(checkpoint.folder or ""), config.engine.weights_copies_max_bytes
    # as far as its size is foreseen: it takes so much or more
    needed = weights_on_gpu(weights_bytes(source), weights_copy.QUANTIZATION) or 0
    weights_copy.check_limit(checkpoint.name, needed, most_bytes)
    notice(f"Quantising the weights of {checkpoint.name} …")
    wanted = _digest(config, checkpoint, {WRITE_TO: str(folder), DIGEST: "1"})
    weights_copy.check_limit(checkpoint.name, weights_bytes(folder), most_bytes)
    weights_copy.write_settings(dict(settings(checkpoint)), source, folder)
    notice("Comparing them with what a start from the copy loads …")
    found = _digest(config, weights_copy.as_checkpoint(folder), {DIGEST: "1"})
    if wanted is None or found != wanted:
        raise EngineError(
            f"A start from a copy of {checkpoint.name} would hold other weights than one that quantises them, so no copy is kept; "
            "this model is quantised at each start."
        )
    return weights_copy.finish(folder, checkpoint, wanted)


def _digest(config: Config, checkpoint: Checkpoint, variables: Mapping[str, str]) -> str | None:
    """Loads a checkpoint once, as it is and in this process, and returns the digest of its weights as the engine holds them."""
    plain = replace(
        config.engine,
        startup=Startup.eager,
        multiprocess=False,
        weights_copy=False,
        remember_kv_cache=False,
    )
    engine = VllmEngine(replace(config, engine=plain), checkpoint)
    engine.prepare()
    with environment(dict(variables)):
        engine.load(WORK, log.info)
    digest = engine.weights_digest
    engine.close()
    return digest
