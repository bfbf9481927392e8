"""How a run came about, as far as it is known at its start: what its manifest says first."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from llmbench.config.choices import Api
from llmbench.config.schema import Config, ModelConfig
from llmbench.engine import lora, template_file
from llmbench.engine.vllm.internals.process_state import DETERMINISTIC
from llmbench.results import attempts
from llmbench.system import clock, hardware


def origin(config: Config, overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the first entries of the manifest."""
    return {
        **model_files(config.model),
        "kv_cache_dtype": config.model.kv_cache_dtype,
        "deterministic": dict(DETERMINISTIC) if config.engine.deterministic else None,
        "started": attempts.iso(clock.started()),
        "overrides": list(overrides),
        "git_commit": hardware.git_commit(),
        "versions": hardware.versions(*_packages(config)),
        "machine": hardware.describe() | ({"gpus": []} if config.engine.is_server else {}),
        "sampling": asdict(config.sampling),
        "seed": config.seed,
        "tracked": [],  # the trackers that have got the run
    }


def model_files(model: ModelConfig) -> dict[str, Any]:
    """Returns what the manifest says of the chat template and of the LoRA adapter that the settings name.

    Raises:
        ConfigError: The template cannot be read.
        ModelError: The adapter cannot be read.
    """
    template, adapter = template_file.read(model), lora.read(model)
    return {"chat_template": template and template.row(), "lora": adapter and adapter.row()}


def _packages(config: Config) -> tuple[str, ...]:
    """The packages beside our own that decide a result: where a server has the model, at most what writes prompts."""
    if not config.engine.is_server:
        return hardware.TOKENIZER_PACKAGES + hardware.ENGINE_PACKAGES
    own = ("openai",)
    return own if config.engine.api is not Api.completions else own + hardware.TOKENIZER_PACKAGES
