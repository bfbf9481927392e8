"""Each function of `engine.vllm.internals` against the installed vLLM: a new version's failing test names the function to change."""

import ast
import importlib
import inspect
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_args

import pytest

from llmbench.config.choices import Device, Startup
from llmbench.config.engine import EngineConfig
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.vllm import adapters, internals, loading, versions
from llmbench.engine.vllm.internals import (
    engine,
    likelihoods,
    messages,
    metrics,
    process_state,
    quantized_weights,
    serve,
    worker_timing,
)
from llmbench.engine.vllm.speculation import graphs
from llmbench.engine.vllm.startup import StartupPlan
from llmbench.engine.vllm.startup_history import Key
from llmbench.engine.workload import Workload
from tests.helpers.installed import needs
from tests.helpers.paths import ROOT
from tests.helpers.settings import compose

pytestmark = [
    needs("vllm"),
    pytest.mark.real_engine,
    pytest.mark.filterwarnings("ignore"),  # its imports warn
]

MODULES = (
    "engine",
    "likelihoods",
    "metrics",
    "processes",
    "process_state",
    "messages",
    "quantized_weights",
    "serve",
    "speculation",
    "worker_timing",
)


@pytest.fixture(scope="module", autouse=True)
def _environment_comes_back() -> Iterator[None]:
    """vLLM changes the environment when it is imported."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def of(name: str) -> Any:  # noqa: ANN401
    """A module, or a class or function of one, by its full name, a class's member after a colon; None where it is gone."""
    path, _, member = name.partition(":")
    module, _, last = path.rpartition(".")
    found: Any = None
    with suppress(ModuleNotFoundError):
        found = getattr(importlib.import_module(module), last, None) if module else None
    if found is None:
        with suppress(ModuleNotFoundError):
            found = importlib.import_module(path)
    return getattr(found, member, None) if member else found


def expect(condition: object, function: str, what: str) -> None:
    version = importlib.import_module("vllm").__version__
    assert condition, f"change llmbench.engine.vllm.internals.{function}: vLLM {version} has no {what}"


def source(name: str, function: str) -> str:
    expect(of(name), function, name)
    return inspect.getsource(of(name))


def takes(name: str, *parameters: str, function: str) -> None:
    """The callable exists and has these parameters."""
    found = of(name)
    expect(callable(found), function, name)
    own = inspect.signature(inspect.unwrap(found)).parameters
    for parameter in parameters:
        expect(parameter in own, function, f"parameter {parameter} of {name}")


def assigns(name: str, *attributes: str, function: str) -> None:
    """The class's code assigns these attributes of `self`."""
    code = source(name, function)
    for attribute in attributes:
        found = re.search(rf"\bself\.{attribute}\b[^=\n]*=[^=]", code)
        expect(found, function, f"attribute {attribute} of {name}")


def has_fields(name: str, *wanted: str, function: str) -> None:
    """The dataclass has these fields."""
    expect(of(name), function, name)
    for field in wanted:
        expect(field in {f.name for f in fields(of(name))}, function, f"field {field} of {name}")


ENGINE = "vllm.v1.engine.llm_engine.LLMEngine"
CORE = "vllm.v1.engine.core.EngineCore"
SCHEDULER = "vllm.v1.core.sched.scheduler.Scheduler"
CLIENT = "vllm.v1.engine.core_client"


def test_step() -> None:
    takes(f"{ENGINE}:step", function="engine.step")


def test_load_adapter() -> None:
    takes(f"{ENGINE}:add_lora", "lora_request", function="engine.load_adapter")
    request = of("vllm.lora.request.LoRARequest")
    expect(
        request and request("mine", 1, "/folder").lora_path == "/folder", "engine.load_adapter", "LoRARequest"
    )
    ranks = get_args(of("vllm.config.lora.MaxLoRARanks"))
    assert ranks == adapters.RANKS, "change llmbench.engine.vllm.adapters.RANKS"


def test_add_request() -> None:
    names = ("request_id", "prompt", "params", "lora_request")
    takes(f"{ENGINE}:add_request", *names, function="engine.add_request")


