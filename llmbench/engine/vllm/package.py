"""vLLM as a package: the environment that it is imported in, the import, and what it leaves in this process."""

import gc
import importlib
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from llmbench.config.choices import Device, Startup
from llmbench.config.schema import Config
from llmbench.engine import prefetch
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.vllm.checks import DEFAULT_BATCH
from llmbench.engine.vllm.determinism import ProcessMode
from llmbench.engine.vllm.errors import explain_import
from llmbench.engine.vllm.internals import process_state
from llmbench.errors import EngineError
from llmbench.system.processes import environment


def variables(config: Config, device: Device, *, multiprocess: bool) -> dict[str, str]:
    """What vLLM and torch are to find in the environment."""
    wanted = {
        **process_state.environment_variables(multiprocess=multiprocess, log_level=config.log_level),
        "TOKENIZERS_PARALLELISM": os.environ.get("TOKENIZERS_PARALLELISM", "false"),
    }
    if device is Device.cpu and config.engine.startup in (Startup.auto, Startup.eager):
        wanted["TORCHDYNAMO_DISABLE"] = "1"  # otherwise the first log probabilities compile for 15 s
    if config.engine.deterministic:
        wanted |= process_state.DETERMINISTIC
    return wanted


def socket_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder for vLLM's sockets, whose names may only be so long."""
    short = len(os.fsencode(tempfile.gettempdir())) <= process_state.LONGEST_TEMPORARY
    return tempfile.TemporaryDirectory(prefix="llmbench-", dir=None if short else "/tmp")  # noqa: S108


class Package:
    """The imported package.

    Attributes:
        vllm: The module, None before `load`.
        in_process: Whether it computes in this process.
        default_batch: vLLM's own bound on running requests, known after `load`.
    """

    def __init__(self, config: Config, device: Device) -> None:
        """Imports nothing yet."""
        engine = config.engine
        self._config, self._device = config, device
        self._surroundings = ExitStack()  # environment and sockets, until `restore`
        self.in_process = engine.gpus_each == 1 and not engine.multiprocess
        self.vllm: Any = None
        self.default_batch = DEFAULT_BATCH

    def load(self, checkpoint: Checkpoint) -> None:
        """Imports it, while the kernel reads the weights. Garbage collection stays off.

        Raises:
            EngineError: It cannot be imported, or was imported in another way (`ProcessMode`).
        """
        if checkpoint.local:
            prefetch.read_weights(Path(checkpoint.name))
        ProcessMode.enter(deterministic=self._config.engine.deterministic)
        self._set_environment()
        gc.disable()  # importing and loading make millions of objects that stay; `VllmEngine.load` turns it on again
        model = settings(checkpoint)
        try:
            with prefetch.text_only(model, self._config.engine.args):
                for name in ("torch", "transformers", "transformers.models.auto.tokenization_auto"):
                    importlib.import_module(name)
                self.vllm = importlib.import_module("vllm")
                importlib.import_module("vllm.sampling_params")
                _ = self.vllm.LLM  # vllm imports the larger part of itself only now
                process_state.repair_kernel_search()
                if self.in_process:
                    names = model.get("architectures")
                    process_state.register_models(self.vllm, names if isinstance(names, list) else ())
        except (ImportError, RuntimeError, AttributeError) as error:
            gc.enable()
            raise EngineError(explain_import(error)) from error
        each = self._config.engine.gpus_each
        self.default_batch = process_state.default_max_num_seqs(each, otherwise=DEFAULT_BATCH)

    def _set_environment(self) -> None:
        """Sets what vLLM and torch read from the environment."""
        wanted = variables(self._config, self._device, multiprocess=self._config.engine.multiprocess)
        if not self.in_process and process_state.SOCKET_FOLDER not in os.environ:
            wanted[process_state.SOCKET_FOLDER] = self._surroundings.enter_context(socket_folder())
        self._surroundings.enter_context(environment(wanted))

    def restore(self) -> None:
        """Frees the memory of an engine that is gone, and puts the environment back."""
        gc.enable()
        if self.in_process and "vllm" in sys.modules:  # else it was never imported
            process_state.clean_up_distributed()  # collects garbage, which takes half a second
            process_state.forget_graph_pool()
        else:
            gc.unfreeze()
            gc.collect()
        self._surroundings.close()
