"""What a server decides of a run's settings, before the run begins."""

from dataclasses import replace

from llmbench.config.choices import EarlyStopping
from llmbench.config.endpoint import validate_endpoint
from llmbench.config.engine import EngineConfig
from llmbench.config.schema import Config, drawing
from llmbench.engine.endpoint.local_servers import with_address
from llmbench.engine.endpoint.server import Server, remembered
from llmbench.engine.messages import is_chat
from llmbench.errors import ConfigError
from llmbench.system.number_format import listed
from llmbench.telemetry.engine_report import ServerIdentity

STOPS = 4
"""Stop strings that OpenAI's API takes."""
NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Sampling that OpenAI's API does not know, and the values that change nothing."""


def served_name(engine: EngineConfig) -> str:
    """Returns the name of the model that a server serves; asks the server where the settings do not say it.

    Raises:
        ConfigError, EngineError: As `server.look`.
    """
    if engine.name != "endpoint":
        raise ConfigError("model=served needs engine=endpoint, which asks a server; choose a model.")
    validate_endpoint(engine)  # before the server is asked
    return engine.served_model or remembered(with_address(engine)).model


def complete(config: Config, known: ServerIdentity | None = None) -> tuple[Config, list[str]]:
    """Returns the settings with what the server decides, and sentences about what that changed; one that is known is not asked.

    Raises:
        ConfigError: The server cannot do what is asked.
        EngineError: It does not answer.
    """
    if known is None:
        config = replace(config, engine=with_address(config.engine, config.model))
    server, said = remembered(config.engine) if known is None else Server.of(known), list[str]()
    chat = is_chat(config.engine)
    _check(config, chat=chat)
    if server.max_length is not None and "max_length" in config.model.from_checkpoint:
        config = replace(config, model=replace(config.model, max_length=server.max_length))
    if server.vllm:
        return config, said
    _check_stops(config)
    if config.cache:
        said.append(
            f"{server.address.url} is not vLLM: the response cache gives back what an earlier model answered, should another one have "
            "taken its place there; leave cache=on out if that may be."
        )
    unusual = _unusual(config)
    if unusual:
        said.append(
            f"{server.address.url} is not vLLM: whether it heeds {listed(unusual)} is not known; what it refuses ends the run."
        )
    if config.early_stopping is not EarlyStopping.off and any(b.stop for b in config.benchmarks.values()):
        said.append(
            f"{server.address.url} is not vLLM: where it does not say that a stop string ended an answer, the answer counts as "
            "ended by itself."
        )
    if chat and config.early_stopping is EarlyStopping.answer:
        config = replace(config, early_stopping=EarlyStopping.cut)
        said.append(
            f"{server.address.url} is not vLLM, and OpenAI's API cannot continue an answer: no missing answer is asked for "
            "(early_stopping=cut)."
        )
    return config, said


def _check(config: Config, *, chat: bool) -> None:
    """Refuses what the server decides."""
    model, budget = config.model, config.sampling.thinking_budget
    for name, benchmark in config.benchmarks.items():
        if chat and not benchmark.chat:
            raise ConfigError(
                f"benchmarks.{name}.chat=false is refused with engine.api=chat, which sends messages; set engine.api=completions."
            )
    if chat and budget is not None:
        raise ConfigError(
            f"sampling.thinking_budget={budget} is refused with engine.api=chat, where the server's template has the model's think block and "
            "nothing can close it; set engine.api=completions."
        )
    if model.chat_template is not None and chat:
        raise ConfigError(
            f"model.chat_template={model.chat_template} is refused with engine.api=chat, where the server's own template writes the "
            "prompt; set engine.api=completions, or give the server the template (llmbench.serve takes model.chat_template)."
        )
    if model.kv_cache_dtype is not None:
        raise ConfigError(
            f"model.kv_cache_dtype={model.kv_cache_dtype} is refused: the server has the KV cache; leave it out, and give it to the server "
            "(llmbench.serve takes model.kv_cache_dtype)."
        )
    if model.lora is not None:
        raise ConfigError(
            f"model.lora={model.lora} is refused: the server loads adapters; leave it out, and name the adapter as the server calls it "
            "with engine.served_model=NAME."
        )


def _check_stops(config: Config) -> None:
    for name, benchmark in config.benchmarks.items():
        # a base model is also stopped where it would ask the next question
        count = len(benchmark.stop) + (not benchmark.chat)
        if count > STOPS and config.early_stopping is not EarlyStopping.off:
            raise ConfigError(
                f"benchmarks.{name}.stop has {count} strings, and OpenAI's API takes {STOPS}; give fewer, or set early_stopping=off."
            )


def _unusual(config: Config) -> list[str]:
    """Settings in use that are no part of OpenAI's API."""
    names = {
        f"sampling.{key}"
        for name in config.benchmarks
        for key, neutral in NEUTRAL.items()
        if drawing(config, name)[key] != neutral
    }
    if config.sampling.ignore_eos:
        names.add("sampling.ignore_eos")
    if config.model.chat_template_kwargs and is_chat(config.engine):
        names.add("model.chat_template_kwargs")
    return sorted(names)