def test_abort_requests() -> None:
    takes(f"{ENGINE}:abort_request", "request_ids", "internal", function="engine.abort_requests")


def test_stamps() -> None:
    names = ("queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")
    has_fields("vllm.v1.metrics.stats.RequestStateStats", *names, function="engine.stamps")
    takes("vllm.outputs.RequestOutput", "metrics", function="engine.stamps")


def test_is_engine_dead() -> None:
    error = of("vllm.v1.engine.exceptions.EngineDeadError")
    expect(error and engine.is_engine_dead(error()), "engine.is_engine_dead", "EngineDeadError")
    assert not engine.is_engine_dead(RuntimeError())


def vllm_with_params() -> Any:  # noqa: ANN401
    """The module, with the one of `SamplingParams` loaded."""
    importlib.import_module("vllm.sampling_params")
    return importlib.import_module("vllm")


def test_next_token_params() -> None:
    one = likelihoods.next_token_params(vllm_with_params(), [5, 7, 5])
    expect(one.logprob_token_ids == [5, 7], "likelihoods.next_token_params", "logprob_token_ids")


@pytest.mark.parametrize("shared", [False, True])
def test_prompt_params(*, shared: bool) -> None:
    asked = likelihoods.prompt_params(vllm_with_params(), shared=shared)
    expect(asked.prompt_logprobs == 0, "likelihoods.prompt_params", "prompt_logprobs")
    skips = asked.skip_reading_prefix_cache
    expect(skips is not shared, "likelihoods.prompt_params", "skip_reading_prefix_cache")


def test_of_next_token() -> None:
    """That the numbers are right needs an engine: see engine_protocol.py."""
    has_fields("vllm.outputs.CompletionOutput", "logprobs", function="likelihoods.of_next_token")
    has_fields("vllm.logprobs.Logprob", "logprob", function="likelihoods.of_next_token")


def test_of_last_tokens() -> None:
    wanted = ("prompt_token_ids", "prompt_logprobs", "num_cached_tokens")
    takes("vllm.outputs.RequestOutput", *wanted, function="likelihoods.of_last_tokens")


def test_set_tokenizer() -> None:
    takes("vllm.tokenizers.hf.get_cached_tokenizer", function="engine.set_tokenizer")
    assigns(ENGINE, "renderer", "output_processor", function="engine.set_tokenizer")
    assigns("vllm.renderers.base.BaseRenderer", "tokenizer", function="engine.set_tokenizer")
    assigns("vllm.v1.engine.output_processor.OutputProcessor", "tokenizer", function="engine.set_tokenizer")


def test_limit_running() -> None:
    assigns(f"{CLIENT}.InprocClient", "engine_core", function="engine._scheduler")
    assigns(CORE, "scheduler", function="engine._scheduler")
    assigns(SCHEDULER, "max_num_running_reqs", function="engine.limit_running")


def test_scheduler_load() -> None:
    takes(f"{SCHEDULER}:get_request_counts", function="engine.scheduler_load")
    assigns(SCHEDULER, "kv_cache_manager", function="engine.scheduler_load")
    usage = of("vllm.v1.core.kv_cache_manager.KVCacheManager:usage")
    expect(isinstance(usage, property), "engine.scheduler_load", "KVCacheManager.usage")


def test_scheduler() -> None:
    function = "speculation.scheduler"
    takes("vllm.config.SchedulerConfig:get_scheduler_cls", function=function)
    takes(f"{CORE}:__init__", "vllm_config", function=function)
    for name in (SCHEDULER, "vllm.v1.core.sched.async_scheduler.AsyncScheduler"):
        takes(f"{name}:_update_after_schedule", "scheduler_output", function="speculation.Drafting")
    plan = ("num_scheduled_tokens", "scheduled_spec_decode_tokens", "num_spec_tokens_to_schedule")
    has_fields("vllm.v1.core.sched.output.SchedulerOutput", *plan, function="speculation.Drafting")
    has_fields("vllm.config.VllmConfig", "additional_config", function="speculation.Drafting")


