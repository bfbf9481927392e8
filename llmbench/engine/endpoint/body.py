"""A request as the server gets it."""

from collections.abc import Mapping
from typing import Any

from llmbench.config.schema import Config
from llmbench.engine.endpoint.server import Server
from llmbench.engine.endpoint.settings import NEUTRAL
from llmbench.engine.messages import as_rows, is_chat
from llmbench.records import Request


def body_of(request: Request, config: Config, server: Server, *, marks: bool) -> dict[str, Any]:
    """Returns the JSON of a request, but for the limit of its tokens.

    vLLM is told all sampling, since it takes what is left out from the model's generation_config.json; other servers are
    told what differs from their API's defaults, since some refuse the rest.

    Args:
        request: Token ids, or messages.
        config: The settings; `engine.extra_body` wins over all that is made here.
        server: What it is for.
        marks: Special tokens are wanted in the text, since some mark thinking.
    """
    sampling, chat = request.sampling, is_chat(config.engine)
    body: dict[str, Any] = {
        "model": server.model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": sampling.temperature,
    }
    body |= {"messages": as_rows(request.messages)} if chat else {"prompt": list(request.prompt_ids)}
    usual = {
        "top_p": (sampling.top_p, 1.0),
        "presence_penalty": (sampling.presence_penalty, 0.0),
        "frequency_penalty": (sampling.frequency_penalty, 0.0),
        "ignore_eos": (sampling.ignore_eos, False),
        **{name: (getattr(sampling, name), neutral) for name, neutral in NEUTRAL.items()},
    }
    body |= {name: value for name, (value, neutral) in usual.items() if server.vllm or value != neutral}
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    template = config.model.chat_template_kwargs
    if chat and template:
        body["chat_template_kwargs"] = template
    if server.vllm:
        body |= _of_vllm(request, marks=marks)
    return body | config.engine.extra_body


def _of_vllm(request: Request, *, marks: bool) -> Mapping[str, Any]:
    """What vLLM offers beyond the API: which tokens it made, the stop string itself, and turns that go on."""
    more: dict[str, Any] = {"return_token_ids": True, "include_stop_str_in_output": True}
    if marks:
        more["skip_special_tokens"] = False
    if request.messages and request.messages[-1].role == "assistant":
        more |= {"continue_final_message": True, "add_generation_prompt": False}
    return more
