"""The factory of engines: checkpoint, tokenizer and engine of a configuration. A new engine is added here."""

from llmbench.config.schema import Config
from llmbench.engine.base import ModelEngine
from llmbench.engine.checkpoint import Checkpoint, locate
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.errors import ConfigError
from llmbench.system.text import suggest

ENGINES = ("vllm", "transformers", "fake")


def find_checkpoint(config: Config, *, to_run: bool = True) -> Checkpoint | None:
    """The checkpoint, before anything heavy is imported; None where the engine needs none.

    Args:
        config: The settings.
        to_run: Whether the model is going to be run here; otherwise the machine is not checked.

    Raises:
        ConfigError: There is no such engine.
        ModelError: The checkpoint cannot be used.
        EngineError: This machine cannot run the engine.
    """
    name = config.engine.name
    if name not in ENGINES:
        raise ConfigError(f"There is no engine called {name!r}{suggest(name, ENGINES)}")
    if name == "fake":
        return None
    if to_run and name == "transformers":
        from llmbench.engine.transformers import check_machine as check_for_transformers

        check_for_transformers(config)
    elif to_run:
        from llmbench.engine.vllm.checks import check_machine

        check_machine(config)
    return locate(config.model)


def load_tokenizer(config: Config, checkpoint: Checkpoint | None) -> Tokenizer:
    """The model's tokenizer, or the fake engine's.

    Raises:
        ModelError: The checkpoint has no usable tokenizer.
    """
    if checkpoint is None:
        from llmbench.engine.fake import WordTokenizer

        return WordTokenizer()
    return HubTokenizer(checkpoint, trust_remote_code=config.model.trust_remote_code)


def open_engine(config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
    """The chosen engine, not yet prepared."""
    if config.engine.name == "fake":
        from llmbench.engine.fake import FakeEngine

        return FakeEngine.from_config(config)
    if config.engine.name == "transformers":
        from llmbench.engine.transformers import TransformersEngine

        return TransformersEngine(config, checkpoint)
    from llmbench.engine.vllm.engine import VllmEngine

    return VllmEngine(config, checkpoint)
