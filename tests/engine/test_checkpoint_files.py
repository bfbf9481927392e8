"""What a checkpoint's files must hold, and what is said of those that do not."""

import json
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.checkpoint_files import check_folder, weights_bytes
from llmbench.engine.checkpoint_tensors import check_tensors, embedding_rows
from llmbench.engine.vllm.errors import start_error
from llmbench.errors import LONGEST, ModelError
from llmbench.records import Choice, Outcome, Request, Sampling
from llmbench.results.metrics import summarise, warnings_of
from llmbench.run import preflight
from llmbench.system.hardware import Gpu, visible
from tests.helpers.factories import result
from tests.helpers.settings import compose

LAYERS = ("model.layers.0.mlp.weight", "model.layers.1.mlp.weight")
PARTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
WHOLE = tuple(f"model.layers.{layer}.{part}.weight" for layer in range(2) for part in PARTS)
EMBEDDING = "model.embed_tokens.weight"


def write(folder: Path, names: Sequence[str], **config: object) -> Checkpoint:
    """A checkpoint with tensors of 4 by 2 numbers under these names."""
    folder.mkdir(exist_ok=True)
    header: dict[str, Any] = {
        name: {"dtype": "F32", "shape": [4, 2], "data_offsets": [32 * place, 32 * (place + 1)]}
        for place, name in enumerate(names)
    }
    encoded = json.dumps(header).encode()
    data = struct.pack("<Q", len(encoded)) + encoded + bytes(32 * len(names))
    (folder / "model.safetensors").write_bytes(data)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 2, **config}))
    return Checkpoint(str(folder), None, local=True, folder=str(folder))


@pytest.mark.parametrize(
    ("names", "config"),
    [
        ((EMBEDDING, *LAYERS, "lm_head.weight"), {}),
        ((EMBEDDING, *LAYERS), {"tie_word_embeddings": True}),
        ((EMBEDDING, *LAYERS), {"model_type": "gemma2"}),  # ties them unless config.json says otherwise
        ((EMBEDDING, *LAYERS, "lm_head.qweight"), {"quantization_config": {"quant_method": "gptq"}}),
        (("one.of.its.own",), {}),
        ((EMBEDDING, *WHOLE, "lm_head.weight"), {}),
        ((EMBEDDING, *WHOLE[1:], "lm_head.weight"), {"num_kv_shared_layers": 1}),
        (
            (EMBEDDING, *LAYERS, "model.layers.2.mlp.weight", "lm_head.weight"),
            {"num_nextn_predict_layers": 1},
        ),
        ((EMBEDDING, *LAYERS, "vision.layers.7.mlp.weight", "lm_head.weight"), {}),
    ],
)
def test_a_checkpoint_with_all_its_tensors_is_taken(
    tmp_path: Path, names: Sequence[str], config: Mapping[str, object]
) -> None:
    check_tensors(write(tmp_path, names, **config))


@pytest.mark.parametrize(
    ("names", "config", "missing"),
    [
        ((EMBEDDING, *LAYERS), {}, "lm_head.weight"),
        ((EMBEDDING, *LAYERS), {"model_type": "gemma2", "tie_word_embeddings": False}, "lm_head.weight"),
        ((EMBEDDING, LAYERS[0], "lm_head.weight"), {}, "layer 1"),
        (
            (EMBEDDING, *LAYERS, "lm_head.weight"),
            {"num_hidden_layers": 9},
            "layer 2, layer 3, layer 4 and 4 more",
        ),
        ((*LAYERS, "lm_head.weight"), {}, "the input embeddings"),
        ((EMBEDDING, *WHOLE[:-1], "lm_head.weight"), {}, r"lack model.layers.1.mlp.up_proj.weight;"),
        ((EMBEDDING, *WHOLE[1:], "lm_head.weight"), {}, r"lack model.layers.0.self_attn.q_proj.weight;"),
        (
            (EMBEDDING, *WHOLE, "lm_head.weight"),
            {"num_hidden_layers": 1},
            "have 2 layers, its config.json says 1",
        ),
        ((f"base_model.model.{EMBEDDING}", *LAYERS), {}, "merge_and_unload"),
        ((EMBEDDING, LAYERS[0], "model.layers.1.mlp.base_layer.weight"), {}, "merge_and_unload"),
        ((EMBEDDING, *LAYERS), {"architectures": ["LlamaForSequenceClassification"]}, "writes no text"),
    ],
)
def test_missing_tensors_are_listed(
    tmp_path: Path, names: Sequence[str], config: Mapping[str, object], missing: str
) -> None:
    with pytest.raises(ModelError, match=missing):
        check_tensors(write(tmp_path, names, **config))


def test_a_trainers_files_are_no_weights(tmp_path: Path) -> None:
    write(tmp_path, (EMBEDDING,))
    size = weights_bytes(tmp_path)
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state_0.pth"):
        (tmp_path / name).write_bytes(b"x" * 9_999)
    assert weights_bytes(tmp_path) == size
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        check_folder(tmp_path)