@pytest.mark.parametrize(
    ("cudagraph_mode", "without_drafts"), [("FULL", "FULL"), ("FULL_DECODE_ONLY", "NONE")]
)
def test_which_steps_have_graphs(cudagraph_mode: str, without_drafts: str) -> None:
    """Why `speculation.graphs` changes the mode: decode-only graphs are for steps in which each request has all its drafts."""
    own = EngineConfig(name="vllm", speculative={"method": "ngram", "num_speculative_tokens": 5})
    sizes = graphs(own, [1, 2, 4, 8, 32, 64, 128])["cudagraph_capture_sizes"]
    mode = of("vllm.config.CUDAGraphMode")[cudagraph_mode]
    compilation = SimpleNamespace(
        cudagraph_mode=mode,
        cudagraph_capture_sizes=sizes,
        max_cudagraph_capture_size=sizes[-1],
        compile_sizes=None,
    )
    config = SimpleNamespace(
        compilation_config=compilation,
        num_speculative_tokens=5,
        lora_config=None,
        scheduler_config=SimpleNamespace(max_num_seqs=128),
    )
    dispatcher = of("vllm.v1.cudagraph_dispatcher.CudagraphDispatcher")(config)
    dispatcher.initialize_cudagraph_keys(mode, 6)

    def graph(tokens: int, *, all_drafted: bool) -> str:
        return str(dispatcher.dispatch(tokens, uniform_decode=all_drafted)[0])

    assert {graph(6 * requests, all_drafted=True) for requests in (1, 3, 16)} == {"FULL"}
    assert {graph(requests, all_drafted=False) for requests in (1, 16, 17, 100, 128)} == {without_drafts}
    assert graph(16 + 37, all_drafted=False) == without_drafts  # some requests have drafts


def test_step_counts() -> None:
    assert engine.step_counts(SimpleNamespace(llm_engine=SimpleNamespace(engine_core=None))) == {}


def test_empty_prefix_cache() -> None:
    takes("vllm.LLM:reset_prefix_cache", function="engine.empty_prefix_cache")


def test_settled() -> None:
    has_fields("vllm.config.VllmConfig", "model_config", "cache_config", function="engine.settled")
    has_fields("vllm.config.ModelConfig", "quantization", "dtype", "hf_config", function="engine.settled")
    has_fields(
        "vllm.config.CacheConfig", "num_gpu_blocks", "block_size", "cache_dtype", function="engine.settled"
    )


def test_worker_facts() -> None:
    takes("vllm.LLM:collective_rpc", "method", function="engine.worker_facts")


def test_shut_down() -> None:
    takes(f"{CLIENT}.InprocClient:shutdown", function="engine.shut_down")
    takes(f"{CLIENT}.MPClient:shutdown", function="engine.shut_down")


def test_counters() -> None:
    named = source("vllm.v1.metrics.loggers", "metrics.COUNTERS")
    named += source("vllm.v1.spec_decode.metrics", "metrics.COUNTERS")
    for name in metrics.COUNTERS:
        expect(f'"{name}"' in named, "metrics.COUNTERS", name)


def test_current_values() -> None:
    named = source("vllm.v1.metrics.loggers", "metrics.GAUGES")
    for name in metrics.GAUGES:
        expect(f'"{name}"' in named, "metrics.GAUGES", name)


def test_started_processes() -> None:
    function = "processes.started_processes"
    has_fields(f"{CLIENT}.BackgroundResources", "engine_manager", function=function)
    assigns("vllm.v1.engine.utils.CoreEngineProcManager", "processes", function=function)
    assigns(CORE, "model_executor", function=function)
    assigns("vllm.v1.executor.multiproc_executor.MultiprocExecutor", "workers", function=function)
    has_fields("vllm.v1.executor.multiproc_executor.WorkerProcHandle", "proc", function=function)


def test_death_callback() -> None:
    function = "processes.death_callback"
    assigns(f"{CLIENT}.SyncMPClient", "outputs_queue", function=function)
    assigns(f"{CLIENT}.MPClient", "utility_results", "resources", function=function)
    has_fields(f"{CLIENT}.BackgroundResources", "engine_dead", function=function)
    code = source(f"{CLIENT}.SyncMPClient:get_output", function)
    expect("isinstance(outputs, Exception)" in code, function, "error in SyncMPClient.outputs_queue")


