"""`vllm serve` with the settings that `engine=vllm` loads a model with: its arguments and environment."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from llmbench.config.deterministic import most_at_once
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.checkpoint_settings import name_of
from llmbench.engine.vllm.checks import DEFAULT_BATCH, pick_device
from llmbench.engine.vllm.internals.serve import WORKERS_START
from llmbench.engine.vllm.loading import model_arguments
from llmbench.engine.vllm.package import variables
from llmbench.engine.vllm.startup import StartupPlan, plan_startup
from llmbench.engine.workload import Workload

STREAM_INTERVAL = 16
"""Tokens in a streamed piece, the first of an answer excepted: each piece costs the server, and the client times only the first and the last."""
FRONT_ENDS, CORES_EACH = 4, 4
"""Processes that take requests and stream answers, and the cores that each should find: one alone is too slow for hundreds of requests at once."""
ONLY_TRUE = ("disable_log_stats",)
"""Flags without a form `--no-…` (vllm/engine/arg_utils.py, since 0.26)."""


@dataclass(frozen=True, slots=True)
class ServeCommand:
    """How a server is started.

    Attributes:
        arguments: Of `vllm`.
        variables: Of the environment.
        plan: The start-up and why.
        config: The settings that all this comes of.
    """

    arguments: list[str]
    variables: dict[str, str]
    plan: StartupPlan
    config: Config


def served_name(config: Config) -> str:
    """What the server calls its model: a name that `engine=endpoint` with the same `model=` takes for the same model."""
    model = config.model
    if model.path is not None:
        return name_of(model.path, None)
    return model.name if model.embedded is not None else model.hub_id or model.name


def serve_command(config: Config, checkpoint: Checkpoint, host: str, port: int) -> ServeCommand:
    """The command that serves a model. Its only address is `host`, and it speaks no TLS."""
    device = pick_device(config)
    capacity = most_at_once(config.engine, config.batch_size or DEFAULT_BATCH)
    # What will be asked is not known: the start-up is chosen for a single answer of the full length, which is little for a server.
    length = config.model.max_length
    work = Workload(requests=1, longest=length, output_tokens=length, batch_size=capacity)
    plan = plan_startup(config, checkpoint, device, work, lambda _: capacity)
    chosen = model_arguments(config, checkpoint, device, work, plan)
    chosen |= {
        "stream_interval": STREAM_INTERVAL,
        "api_server_count": max(1, min(FRONT_ENDS, (os.cpu_count() or 1) // CORES_EACH)),
        "enable_prompt_tokens_details": True,  # how many tokens came from the prefix cache
        "disable_uvicorn_access_log": True,
        "generation_config": "vllm",  # requests say all sampling; nothing comes from the checkpoint's file
        "default_chat_template_kwargs": config.model.chat_template_kwargs or None,
        "chat_template": config.model.chat_template,
    }
    chosen |= config.engine.args
    chosen |= {
        "served_model_name": served_name(config),
        "host": host,
        "port": port,
    }  # llmbench relies on these
    words = ["serve", str(chosen.pop("model")), *flags(chosen)]
    environment = variables(config, device, multiprocess=True)
    environment[WORKERS_START] = os.environ.get(WORKERS_START, "spawn")
    return ServeCommand(words, environment, plan, config)


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Keyword arguments as flags of a command line.

    >>> flags({"seed": 0, "enforce_eager": True, "revision": None, "hf_overrides": {"a": 1}})
    ['--seed=0', '--enforce-eager', '--hf-overrides={"a":1}']
    """
    return [word for name, value in arguments.items() for word in _flag(name, value)]


def _flag(name: str, value: object) -> Iterator[str]:
    dashed = name.replace("_", "-")
    if value is None or value == [] or (value is False and name in ONLY_TRUE):
        return
    if isinstance(value, bool):
        yield f"--{dashed}" if value else f"--no-{dashed}"
    elif isinstance(value, list | tuple):
        yield from (f"--{dashed}", *map(_word, value))
    else:
        yield f"--{dashed}={_word(value)}"


def _word(value: object) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
