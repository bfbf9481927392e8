"""LoRA adapters before anything is loaded: what is refused, how they are called, and what tells one from another."""

import json
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from llmbench.cli.main import main
from llmbench.engine import factory, lora
from llmbench.engine.cache.keys import keys_for
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.fake import WordTokenizer
from llmbench.engine.replicas import agreement
from llmbench.engine.replicas.cluster import ProcessPlace
from llmbench.engine.replicas.worker import Facts
from llmbench.engine.vllm import adapters
from llmbench.errors import ConfigError, EngineError, ModelError
from llmbench.results.reader import load_run
from llmbench.run import comparability, engine_pool
from llmbench.system import hardware
from llmbench.telemetry.engine_report import EngineReport, ServerIdentity
from tests.helpers.adapters import adapter
from tests.helpers.settings import compose

BREAKS = ("batch_size=2", "engine.args={break_after: 4}")
FAKE = ("benchmark=arithmetic", "engine=fake", "limit=4", "report=false")


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        factory.complete(compose([*FAKE, f"model.lora={folder}"]))
    return str(caught.value)


def test_a_folder_that_is_no_adapter_is_refused(tmp_path: Path) -> None:
    assert "it lacks adapter_config.json" in refusal(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "it lacks adapter_config.json" in refusal(tmp_path / "empty")
    made = adapter(tmp_path / "half", layers=1)
    (made / "adapter_model.safetensors").rename(made / "adapter_model.bin")
    assert "it lacks adapter_model.safetensors" in refusal(made)
    assert "peft_type IA3, r 4" in refusal(adapter(tmp_path / "other", layers=1, peft_type="IA3"))
    assert "peft_type LORA, r 0" in refusal(adapter(tmp_path / "flat", layers=1, r=0))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"width": 512}, r"layers\.0\.self_attn\.q_proj\.lora_A\.weight has the shape \[4, 512\]"),
        ({"layers": 31}, r"the model has no weight that .*layers\.30\..* could be added to"),
    ],
)
def test_an_adapter_of_another_shape_is_refused_before_loading(
    smollm2: Path, tmp_path: Path, made: dict[str, int], words: str
) -> None:
    folder = adapter(tmp_path / "mine", base="org/large", **made)
    model = compose([f"model.lora={folder}"]).model
    checkpoint = Checkpoint(str(smollm2), None, local=True, folder=str(smollm2))
    with pytest.raises(
        ModelError, match=rf"mine does not fit smollm2: .*{words}.*; it was trained for org/large\."
    ):
        lora.check_shapes(model, checkpoint)
    lora.check_shapes(compose([f"model.lora={adapter(tmp_path / 'right')}"]).model, checkpoint)


def test_an_adapter_for_other_modules_and_broken_weights_are_refused(smollm2: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(smollm2), None, local=True, folder=str(smollm2))
    folder = adapter(tmp_path / "mine", layers=1)
    weights, model = folder / "adapter_model.safetensors", compose([f"model.lora={folder}"]).model
    weights.write_bytes(weights.read_bytes().replace(b"v_proj", b"V_PROJ"))
    with pytest.raises(ModelError, match=r"the model has no weight that .*V_PROJ.* could be added to"):
        lora.check_shapes(model, checkpoint)
    weights.write_bytes(b"not tensors at all")
    with pytest.raises(ModelError, match="is not a safetensors file, or a broken one"):
        lora.check_shapes(model, checkpoint)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"rank_pattern": {"q_proj": 8}}, {"alpha_pattern": {"q_proj": 8}},
        {"bias": "all"}, {"r": 513},
    ],
)  # fmt: skip
def test_what_vllm_would_compute_otherwise_is_refused(tmp_path: Path, settings: dict[str, object]) -> None:
    folder = adapter(tmp_path / "mine", layers=1, **settings)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=rf"mine has {next(iter(settings))}=.*merge_and_unload"):
        adapters.check(compose([f"model.lora={folder}"]).model)


@pytest.mark.parametrize(("rank", "most"), [(1, 1), (2, 8), (8, 8), (17, 32), (300, 320), (512, 512)])
def test_vllm_gets_the_next_rank_that_it_takes(tmp_path: Path, rank: int, most: int) -> None:
    model = compose([f"model.lora={adapter(tmp_path / 'mine', layers=1, rank=rank)}"]).model
    adapters.check(model)
    assert adapters.arguments(model) == {"enable_lora": True, "max_loras": 1, "max_lora_rank": most}
    assert adapters.arguments(replace(model, lora=None)) == {}


def test_transformers_without_peft_refuses_an_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smollm2: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "peft" else object())
    config = compose(
        ["engine=transformers", f"model.path={smollm2}", f"model.lora={adapter(tmp_path / 'mine')}"]
    )
    with pytest.raises(EngineError, match="needs the package peft"):
        factory.find_checkpoint(config)