def test_environment_variables() -> None:
    ours = process_state.environment_variables(multiprocess=False, log_level="INFO")
    for name in (*ours, process_state.SOCKET_FOLDER, process_state.CACHE_FOLDER):
        known = of("vllm.envs").environment_variables
        expect(name in known, "process_state.environment_variables", f"environment variable {name}")


def test_compile_cache_folder() -> None:
    folder = process_state.compile_cache_folder()
    function = "process_state.compile_cache_folder"
    root = of("vllm.envs").VLLM_CACHE_ROOT
    assert str(folder.parent) == root, f"change llmbench.engine.vllm.internals.{function}: it is in {root}"
    expect(f'"{folder.name}"' in source("vllm.compilation.backends", function), function, folder.name)


def test_serve() -> None:
    function = "serve.serve"
    expect(serve.WORKERS_START in of("vllm.envs").environment_variables, function, serve.WORKERS_START)
    code = source("vllm.entrypoints.cli.main:main", function)
    for part in ("subparser_init", "parse_args", "validate", "dispatch_function", "FlexibleArgumentParser"):
        expect(part in code, function, f"{part} in main")
    for name in ("subparser_init", "validate", "cmd"):
        expect(callable(of(f"vllm.entrypoints.cli.serve.ServeSubcommand:{name}")), function, name)


def test_register_models() -> None:
    function = "process_state.register_models"
    registry = of("vllm").ModelRegistry
    takes("vllm.ModelRegistry:register_model", "model_arch", "model_cls", function=function)
    process_state.register_models(of("vllm"), ["LlamaForCausalLM", "NoSuchModel"])
    entry = registry.models["LlamaForCausalLM"]
    expect(type(entry).__name__ == "_RegisteredModel", function, "models.get(NAME).load_model_cls()")


def test_repair_kernel_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that answers for any name, such as llvmlite's library, ends no search; a kernel in another object is found all the same."""
    process_state.repair_kernel_search()
    dispatcher = of("vllm.triton_utils.dispatcher")
    if dispatcher is None:
        pytest.skip("vLLM searches for kernels since 0.32")

    class AnswersForAnyName:
        __slots__ = ()

        def __getattr__(self, name: str) -> object:
            return lambda: name

    def kernel() -> None: ...

    held = ModuleType("held")
    held.library, held.mine, held.owner = AnswersForAnyName(), kernel, SimpleNamespace(kernel=kernel)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "held", held)
    dispatcher._rebind_kernels([(kernel, replacement := object())])
    function = "process_state.repair_kernel_search"
    expect(held.mine is replacement is held.owner.kernel, function, "kernel put in another's place")


def test_default_max_num_seqs() -> None:
    found = process_state.default_max_num_seqs(1, otherwise=-1)
    expect(found > 0, "process_state.default_max_num_seqs", "EngineArgs.get_batch_defaults")


def test_clean_up_distributed() -> None:
    name = "vllm.distributed.parallel_state.cleanup_dist_env_and_memory"
    takes(name, function="process_state.clean_up_distributed")


def test_forget_graph_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(of("vllm.platforms").current_platform)
    expect(hasattr(kind, process_state.GRAPH_POOL), "process_state.GRAPH_POOL", process_state.GRAPH_POOL)
    monkeypatch.setattr(kind, process_state.GRAPH_POOL, "the pool of an engine that is gone")
    process_state.forget_graph_pool()
    assert getattr(kind, process_state.GRAPH_POOL) is None


