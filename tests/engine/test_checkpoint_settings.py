"""What `model.path` and `model.hub_id` mean: the checkpoint that was asked for, under its own name, with its own limits."""

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from llmbench.cli.compose import compose
from llmbench.cli.main import main
from llmbench.config.schema import Config
from llmbench.engine.checkpoint import locate
from llmbench.engine.checkpoint_settings import complete, name_of
from llmbench.engine.factory import find_checkpoint
from llmbench.engine.fake import FakeEngine, WordTokenizer, nonsense
from llmbench.errors import ConfigError
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool, Engines
from llmbench.run.options import Beginning, RunOptions


def write_checkpoint(
    folder: Path,
    generation: Mapping[str, object] | None = None,
    shape: tuple[int, int] = (1000, 2000),
    **config: object,
) -> Path:
    """A checkpoint of one tensor, as far as anybody looks at it before it is loaded."""
    folder.mkdir(parents=True)
    size = 2 * shape[0] * shape[1]
    header = json.dumps({"a": {"dtype": "BF16", "shape": shape, "data_offsets": [0, size]}}).encode()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def completed(*overrides: str) -> Config:
    return complete(compose(overrides), lambda config: find_checkpoint(config, to_run=False))[0]


@pytest.mark.slow
def test_a_hub_id_typed_by_hand_is_what_is_looked_for() -> None:
    model = compose(["model.hub_id=org/name"]).model
    assert (model.hub_id, model.embedded, model.path) == ("org/name", None, None)
    with pytest.raises(Exception, match="org/name is not in the local cache"):
        locate(model)


def test_a_hub_id_beside_a_named_model_is_that_checkpoint_with_the_models_settings() -> None:
    model = compose(["model=smollm2", "model.hub_id=org/name"]).model
    assert (model.name, model.embedded, model.finish_tokens) == ("org--name", None, 512)
    assert compose(["model=qwen14b", "model.path=/models/mine"]).model.quantization == "bitsandbytes"


def test_a_checkpoint_given_by_hand_has_neutral_settings_at_composition() -> None:
    config = compose(["model.path=/models/mine", "benchmark=aime", "profile=published"])
    assert config.model.name == "mine"
    assert config.model.parameters_b is None
    assert config.benchmarks["aime"].max_tokens == config.model.finish_tokens == 2048
    assert config.model.embedded is None


def test_settings_show_them_before_a_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["--cfg", "job", "--resolve", "model.path=/models/mine", "profile=published", "benchmark=aime"])
        == 0
    )
    shown = yaml.safe_load(capfd.readouterr().out)
    assert shown["model"]["name"] == "mine"
    assert shown["benchmarks"]["aime"]["max_tokens"] == 2048


@pytest.mark.parametrize(
    ("path", "hub_id", "name"),
    [
        ("/models/mine", None, "mine"),
        ("/models/mine/", "org/name", "mine"),
        (None, "Qwen/Qwen3-8B", "Qwen--Qwen3-8B"),
        ("/out/run-7/checkpoint-500", None, "run-7-checkpoint-500"),
        ("/out/run-8/final", None, "run-8-final"),
        ("/c/models--Qwen--Qwen3-8B/snapshots/0123456789abcdef", None, "Qwen--Qwen3-8B"),
        ("/models/a model, (new)=1", None, "a-model-new-1"),
        ("/", None, "checkpoint"),
    ],
)
def test_a_checkpoint_is_named_after_its_folder_or_hub_id(
    path: str | None, hub_id: str | None, name: str
) -> None:
    assert name_of(path, hub_id) == name


def test_two_checkpoints_have_two_names_in_folders_and_summaries(tmp_path: Path) -> None:
    into = [
        f"model.path={tmp_path / 'one'},{tmp_path / 'two'}",
        "engine=fake",
        "limit=2",
        "report=false",
        "-m",
    ]
    assert main([*into, f"hydra.sweep.dir={tmp_path / 'sweep'}"]) == 0
    runs = [json.loads((tmp_path / "sweep" / number / "summary.json").read_text()) for number in "01"]
    assert [run["model"] for run in runs] == ["one", "two"]
    typed = json.loads((tmp_path / "sweep" / "0" / "manifest.json").read_text())["overrides"]
    assert sorted(typed) == sorted(
        ["engine=fake", "limit=2", "report=False", f"model.path={tmp_path / 'one'}"]
    )


def test_a_typed_name_wins() -> None:
    assert compose(["model.path=/models/mine", "model.name=ours"]).model.name == "ours"


def test_size_and_sampling_come_from_the_checkpoint(tmp_path: Path) -> None:
    stated = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20}
    folder = write_checkpoint(tmp_path / "mine", stated, max_position_embeddings=8192)
    found = completed(f"model.path={folder}", "profile=published")
    assert found.model.parameters_b == 0.002
    assert found.model.max_length == 4096
    assert (found.sampling.temperature, found.sampling.top_p, found.sampling.top_k) == (0.6, 0.95, 20)
    typed = completed(f"model.path={folder}", "profile=published", "sampling.temperature=0")
    assert (typed.sampling.temperature, typed.sampling.top_p) == (0, 0.95)
    assert completed(f"model.path={folder}").sampling.temperature == 0  # profile=documented is greedy


def test_the_neutral_context_is_lowered_to_the_checkpoints_and_a_typed_one_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "mine", max_position_embeddings=2048)
    config, said = complete(
        compose([f"model.path={folder}"]), lambda config: find_checkpoint(config, to_run=False)
    )
    assert config.model.max_length == 2048
    assert "2048" in said[0]
    with pytest.raises(ConfigError, match=r"model\.max_length=4096 is more than the 2048 tokens"):
        completed(f"model.path={folder}", "model.max_length=4096")
    with pytest.raises(ConfigError, match=r"set model\.max_length=2048"):
        completed("model=smollm2", f"model.path={folder}", "model.parameters_b=0.002")
    scaled = write_checkpoint(
        tmp_path / "long", max_position_embeddings=2048, rope_scaling={"type": "yarn", "factor": 4.0}
    )
    assert completed(f"model.path={scaled}").model.max_length == 4096


def test_the_settings_of_a_model_of_another_size_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "small")
    with pytest.raises(ConfigError, match=r"14\.8 is refused: .*small holds 0\.002 billion"):
        completed("model=qwen14b", f"model.path={folder}")
    assert (
        completed("model=qwen14b", f"model.path={folder}", "model.parameters_b=0.002").model.name == "small"
    )


def test_a_run_writes_down_what_it_took_from_the_checkpoint_and_can_be_resumed(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "mine", {"temperature": 0.5, "do_sample": True})
    fixed = ["benchmark=arithmetic", "profile=published", "limit=4", "report=false"]

    def run(folder: Path, *, again: bool) -> None:
        engines = Engines(
            find_checkpoint=lambda config: locate(config.model),
            open_engine=lambda *_: FakeEngine(None, nonsense),
            load_tokenizer=lambda *_: WordTokenizer(),
        )
        with EnginePool(engines) as pool:
            pipeline.run(
                compose([f"model.path={folder}", *fixed]),
                tmp_path / "run",
                RunOptions(pool=pool, beginning=Beginning.RESUMED if again else Beginning.NEW),
            )

    run(folder, again=False)
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert kept["sampling"]["temperature"] == 0.5
    assert kept["model"]["name"] == "mine"
    shutil.copytree(folder, tmp_path / "moved")
    run(tmp_path / "moved", again=True)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["model"] == "mine"
