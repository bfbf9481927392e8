"""docs/how-to/own-data.md: its commands run as they are typed in bash, but for the engine, and the rows that would come from the hub."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import llmbench
from llmbench.benchmarks import dataset
from llmbench.benchmarks.rows import Loaded
from llmbench.cli.main import main
from llmbench.config.custom import GRADES
from tests.helpers.paths import ROOT

PAGE = (ROOT / "docs" / "how-to" / "own-data.md").read_text()
COMMANDS = re.findall(r"^    python -m llmbench (.*)$", PAGE, re.MULTILINE)
FILES = dict(re.findall(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
SHOWN = re.findall(r"^```text\n((?:llmbench: |mine\.jsonl: ).*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def without_last(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def words(command: str) -> list[str]:
    """The arguments that bash makes of a command's text."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split("\0")[:-1]


def from_hub(_name: str, config: Any) -> Loaded:  # noqa: ANN401
    assert (config.hub_id, config.hub_config, config.split) == ("openai/gsm8k", "main", "test")
    return Loaded([{"question": "1 + 1?", "answer": "It is. #### 2"}], None, "f", 1)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs_as_it_is_typed(
    here: Path, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    without_last(here / "mine.jsonl")
    monkeypatch.setattr(dataset, "read_hub", from_hub)
    assert main([*words(command), "engine=fake", "report=false", "hydra.run.dir=out"]) == 0
    run = llmbench.load_run(here / "out")
    (found,) = run.summary.benchmarks.values()
    assert found.n == len(run.results) > 0
    assert "Answers are graded as" in capfd.readouterr().err


def test_what_the_page_shows_is_what_is_said(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refusal, understood = SHOWN
    command = [*words(COMMANDS[0]), "engine=fake", "report=false"]
    assert main([*command, "hydra.run.dir=refused"]) == 1
    assert refusal in capfd.readouterr().err
    without_last(here / "mine.jsonl")
    assert main([*command, "hydra.run.dir=out"]) == 0
    assert understood in capfd.readouterr().err


def test_the_page_has_each_grades_instruction() -> None:
    for grade, asked in GRADES.items():
        assert re.search(
            rf"^\| `{grade.value}` \|.*\| {re.escape(asked.instruction or 'none')} \|$", PAGE, re.MULTILINE
        )


def test_the_example_in_python_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_last(here / "mine.jsonl")
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(here)
    names: dict[str, Any] = {}
    exec(example.replace('model="qwen14b"', 'engine="fake"'), names)  # noqa: S102 - the page's own
    assert names["run"].results


def test_an_empty_instruction_is_none(here: Path) -> None:
    without_last(here / "mine.jsonl")
    command = ["custom.data=mine.jsonl", "custom.grade=number", "benchmarks.custom.instruction="]
    assert main([*command, "engine=fake", "report=false", "hydra.run.dir=out"]) == 0
    assert "Reason step by step" not in llmbench.load_run(here / "out").results[0].prompt