MESSAGES = {
    "FREE_MEMORY": ("v1/worker/utils.py", "x"),
    "FREE_SHARE": ("v1/worker/utils.py", "1.5"),
    "NO_CACHE_BLOCKS": ("v1/core/kv_cache_utils.py", "x"),
    "FITTING_LENGTH": ("v1/core/kv_cache_utils.py", "17"),
    "DERIVED_LENGTH": ("config/model.py", "17"),
    "UNKNOWN_ARCHITECTURE": ("model_executor/models/registry.py", "['A']"),
    "UNFIT_BACKEND": ("platforms/cuda.py", "AttentionBackendEnum.FLASH_ATTN"),
    "CORE_KILLED": ("v1/engine/utils.py", "{'EngineCore': -9}"),
    "CORE_FAILED": ("v1/engine/utils.py", "x"),
}
"""Where vLLM writes each message, and what stands for the values in it."""


@cache
def texts(file: str) -> list[list[str | None]]:
    """The strings in a file of vLLM's, each in its parts, with None for each value that is put into it."""
    (folder,) = importlib.import_module("vllm").__path__
    found: list[list[str | None]] = []
    for node in ast.walk(ast.parse(Path(folder, file).read_text())):
        if isinstance(node, ast.JoinedStr):
            found.append([v.value if isinstance(v, ast.Constant) else None for v in node.values])  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append([node.value])
    return found


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    file, value = MESSAGES[name]
    pattern = getattr(messages, name)
    written = ("".join(value if part is None else part for part in parts) for parts in texts(file))
    expect(any(re.search(pattern, text) for text in written), f"messages.{name}", f"{pattern!r} in {file}")


@pytest.mark.parametrize(("level", "ordinary"), [("INFO", True), ("WARNING", True), ("ERROR", False)])
def test_ordinary_lines_of_its_log(level: str, *, ordinary: bool) -> None:
    module = of("vllm.logger")
    formatter = logging.Formatter(module._FORMAT, module._DATE_FORMAT)
    row = {
        "name": "vllm",
        "levelname": level,
        "msg": "trust_remote_code=False",
        "fileinfo": "core.py",
        "lineno": 1,
        "vllm_process_name": "EngineCore",  # since 0.32, where vLLM's log is switched on
    }
    line = formatter.format(logging.makeLogRecord(row))
    for text in (line, f"(EngineCore pid=12) {line}"):
        expect(bool(messages.ORDINARY_LINE.match(text)) is ordinary, "messages.ORDINARY_LINE", text)


def test_call_under_way() -> None:
    runner, worker = "vllm.v1.worker.gpu_model_runner.GPUModelRunner", "vllm.v1.worker.gpu_worker.Worker"
    for name, _ in messages.WORKER_CALLS:
        known = callable(of(f"{runner}:{name}")) or callable(of(f"{worker}:{name}"))
        expect(known, "messages.WORKER_CALLS", f"worker's method {name}")


@pytest.mark.parametrize("device", ["gpu", "cpu"])
def test_worker_timing(device: str) -> None:
    """The methods that `Probe` wraps are the worker's, which takes any arguments through."""
    module = importlib.import_module(f"llmbench.engine.vllm.internals.{device}_worker")
    (kind,) = (value for name, value in vars(module).items() if name in ("GpuWorker", "CpuWorker"))
    assert kind.__mro__[1] is worker_timing.Probe
    for name, method in vars(worker_timing.Probe).items():
        if inspect.isfunction(method) and not name.startswith(("_", "llmbench")):
            known = any(callable(vars(base).get(name)) for base in kind.__mro__[2:])
            expect(known, f"worker_timing.Probe.{name}", f"worker's method {name}")


def bnb() -> str:
    """The loader's full name."""
    return f"{quantized_weights.loader_module().__name__}.BitsAndBytesModelLoader"


def test_loader_module() -> None:
    module = quantized_weights.loader_module()
    function = "quantized_weights.loader_module"
    expect(hasattr(module, "BitsAndBytesModelLoader"), function, "BitsAndBytesModelLoader")
    registered = source("vllm.model_executor.model_loader", function)
    if module.__name__.startswith(f"{versions.PLUGIN}."):
        registered = source(f"{versions.PLUGIN}:register", function)
    expect('"bitsandbytes"' in registered, function, "load format bitsandbytes")


