"""What `engine.vllm.internals` makes of a loaded engine.

`main` prints a JSON object from the names of its functions to what went wrong with them, None where nothing did.
"""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from llmbench.cli.compose import compose
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.tokenizer import HubTokenizer
from llmbench.engine.vllm.engine import VllmEngine
from llmbench.engine.vllm.internals import engine as internals
from llmbench.engine.vllm.internals import metrics, processes
from llmbench.engine.vllm.outputs import sampling_params
from llmbench.engine.workload import Workload
from llmbench.records import Sampling

CHECKS: dict[str, Callable[["Loaded"], None]] = {}


def check(function: Callable[["Loaded"], None]) -> Callable[["Loaded"], None]:
    CHECKS[function.__name__] = function
    return function


class Loaded:
    """A `LLM`, the parameters of a request of six tokens, and what was given and came back."""

    def __init__(self, engine: VllmEngine, tokenizer: HubTokenizer, adapter: str) -> None:
        self.llm: Any = engine._llm
        self.adapter = adapter
        self.tokenizer = tokenizer
        self.params = sampling_params(
            engine._package.vllm, Sampling(max_tokens=6, ignore_eos=True), skip_special_tokens=True
        )
        self.prompt = tokenizer.encode("Tell me a story.", special=False)
        self.given: list[str] = []
        self.outputs: list[Any] = []


@check
def set_tokenizer(loaded: Loaded) -> None:
    internals.set_tokenizer(loaded.llm, loaded.tokenizer.hub)
    assert loaded.llm.llm_engine.renderer.tokenizer is not None


@check
def load_adapter(loaded: Loaded) -> None:
    assert internals.load_adapter(loaded.llm, "mine", loaded.adapter).lora_name == "mine"


@check
def limit_running(loaded: Loaded) -> None:
    assert internals.limit_running(loaded.llm, 1)


@check
def add_request(loaded: Loaded) -> None:
    names = [internals.add_request(loaded.llm, f"{n}", loaded.prompt, loaded.params) for n in range(3)]
    loaded.given += names
    assert len({name for name in names if isinstance(name, str)}) == 3


@check
def step(loaded: Loaded) -> None:
    for _ in range(12):
        loaded.outputs += [output for output in internals.step(loaded.llm) if output.finished]
        if loaded.outputs:
            break
    assert [output.request_id for output in loaded.outputs] == ["0"]
    assert len(loaded.outputs[0].outputs[0].token_ids) == 6
    assert loaded.outputs[0].outputs[0].text  # made with the tokenizer that was set


@check
def scheduler_load(loaded: Loaded) -> None:
    internals.step(loaded.llm)
    load = internals.scheduler_load(loaded.llm)
    assert (load["running"], load["waiting"]) == (1, 1), load  # as limit_running has it
    assert 0 < load["kv_cache_use"] < 1


@check
def stamps(loaded: Loaded) -> None:
    found = internals.stamps(loaded.outputs[0])
    assert found is not None
    assert 0 < found.queued <= found.scheduled < found.first_token < found.last_token


@check
def abort_requests(loaded: Loaded) -> None:
    internals.abort_requests(loaded.llm, loaded.given[1:])
    internals.step(loaded.llm)
    load = internals.scheduler_load(loaded.llm)
    assert (load["running"], load["waiting"]) == (0, 0), load


DRAFTS = {"drafts", "draft_tokens", "accepted_tokens"}
"""Counters that vLLM has with speculative decoding alone."""


@check
def counters(loaded: Loaded) -> None:
    assert metrics.counters(loaded.llm)["generated_tokens"] >= 6


@check
def current_values(loaded: Loaded) -> None:
    values = metrics.current_values()
    assert set(values) - DRAFTS == {*metrics.GAUGES.values(), *metrics.COUNTERS.values()} - DRAFTS
    assert values["generated_tokens"] == metrics.counters(loaded.llm)["generated_tokens"]


@check
def empty_prefix_cache(loaded: Loaded) -> None:
    internals.empty_prefix_cache(loaded.llm)


@check
def settled(loaded: Loaded) -> None:
    found = internals.settled(loaded.llm)
    assert (found.quantization, found.dtype) == (None, "float32")
    assert found.kv_cache_tokens
    assert found.kv_cache_tokens > 1000


@check
def worker_facts(loaded: Loaded) -> None:
    facts = internals.worker_facts(loaded.llm)
    assert facts["attention_backend"]
    assert {"device", "weights", "profile", "kv_cache", "warm_up"} <= set(facts["seconds"])


@check
def started_processes(loaded: Loaded) -> None:
    assert processes.started_processes(loaded.llm) == []


@check
def death_callback(loaded: Loaded) -> None:
    assert processes.death_callback(loaded.llm) is None


@check
def shut_down(loaded: Loaded) -> None:
    internals.shut_down(loaded.llm)


def main(checkpoint_folder: str, adapter: str) -> None:
    config = compose(
        [
            "model.dtype=float32",
            "model.max_length=512",
            "log_level=WARNING",
            "engine.args={enable_lora: true}",
        ]
    )
    checkpoint = Checkpoint(checkpoint_folder, None, local=True, folder=checkpoint_folder)
    engine = VllmEngine(config, checkpoint)
    engine.prepare()
    engine.load(Workload(requests=4, longest=6, output_tokens=24, batch_size=4), lambda _: None)
    loaded = Loaded(engine, HubTokenizer(checkpoint, trust_remote_code=False), adapter)
    wrong: dict[str, str | None] = {}
    for name, function in CHECKS.items():
        try:
            function(loaded)
        except Exception:  # noqa: BLE001 - the other functions are looked at all the same
            wrong[name] = traceback.format_exc(limit=-3)
        else:
            wrong[name] = None
    sys.stdout.write(json.dumps(wrong) + "\n")