def test_two_sets_of_weights_are_refused(tmp_path: Path) -> None:
    write(tmp_path, (EMBEDDING,))
    check_folder(tmp_path)
    shutil.copy(tmp_path / "model.safetensors", tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(ModelError, match=r"two sets of weights, model\.safetensors and model-00001-of-00002"):
        check_folder(tmp_path)


def test_a_file_of_weights_is_answered_with_its_folder(tmp_path: Path) -> None:
    write(tmp_path, (EMBEDDING,))
    with pytest.raises(ModelError, match=r"model\.path, which takes the folder with config\.json"):
        check_folder(tmp_path / "model.safetensors")


def test_an_adapter_is_known_for_one(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"LoRA adapter of org/base.*merge"):
        check_folder(tmp_path)


def test_token_ids_without_embedding_are_refused(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, (EMBEDDING, *LAYERS))
    assert embedding_rows(checkpoint) == 4
    fits, beyond = (Request("b/1/0", "b", "1", 0, (1, last), Sampling(8)) for last in (3, 4))
    preflight.check_token_ids([fits], checkpoint)
    with pytest.raises(ModelError, match="token id 4, and the model has embeddings for 4"):
        preflight.check_token_ids([fits, beyond], checkpoint)
    chosen = replace(fits, choices=(Choice("A", "a", (1, 4)),))
    with pytest.raises(ModelError, match="token id 4, and the model has embeddings for 4"):
        preflight.check_token_ids([chosen], checkpoint)


def test_the_embedded_checkpoint_is_whole(smollm2: Path) -> None:
    checkpoint = Checkpoint(str(smollm2), None, local=True, folder=str(smollm2))
    check_tensors(checkpoint)
    assert embedding_rows(checkpoint) == 49152


VALIDATION = """1 validation error for ModelConfig
  Value error, {} [type=value_error, input_value=ArgsKwargs((), {{'model': ...}}), input_type=ArgsKwargs]
    For further information visit https://errors.pydantic.dev/2.11/v/value_error"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The method is not for this model", "vLLM could not start: The method is not for this model; the log"),
        ("Model architectures ['NewForCausalLM'] are not supported for now. Supported: " + "a, " * 900,
         "does not know the architecture of"),
        ("The repository contains custom code which must be executed; pass trust_remote_code=True",
         "model.trust_remote_code=true"),
        ("x" * 3_000, "x" * 100),
    ],
)  # fmt: skip
def test_what_vllm_says_of_a_model_is_one_short_sentence(said: str, told: str) -> None:
    sentence = str(start_error(ValueError(VALIDATION.format(said)), compose(["model=qwen14b"])))
    assert told.casefold() in sentence.casefold()
    assert "validation error" not in sentence
    assert len(sentence) < LONGEST + 200


@pytest.mark.parametrize("text", ["!" * 40, "", " the the the the the the the the the the", "0\n" * 40])
def test_texts_of_one_piece_are_said_to_come_from_broken_weights(text: str) -> None:
    summary = summarise([result(1, Outcome.TRUNCATED, text, tokens=40)] * 4, 4, 1)
    (warning,) = warnings_of({"aime": summary})
    assert "the weights may be broken" in warning
    assert "max_tokens" not in warning


def test_a_text_that_loops_late_is_cut_off_like_others() -> None:
    text = "We first look at the number of ways to choose a pair. " + "Wait. " * 400
    summary = summarise([result(1, Outcome.TRUNCATED, text, tokens=40)] * 4, 4, 1)
    assert "max_tokens" in warnings_of({"aime": summary})[0]


def test_parts_of_a_gpu_are_gpus() -> None:
    whole = Gpu(0, "H100", 80 << 30, "580", "GPU-0abc")
    parts = [Gpu(0, "H100 (MIG)", 10 << 30, "580", f"MIG-{number}def") for number in range(2)]
    found = [whole, *parts, Gpu(1, "H100", 80 << 30, "580", "GPU-1abc")]
    assert visible(found, "MIG-1def") == (parts[1],)
    assert [gpu.uuid for gpu in visible(found, None)] == ["GPU-0abc", "GPU-1abc"]
    assert [gpu.uuid for gpu in visible(found, "1,0")] == ["GPU-1abc", "GPU-0abc"]


def test_a_value_that_vllm_does_not_take_is_named_with_what_it_takes() -> None:
    said = "1 validation error for SpeculativeConfig\nmethod\n  Input should be 'ngram' or 'suffix' [type=literal_error, input_value='ngrams']"
    sentence = str(start_error(ValueError(said), compose(["model=qwen14b"])))
    assert "SpeculativeConfig.method: Input should be 'ngram' or 'suffix'; the log" in sentence