def test_written() -> None:
    parameters = ("hf_weights_files", "use_safetensors", "quant_state_dict")
    takes(f"{bnb()}:_unquantized_generator", *parameters, function="quantized_weights.written")
    takes(f"{bnb()}:_quantized_4bit_generator", function="quantized_weights.written")
    takes(f"{bnb()}:_dequantize_dq", "quant_states", function="quantized_weights.written")


def test_digest_if_asked() -> None:
    bound = source(f"{bnb()}:_bind_quant_states_to_params", "quantized_weights.digest_if_asked")
    for name in ("bnb_quant_state", "bnb_shard_offsets"):
        expect(name in bound, "quantized_weights.digest_if_asked", f"{name} of a parameter")


def test_a_digest_is_of_each_bit_of_weights_and_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = importlib.import_module("torch")
    quantized, state = importlib.import_module("bitsandbytes.functional").quantize_4bit(
        torch.ones(64, 64, dtype=torch.bfloat16), quant_type="nf4"
    )
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(quantized, requires_grad=False)
    model.weight.bnb_quant_state = {0: state}
    model.register_buffer("table", torch.zeros(3, dtype=torch.bfloat16))
    runner = SimpleNamespace(model=model)
    assert quantized_weights.digest_if_asked(runner) is None
    monkeypatch.setenv(quantized_weights.DIGEST, "1")
    digests = [quantized_weights.digest_if_asked(runner), quantized_weights.digest_if_asked(runner)]
    assert digests[0] == digests[1]
    for tensor in (model.weight.data, state.absmax, state.code, model.table):
        tensor.view(torch.uint8).flatten()[0] ^= 1
        digests.append(quantized_weights.digest_if_asked(runner))
    state.blocksize = 128
    digests.append(quantized_weights.digest_if_asked(runner))
    assert len(set(digests)) == len(digests) - 1


@pytest.mark.usefixtures("_one_process")
def test_weights_that_were_written_are_read_back_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the model's data type, as vLLM loads: an offset of scales that are quantised once more would be rounded to it."""
    torch, safetensors = (importlib.import_module(name) for name in ("torch", "safetensors.torch"))
    (tmp_path / "source").mkdir()
    (tmp_path / "copy").mkdir()
    drawn = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=drawn).bfloat16()
        for name, shape in {
            "a.q_proj.weight": (128, 256),
            "a.q_proj.bias": (128,),
            "norm.weight": (256,),
        }.items()
    }
    safetensors.save_file(tensors, tmp_path / "source" / "model.safetensors", {"format": "pt"})
    torch.set_default_dtype(torch.bfloat16)
    try:
        monkeypatch.setenv(quantized_weights.WRITE_TO, str(tmp_path / "copy"))
        with quantized_weights.written():
            given, states = _loaded(tmp_path / "source", already=False)
        found, read = _loaded(tmp_path / "copy", already=True)
    finally:
        torch.set_default_dtype(torch.float32)
    assert list(given) == list(found) == sorted(tensors)
    assert all(torch.equal(given[name], found[name]) for name in given)
    assert list(states) == list(read) == ["a.q_proj.weight"]
    before, after = states["a.q_proj.weight"], read["a.q_proj.weight"]
    assert torch.equal(before.absmax, after.absmax)
    assert torch.equal(before.code, after.code)
    facts = ("shape", "blocksize", "dtype", "quant_type", "nested")
    assert all(getattr(before, name) == getattr(after, name) for name in facts)


@pytest.fixture
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has vLLM's loader work outside an engine, which has one GPU."""
    module = quantized_weights.loader_module()
    monkeypatch.setattr(module, "get_tensor_model_parallel_world_size", lambda: 1)
    monkeypatch.setattr(module, "get_tensor_model_parallel_rank", lambda: 0)