def test_a_base_model_that_differs_is_said(tmp_path: Path) -> None:
    chosen = ["model=qwen7b", f"model.lora={adapter(tmp_path / 'mine', layers=1, base='org/base')}"]
    (sentence,) = lora.other_base(compose(chosen).model)
    assert (
        sentence
        == "The adapter mine was trained for org/base, and the model here is Qwen/Qwen2.5-7B-Instruct."
    )
    same = adapter(tmp_path / "same", layers=1, base="Qwen/Qwen2.5-7B-Instruct")
    assert lora.other_base(compose(["model=qwen7b", f"model.lora={same}"]).model) == []
    assert (
        lora.other_base(compose([f"model.lora={same}"]).model) == []
    )  # the embedded one has no id of the hub


def test_a_run_is_named_after_its_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    adapter(tmp_path / "my-adapter", layers=1)
    assert main([*FAKE, "model.lora=my-adapter"]) == 0
    (folder,) = Path("runs").iterdir()
    assert folder.name.endswith("_smollm2+my-adapter_arithmetic")
    run = load_run(folder)
    assert run.summary.model == "smollm2 + my-adapter"
    row = run.manifest.lora or {}
    assert (row["path"], row["name"], row["rank"]) == (str(tmp_path / "my-adapter"), "my-adapter", 4)
    assert row["base"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_a_run_goes_on_with_its_adapter_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = adapter(tmp_path / "one", layers=1), adapter(tmp_path / "other", layers=1, b=0.1)
    assert (
        main(
            [
                *(each for each in FAKE if not each.startswith("limit=")),
                "limit=8",
                "model.lora=one",
                "hydra.run.dir=run",
                *BREAKS,
            ]
        )
        == 1
    )
    capfd.readouterr()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert main(["resume=../run", f"model.lora={other}"]) == 1
    said = " ".join(capfd.readouterr().err.split())
    assert f"model.lora={other} is refused" in said
    assert f"another LoRA adapter ({one})" in said
    one.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main([f"resume={tmp_path / 'run'}", f"model.lora={tmp_path / 'moved'}"]) == 0
    assert len(load_run(tmp_path / "run").results) == 8


def test_an_adapter_is_named_as_a_difference_and_asks_for_an_engine_of_its_own(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "mine", layers=1)
    plain, config = compose(["profile=published"]), compose(["profile=published", f"model.lora={folder}"])
    assert engine_pool.engine_key(config) != engine_pool.engine_key(plain)
    assert comparability.added_files(config.model) == ["model.lora=mine"]
    assert comparability.added_files(plain.model) == []


def test_cached_answers_are_those_of_one_adapter(tmp_path: Path, smollm2: Path) -> None:
    folder = adapter(tmp_path / "mine", layers=1)
    report, since = EngineReport("vllm", device="cpu"), folder.stat().st_mtime + 10
    checkpoint = Checkpoint(str(smollm2), None, local=True, folder=str(smollm2))

    def setup(*typed: str) -> bytes:
        return keys_for(compose(typed), report, checkpoint, WordTokenizer(), since).setup

    before = setup(f"model.lora={folder}")
    assert before != setup()
    moved = folder.rename(tmp_path / "moved")
    assert setup(f"model.lora={moved}") == before
    config = moved / "adapter_config.json"
    config.write_bytes(orjson.dumps(json.loads(config.read_bytes()) | {"lora_alpha": 64}))
    assert setup(f"model.lora={moved}") != before


def test_hosts_with_different_adapters_are_refused(tmp_path: Path) -> None:
    def facts(host: str, content: str | None) -> Facts:
        return Facts(ProcessPlace(host, "space", 1, "node"), (), {}, "c", content)

    with pytest.raises(EngineError, match="one has the LoRA adapter a, two has b"):
        agreement.compare([facts("one", "a"), facts("two", "b")])
    model = compose([f"model.lora={adapter(tmp_path / 'mine', layers=1)}"]).model
    there = replace(facts("one", "a"), content=None, versions=hardware.versions(*hardware.TOKENIZER_PACKAGES))
    with pytest.raises(EngineError, match=r"has the LoRA adapter \w+, one has a; make them"):
        agreement.compare_with_driver(there, None, model)
    agreement.compare_with_driver(replace(there, adapter=lora.content_of(model)), None, model)


def test_a_server_loads_its_adapters_itself(tmp_path: Path) -> None:
    from llmbench.serve import serve

    folder = adapter(tmp_path / "mine", layers=1)
    with pytest.raises(
        ConfigError, match=r"model\.lora=.*lora_modules: \[NAME=FOLDER\].*engine\.served_model=NAME"
    ):
        serve([f"model.lora={folder}"])


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_served_adapter_is_named_by_its_served_name(tmp_path: Path, api: str) -> None:
    folder = adapter(tmp_path / "mine", layers=1)
    identity = ServerIdentity(address="http://localhost:1/v1", model="mine", api=api)
    config = compose([f"engine.api={api}", f"model.lora={folder}"])
    config.engine.name = "endpoint"
    with pytest.raises(ConfigError, match=r"model\.lora=.* is refused: .*engine\.served_model=NAME"):
        factory.complete(config, server=identity)
