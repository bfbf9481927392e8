"""Usual mistakes on the command line, and the line to type that each is answered with."""

import re
from pathlib import Path

import pytest

from llmbench.cli import arguments
from llmbench.cli.compose import compose
from llmbench.config.paths import config_folder
from llmbench.errors import ConfigError

MISTAKES = [
    (["benchmarks=aime"], "type benchmark=aime to choose one"),
    (["--benchmark", "aime"], "type benchmark=aime."),
    (["benchmark=math", "--temperature=0.7"], "type sampling.temperature=0.7."),
    (["model=Qwen/Qwen3-8B"], "type model.hub_id=Qwen/Qwen3-8B."),
    (["model=/models/mine"], "type model.path=/models/mine."),
    (["model=~/mine"], "type model.path=~/mine."),
    (["temperature=0.7"], "type sampling.temperature=0.7."),
    (["quantization=fp8"], "type model.quantization=fp8."),
    (["tensor_parallel_size=2"], "type engine.tensor_parallel_size=2."),
    (["benchmark=math", "data_files=x.csv"], "type benchmarks.math.data_files=x.csv."),
    (["benchmark=[math,aime]", "num_samples=40"], "type benchmarks.math.num_samples=40."),
    (["num_samples=40"], "type benchmarks.NAME.num_samples=40."),
    (["benchmark=aime,math"], "a list is written 'benchmark=[aime,math]'"),
    (["batch_size=4,8"], "batch_size=4,8 holds several values: -m makes a run of each."),
    (["--limit", "20"], "type limit=20."),
    (["--limit", "engine=fake"], "type limit=VALUE."),
    (["benchmark=mine.csv"], "type custom.data=mine.csv."),
    (["benchmark.max_tokens=64", "benchmark=aime"], "type benchmarks.aime.max_tokens=64."),
    (["judge=qwen7b"], "type one of the settings below it, such as judge.model=VALUE."),
    (
        ["suite=[code,instruct]"],
        "one suite, suite=NAME; type 'benchmark=[NAME,NAME]' for several benchmarks.",
    ),
    (["model=[qwen7b,qwen14b]"], "model=[qwen7b,qwen14b] is refused: a run has one model, model=NAME."),
    (["model=qwen7b,qwen14b"], "model=qwen7b,qwen14b holds several values: -m makes a run of each."),
    (["judge=null"], "judge=null is refused: it cannot be null."),
    (["+benchmark.aime.x=1"], "type benchmarks.aime.x=1."),
    (["batch_size=abc"], "'abc' is not a whole number"),
    (["engine.price=3"], "engine.price=3 is refused: it takes names with values"),
    (
        ["benchmarks.arithmetic.stop=x"],
        "benchmarks.arithmetic.stop=x is refused: it takes a list, such as [one,two].",
    ),
    (
        ["benchmarks.arithmetic.stop={a:1}"],
        "benchmarks.arithmetic.stop={a:1} is refused: it takes a list, such as [one,two].",
    ),
    (["engine.price=[1]"], "engine.price=[1] is refused: it takes names with values"),
    (["engine.price={a}"], "'engine.price={a}' cannot be read"),
    (["model.dtype=[a]"], "model.dtype=[a] is refused: it takes a text."),
    (
        ["sampling=3"],
        "sampling=3 is refused: type one of the settings below it, such as sampling.temperature=VALUE.",
    ),
    (["sampling.temperature=warm"], "'warm' is not a number"),
    (["model.trust_remote_code=perhaps"], "'perhaps' is not true or false"),
    (["model.path="], "model.path= is empty, as with a variable that is not set; type model.path=VALUE"),
    (["model.hub_id=''"], "type model.hub_id=VALUE, or leave it out"),
    (["benchmark=math", "benchmarks.math.data_files="], "type benchmarks.math.data_files=VALUE"),
    (["hydra.run.dir="], "type hydra.run.dir=VALUE"),
    (["benchmark=null"], "There is no benchmark called 'null'"),
    (["benchmark=[]"], "such as benchmark=aime"),
    (["model=14.0"], "There is no model called '14.0'; there are"),
    (["engine=true"], "There is no engine called 'true'; there are auto, endpoint"),
    (["benchmark=math", "+benchmarks.math.x=1"], "There is no setting called 'benchmarks.math.x'"),
    (["+engine=fake"], "engine is chosen already; type engine=fake, without a +."),
    (["+benchmark=[aime,math]"], "benchmark is chosen already; type benchmark=[aime,math], without a +."),
    (["benchmark=[aime,", "math]"], "if it is a list 'NAME=[one,two]' in quotes and without blanks."),
    (
        ["custom.choices=[a,", "b]"],
        "'b]' is not a setting: write NAME=VALUE, such as benchmark=aime model=qwen14b, and a list in quotes",
    ),
    (["benchmarks.aime.limit=3"], "did you mean benchmarks.aime.num_samples?"),
]


