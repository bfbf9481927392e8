"""The command line of `vllm serve`: what a run would load, as flags."""

from pathlib import Path

import pytest

from llmbench.config.choices import Device, Startup
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.endpoint import server as servers
from llmbench.engine.endpoint.address import Address
from llmbench.engine.vllm import loading, serve_command
from llmbench.engine.vllm.admission import WATERMARK
from llmbench.engine.vllm.internals.serve import WORKERS_START
from llmbench.engine.vllm.startup import StartupPlan
from llmbench.engine.vllm.startup_history import Key
from llmbench.engine.workload import Workload
from tests.helpers.settings import compose

CHECKPOINT = Checkpoint("org/model", "abc", local=False)
FLAGS = [
    ({"a": None, "b_c": 1, "d": 0.5, "e": "x y"}, ["--b-c=1", "--d=0.5", "--e=x y"]),
    ({"yes_it_is": True, "no_it_is": False}, ["--yes-it-is", "--no-no-it-is"]),
    ({"some": {"a": [1, 2], "b": {"c": None}}}, ['--some={"a":[1,2],"b":{"c":null}}']),
    ({"many": ["a", {"b": 1}], "none": []}, ["--many", "a", '{"b":1}']),
    ({"disable_log_stats": False}, []),
    ({"disable_log_stats": True, "negative": -1}, ["--disable-log-stats", "--negative=-1"]),
]


@pytest.mark.parametrize(("arguments", "words"), FLAGS)
def test_keyword_arguments_become_flags(arguments: dict[str, object], words: list[str]) -> None:
    assert serve_command.flags(arguments) == words


def command(*typed: str) -> list[str]:
    made = serve_command.serve_command(compose(typed), CHECKPOINT, "127.0.0.1", 8123)
    return made.arguments


def test_the_model_is_loaded_as_in_process() -> None:
    """Each argument of `LLM` is a flag, but for those that only a model in this process needs."""
    config = compose(
        [
            "model=qwen3_14b", "engine.device=cpu", "engine.tensor_parallel_size=2", "engine.pipeline_parallel_size=3",
            "engine.startup=graphs", "engine.speculative={method: ngram}", "model.trust_remote_code=true", "model.dtype=float16", "model.kv_cache_dtype=fp8",
            "engine.kv_cache_memory_bytes=123", "seed=7", "batch_size=96", "engine.args={max_num_batched_tokens: 99}",
        ]
    )  # fmt: skip
    plan = StartupPlan(Startup.graphs, "", Key("gpu", "m", None, "bfloat16", "0"), None, 96)
    work = Workload(1, 8, 8)
    given = loading.arguments(config, CHECKPOINT, Device.cpu, work, plan)
    made = serve_command.serve_command(config, CHECKPOINT, "127.0.0.1", 8123)
    only_in_process = {"worker_cls", "skip_tokenizer_init", "use_tqdm_on_load", "disable_log_stats"}
    shared = {name: value for name, value in given.items() if name not in {*only_in_process, "model"}}
    assert made.arguments[:2] == ["serve", "org/model"]
    assert set(serve_command.flags(shared)) <= set(made.arguments)
    assert '--default-chat-template-kwargs={"enable_thinking":false}' in made.arguments
    assert not {word for word in made.arguments for name in only_in_process if name.replace("_", "-") in word}
    assert made.plan.startup is Startup.graphs


def test_the_attention_backend_is_that_of_the_gpu() -> None:
    gpu = command("model=qwen14b", "engine.device=cuda", "engine.startup=eager")
    assert "--attention-backend=FLASH_ATTN" in gpu
    assert not any("attention" in word for word in command("model=qwen14b", "engine.device=cpu"))


def test_vllm_keeps_room_for_what_runs_unless_another_share_is_typed() -> None:
    assert f"--watermark={WATERMARK}" in command("engine.device=cpu")
    words = command("engine.device=cpu", "engine.args={watermark: 0.01}")
    assert [word for word in words if "watermark" in word] == ["--watermark=0.01"]


def test_what_is_typed_for_the_engine_wins_but_not_over_where_the_server_is() -> None:
    words = command(
        "engine.device=cpu",
        "engine.args={stream_interval: 1, max_num_seqs: 8, port: 1, served_model_name: x, block_size: 16}",
    )
    for word in ("--stream-interval=1", "--max-num-seqs=8", "--block-size=16", "--port=8123"):
        assert word in words
    assert "--served-model-name=smollm2" in words


@pytest.mark.parametrize(
    ("typed", "startup"),
    [("auto", Startup.graphs), ("eager", Startup.eager), ("full", Startup.full), ("graphs", Startup.graphs)],
)
@pytest.mark.usefixtures("cache_folder")
def test_the_start_up_is_chosen_for_a_server_that_stays(typed: str, startup: Startup) -> None:
    config = compose(["model=qwen14b", "engine.device=cuda", f"engine.startup={typed}"])
    made = serve_command.serve_command(config, CHECKPOINT, "127.0.0.1", 1)
    assert made.plan.startup is startup
    assert ("--enforce-eager" in made.arguments) == (startup is Startup.eager)
    assert any("cudagraph_capture_sizes" in word for word in made.arguments) == (startup is Startup.graphs)


def test_the_environment_is_that_of_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VLLM_NO_USAGE_STATS", "VLLM_LOGGING_LEVEL", "TOKENIZERS_PARALLELISM", WORKERS_START):
        monkeypatch.delenv(name, raising=False)
    made = serve_command.serve_command(
        compose(["engine.device=cpu", "log_level=WARNING"]), CHECKPOINT, "::1", 1
    )
    assert made.variables == {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "TOKENIZERS_PARALLELISM": "false",
        "TORCHDYNAMO_DISABLE": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    }


@pytest.mark.parametrize(
    "typed",
    [
        ["model=smollm2"],
        ["model=qwen14b"],
        ["model.hub_id=org/some-model"],
        ["model.path={folder}/run-7/checkpoint-500"],
        ["model=qwen14b", "model.path={folder}/run-7/checkpoint-500"],
        ["model.path={folder}/link"],
        ["model.path={folder}/run-7/checkpoint-500", "model.name=mine"],
    ],
)
def test_the_served_name_is_one_that_the_same_model_is_recognised_by(
    typed: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run-7" / "checkpoint-500"
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    typed = [word.format(folder=tmp_path) for word in typed]
    config = compose(typed)
    root = str(Path(config.model.path).resolve()) if config.model.path else config.model.hub_id or "/cache/x"
    served = servers.Server(Address("http://localhost:1/v1"), serve_command.served_name(config), root)
    again = ["engine=endpoint", "engine.base_url=http://localhost:1/v1", *typed]
    servers.check_identity(compose(again), served)
    other = compose(["engine=endpoint", "engine.base_url=http://localhost:1/v1", "model=qwen7b"])
    with pytest.raises(Exception, match="is refused"):
        servers.check_identity(other, served)
