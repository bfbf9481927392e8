import json
import shutil
from pathlib import Path

import pytest

from llmbench.engine.checkpoint import locate
from llmbench.engine.checkpoint_files import check_folder
from llmbench.errors import ModelError
from tests.helpers.settings import compose


@pytest.fixture
def checkpoint(smollm2: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(smollm2, folder)
    return folder


def test_a_whole_checkpoint_is_taken(checkpoint: Path) -> None:
    check_folder(checkpoint)
    found = locate(compose([f"model.path={checkpoint}"]).model)
    assert (found.name, found.local) == (str(checkpoint), True)


@pytest.mark.parametrize("keep", [0, 7, 1000, -1])
def test_weights_that_were_not_copied_to_their_end_are_noticed(checkpoint: Path, keep: int) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ModelError, match="copy the checkpoint again"):
        check_folder(checkpoint)


def test_what_is_missing_is_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no checkpoint folder"):
        check_folder(tmp_path / "nothing")
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        check_folder(checkpoint)
    (checkpoint / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as JSON"):
        check_folder(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        check_folder(checkpoint)


def test_a_missing_shard_is_named(checkpoint: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="model-00002"):
        check_folder(checkpoint)


@pytest.mark.slow
def test_a_hub_model_that_is_not_at_hand_is_explained() -> None:
    with pytest.raises(ModelError, match=r"model\.path=FOLDER"):
        locate(compose(["model=qwen14b"]).model)
