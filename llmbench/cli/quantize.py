"""`python -m llmbench.cache quantize model=NAME`: keeps a model's weights as vLLM quantises them, for later starts."""

from collections.abc import Sequence

from llmbench.cli.compose import compose
from llmbench.engine.factory import complete, find_checkpoint
from llmbench.engine.vllm import weights_copy
from llmbench.engine.vllm.quantizing import make_copy, no_copy
from llmbench.errors import ConfigError, EngineError
from llmbench.system.console import Terminal
from llmbench.system.log_capture import captured
from llmbench.system.number_format import memory
from llmbench.system.signals import as_interrupts

LOG = "quantize.log"


def quantize(typed: Sequence[str]) -> None:
    """Makes the copy of the model that settings of a run name, or says that it is there.

    Raises:
        ConfigError: The settings ask for nothing that a copy could stand for.
        ModelError: The checkpoint cannot be used.
        EngineError: The copy cannot be made.
    """
    if any(word.startswith("engine=") and word != "engine=vllm" for word in typed):
        raise ConfigError("Only engine=vllm starts from a copy of quantised weights; leave engine= out.")
    config, notices = complete(compose(typed))
    if not weights_copy.possible(config):  # before a checkpoint is fetched or converted
        raise no_copy(config.model.name)
    checkpoint = find_checkpoint(config)
    if checkpoint is None:
        raise RuntimeError("vLLM needs a checkpoint")
    folder = weights_copy.copies_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"The cache folder {folder} cannot be written ({error.strerror}); set LLMBENCH_CACHE to another."
        ) from error
    with as_interrupts(), captured(folder / LOG, config.log_level) as (out, err):
        terminal = Terminal(out, err)
        for sentence in notices:
            terminal.notice(sentence)
        made = make_copy(config, checkpoint, terminal.notice)
        terminal.say(
            f"{made.folder}: {memory(made.size)}, loaded from now on where {made.source} would be quantised with these settings and versions."
        )