@pytest.mark.parametrize(("typed", "answer"), MISTAKES)
def test_a_mistake_is_answered_with_the_line_to_type(typed: list[str], answer: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compose(typed)
    assert answer in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("path", ["a=b", "a (b)", "a,b", "a#b", "a&b", "it's", "[1]", "é", "a:b", "50%"])
def test_a_path_may_hold_any_character(path: str) -> None:
    if path[0] == "[":
        path = f"/data/{path}"
    config = compose([
        "benchmark=math", f"benchmarks.math.data_files={path}", f"model.path={path}", f"runs_dir={path}"
    ])  # fmt: skip
    assert config.benchmarks["math"].data_files == config.model.path == config.runs_dir == path


def test_the_home_folder_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given = ["model.path=~/m", "runs_dir=~/runs", "hydra.run.dir=~/r (1)", "model.name=~"]
    assert arguments.read(given, config_folder()) == [
        "model.path=/home/me/m", "runs_dir=/home/me/runs", "hydra.run.dir='/home/me/r (1)'", "model.name=~",
    ]  # fmt: skip


def test_what_hydra_reads_itself_is_left_alone() -> None:
    given = [
        "-m", "model.path=a,b", "benchmark=aime,math", "hydra.run.dir=runs/${now:%H-%M}", "model.path='a b'",
        "benchmarks.math.data_files=x.csv", "profile.samples=published",
    ]  # fmt: skip
    assert arguments.read(given, Path("conf")) == given


def test_stop_strings_without_line_breaks_are_shown() -> None:
    (sentence,) = arguments.stops_with_backslashes({"math": ["\\n\\n", "\n\n"], "aime": ["Answer:"]})
    assert "benchmarks.math.stop" in sentence
    assert "no line break" in sentence


@pytest.mark.parametrize(
    "typed",
    [
        ["limit=5", "limit=6"],
        ["-m", "++limit=5", "+limit=6"],
        ["engine=fake", "engine=vllm"],
    ],
)
def test_a_setting_that_is_typed_with_two_values_is_refused_with_both(typed: list[str]) -> None:
    first, second = (argument for argument in typed if "=" in argument)
    with pytest.raises(
        ConfigError, match=f"given twice, as {re.escape(first)} and as {re.escape(second)}; give it once"
    ):
        arguments.refuse_doubled(typed)


def test_what_is_typed_twice_shows_no_secret() -> None:
    with pytest.raises(ConfigError) as refused:
        arguments.refuse_doubled(["engine.api_key=sk-first", "engine.api_key=sk-second"])
    assert "sk-" not in str(refused.value)


def test_flags_different_settings_and_the_same_value_again_are_not_refused() -> None:
    arguments.refuse_doubled(
        ["-m", "-m", "limit=5", "limit=5", "~suite", "~suite", "model.path=a=b", "model.name=a=b"]
    )