def _loaded(folder: Path, *, already: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors and blocks' scales that vLLM's loader gives a model with one linear layer."""
    module = quantized_weights.loader_module()
    config = of("vllm.config.load.LoadConfig")(load_format="bitsandbytes", use_tqdm_on_load=False)
    loader = module.BitsAndBytesModelLoader(config)
    loader.target_modules, loader.pre_quant = ["a.q_proj"], already
    tensors, states = loader._get_quantized_weights_iterator(str(folder), None)
    found = {name: tensor.clone() for name, tensor in tensors}
    return found, loader._dequantize_dq(states)


def test_what_the_workers_facts_are_read_from() -> None:
    runner = "vllm.v1.worker.gpu_model_runner.GPUModelRunner"
    assigns(runner, "attn_groups", "model_memory_usage", function="worker_timing.Probe.llmbench_facts")
    worker = "vllm.v1.worker.gpu_worker.Worker:determine_available_memory"
    expect(
        "self.available_kv_cache_memory_bytes = " in source(worker, "worker_timing.Probe.llmbench_facts"),
        "worker_timing.Probe.llmbench_facts",
        "available_kv_cache_memory_bytes of a worker",
    )
    takes("vllm.v1.worker.gpu.warmup.warmup_kernels", function="worker_timing.Probe._own_sampling")
    has_fields("vllm.config.CompilationConfig", "compilation_time", function="worker_timing.Probe._compiled")
    for name, field in (("SchedulerOutput", "scheduled_new_reqs"), ("NewRequestData", "sampling_params")):
        kind = f"vllm.v1.core.sched.output.{name}"
        has_fields(kind, field, function="worker_timing.Probe._own_sampling")
    version = "vllm.v1.attention.backends.fa_utils.get_flash_attn_version"
    takes(version, function="worker_timing._flash_attention_version")


@pytest.mark.parametrize("device", [Device.cuda, Device.cpu])
def test_each_argument_of_an_engine_is_one_of_vllms(device: Device, smollm2: Path) -> None:
    checkpoint = Checkpoint(str(smollm2), None, local=True, folder=str(smollm2))
    plan = StartupPlan(Startup.graphs, "", Key("gpu", "m", None, "bfloat16", "0"), None, 4)
    config = compose(
        [
            "engine.speculative={method: ngram}",
            "model.attention_backend=FLASH_ATTN",
            "model.kv_cache_dtype=fp8",
        ]
    )
    work = Workload(4, 8, 32, prompt_tokens=8)
    given = loading.arguments(config, checkpoint, device, work, plan)
    known = {field.name for field in fields(of("vllm.engine.arg_utils.EngineArgs"))}
    unknown = set(given) - known
    assert not unknown, f"change llmbench.engine.vllm.loading.arguments: vLLM takes no {unknown}"


def functions(module: ModuleType) -> set[str]:
    own = (member for _, member in inspect.getmembers(module, inspect.isfunction))
    return {f.__name__ for f in own if f.__module__ == module.__name__ and not f.__name__.startswith("_")}


def test_each_function_has_a_test() -> None:
    modules = [importlib.import_module(f"{internals.__name__}.{name}") for name in MODULES]
    assert {path.stem for path in Path(*internals.__path__).glob("*.py")} == {
        "__init__",
        "gpu_worker",
        "cpu_worker",
        *MODULES,
    }
    untested = {name for module in modules for name in functions(module)} - {
        name.removeprefix("test_") for name in globals()
    }
    assert not untested
    patterns = {name for name, value in vars(messages).items() if name.isupper() and isinstance(value, str)}
    assert patterns == set(MESSAGES)


def test_nothing_else_names_vllms_inside() -> None:
    """Neither imports vLLM, by statement or by name, nor reads what hangs on an `LLM`, nor names a metric."""
    allowed = Path(*internals.__path__)
    inside = {
        "llm_engine",
        "engine_core",
        "output_processor",
        "vllm_config",
        "collective_rpc",
        "model_runner",
    }
    named = set()
    for path in (ROOT / "llmbench").rglob("*.py"):
        if allowed in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.split(".")[0] == "vllm" for name in imported):
                named.add(f"{path.name}:{node.lineno}")  # type: ignore[attr-defined]
            if isinstance(node, ast.Attribute) and node.attr in inside:
                named.add(f"{path.name}:{node.lineno}")
            if isinstance(node, ast.Constant) and re.match(
                r"vllm(:|\.(?!sampling_params$))\w", str(node.value)
            ):
                named.add(f"{path.name}:{node.lineno}")
    assert named == set()
