"""The factory of engines: checkpoint, tokenizer and engine of a configuration. A new engine is added here."""

from collections.abc import Callable
from dataclasses import replace

from llmbench.config.schema import Config
from llmbench.engine import checkpoint_settings, lora, template_file
from llmbench.engine.base import ModelEngine
from llmbench.engine.checkpoint import Checkpoint, locate
from llmbench.engine.messages import NoTokenizer, is_chat
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.errors import ConfigError
from llmbench.system.text import suggest
from llmbench.telemetry.engine_report import ServerIdentity

ENGINES = ("vllm", "transformers", "endpoint", "fake")


def find_checkpoint(config: Config, *, to_run: bool = True) -> Checkpoint | None:
    """The checkpoint, before anything heavy is imported; None where the engine needs none. Without `to_run` the machine is not checked.

    Raises:
        ConfigError: There is no such engine.
        ModelError: The checkpoint cannot be used.
        EngineError: This machine cannot run the engine.
    """
    name = config.engine.name
    if name not in ENGINES:
        raise ConfigError(f"There is no engine called {name!r}{suggest(name, ENGINES)}")
    if name == "fake" or (name == "endpoint" and is_chat(config.engine)):
        return None
    if name == "endpoint":
        return locate(config.model)
    if to_run and name == "transformers":
        from llmbench.engine.transformers import check_machine as check_for_transformers

        check_for_transformers(config)
    elif to_run:
        from llmbench.engine.vllm import adapters
        from llmbench.engine.vllm.checks import check_machine

        check_machine(config)
        adapters.check(config.model)
    checkpoint = locate(config.model)
    lora.check_shapes(config.model, checkpoint)
    if name == "vllm":
        from llmbench.engine.vllm.determinism import check_checkpoint

        check_checkpoint(config, checkpoint)
    return checkpoint


def complete(
    config: Config,
    find: Callable[[Config], Checkpoint | None] = find_checkpoint,
    server: ServerIdentity | None = None,
) -> tuple[Config, list[str]]:
    """Returns the settings with what the checkpoint's files or the server say, and sentences about what that changed.

    A `server` that a finished run knows is not asked.

    Raises:
        ConfigError: The settings contradict the checkpoint, or ask for what the server cannot do; a chat template cannot be used.
        ModelError: A LoRA adapter cannot be used.
        EngineError: The server does not answer.
    """
    said: list[str] = []
    config = _with_files(config)
    if config.engine.name == "endpoint":
        from llmbench.engine.endpoint import settings

        config, said = settings.complete(config, server)
    config, more = checkpoint_settings.complete(config, find)
    return config, said + more


def _with_files(config: Config) -> Config:
    """The settings with the files beside the checkpoint by their absolute paths, and with a name that tells of an adapter."""
    template, adapter, model = template_file.read(config.model), lora.read(config.model), config.model
    if template is not None:
        model = replace(model, chat_template=template.path)
    if adapter is not None:
        model = replace(model, lora=adapter.path, name=lora.label(model.name, adapter.name))
    return replace(config, model=model)


def load_tokenizer(config: Config, checkpoint: Checkpoint | None) -> Tokenizer:
    """The model's tokenizer, the fake engine's, or what stands for one where a server has it.

    Raises:
        ModelError: The checkpoint has no usable tokenizer.
        ConfigError: The chat template in a file cannot be used.
    """
    if checkpoint is None and config.engine.name == "endpoint":
        return NoTokenizer()
    if checkpoint is None:
        from llmbench.engine.fake import Misbehaviour, WordTokenizer

        return WordTokenizer(Misbehaviour.from_config(config).thinks)
    template = template_file.read(config.model)
    return HubTokenizer(checkpoint, trust_remote_code=config.model.trust_remote_code, template=template)


def open_engine(config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
    """The chosen engine, not yet prepared."""
    if config.engine.name == "fake":
        from llmbench.engine.fake import FakeEngine, Misbehaviour

        return FakeEngine(misbehaviour=Misbehaviour.from_config(config))
    if config.engine.name == "transformers":
        from llmbench.engine.transformers import TransformersEngine

        return TransformersEngine(config, checkpoint)
    if config.engine.name == "endpoint":
        from llmbench.engine.endpoint import EndpointEngine

        return EndpointEngine(config)
    from llmbench.engine.vllm.engine import VllmEngine

    return VllmEngine(config, checkpoint)
