"""Python values as settings: what is given is what the run has."""

from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from llmbench.cli.python_settings import as_arguments, flattened, written
from llmbench.errors import ConfigError

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text("a'\"\\${}[],=: \n\t~", max_size=12),
    st.sampled_from(
        ["", "null", "None", "true", "1", "1e3", "007", "1_0", "-inf", "nan", "${limit}", "\\${a}", "*", "-"]
    ),
)
KEYS = st.text("abcXYZ_-./ ,:=(){}[]\\\t%*@?|+", min_size=1)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**15), 10**15), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip


def read_back(value: object) -> Any:  # noqa: ANN401
    """The value that a run would have."""
    override = OverridesParser.create().parse_override(f"key={written(value)}")
    content = OmegaConf.to_container(OmegaConf.create({"key": override.value()}), resolve=True)
    assert isinstance(content, dict)
    return content["key"]


@given(VALUES)
def test_a_value_comes_back_as_it_was_given(value: object) -> None:
    assert repr(read_back(value)) == repr(value)


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, "a,b"), [1, "a,b"]),
        (np.int64(4), 4),
        (np.float64(0.25), 0.25),
        (Path("/a b/c"), "/a b/c"),
        (Path("~/c"), str(Path.home() / "c")),
        (Colour.RED, "red"),
    ],
)
def test_values_of_other_types_come_as_plain_ones(value: object, expected: object) -> None:
    assert repr(read_back(value)) == repr(expected)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {"a": 1j}, [print]])
def test_a_value_that_is_none_of_a_setting_is_refused_with_its_type(value: object) -> None:
    with pytest.raises(
        ConfigError, match=r"^engine\.args is refused: a value of type \w+ cannot be a setting"
    ):
        as_arguments({"engine.args": value})


@pytest.mark.parametrize("key", ["", None, "null", "ä", "a\nb"])
def test_a_key_that_hydra_cannot_read_is_refused(key: object) -> None:
    with pytest.raises(ConfigError, match=r"engine\.args is refused: .*key"):
        as_arguments({"engine.args": {key: 1}})


def test_a_dict_below_a_group_is_settings_of_the_group_and_one_below_a_free_setting_is_its_value() -> None:
    found = flattened(
        {
            "sampling": {"temperature": 0.7, "seed": 3},
            "engine": {"args": {"a": {"b": 1}}, "base_url": "http://host"},
            "benchmarks": {"gsm8k": {"num_samples": 5, "options": {"x": 1}}},
            "model": {"sampling": {"own": {"top_p": 0.9}}},
            "hydra": {"run": {"dir": "out"}},
        }
    )
    assert found == {
        "sampling.temperature": 0.7,
        "sampling.seed": 3,
        "engine.args": {"a": {"b": 1}},
        "engine.base_url": "http://host",
        "benchmarks.gsm8k.num_samples": 5,
        "benchmarks.gsm8k.options": {"x": 1},
        "model.sampling.own.top_p": 0.9,
        "hydra.run.dir": "out",
    }


def test_a_setting_given_in_two_ways_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sampling\.seed is given twice, as 1 and as 2"):
        flattened({"sampling": {"seed": 1}, "sampling.seed": 2})


@pytest.mark.parametrize("name", ["a b", "limit=3 seed", "-m", "--multirun", "", "+limit", "~limit", 3])
def test_what_is_not_a_setting_s_name_is_refused(name: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match=r"is not a setting's name"):
        flattened({name: 1})


@pytest.mark.parametrize("name", ["sweep", "ablation", "show_prompts"])
def test_what_makes_no_single_run_names_the_command(name: str) -> None:
    with pytest.raises(ConfigError, match="`python -m llmbench "):
        flattened({name: "x"})


def test_a_model_is_a_name_a_folder_or_a_name_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out", "checkpoint-5").mkdir(parents=True)
    models = ["qwen14b", "/a/b", "./c", tmp_path, Path("c"), "out/checkpoint-5", "Qwen/Qwen3-8B", "~/m"]
    assert [as_arguments({"model": model}) for model in models] == [
        ["model=qwen14b"],
        ["model.path=/a/b"],
        ["model.path='./c'"],
        [f"model.path={tmp_path}"],
        ["model.path=c"],
        ["model.path=out/checkpoint-5"],
        ["model.hub_id=Qwen/Qwen3-8B"],
        [f"model.path={Path.home() / 'm'}"],
    ]
