"""The command that goes on with a run works as it is printed, whatever the run's folder is called."""

import os
import shlex
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from llmbench.cli.main import main
from llmbench.results.manifest import JOURNAL
from llmbench.results.reader import load_run
from llmbench.system.shell import quoted, resume_command
from tests.helpers.runs import BREAKS, TWELVE

pytestmark = pytest.mark.slow

NAMES = ("José", "two  words", "new\nline", "tab\tand\x1bescape", "quo\\'te", "end\\", "it's", "=,[]{}~$x")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pasted(line: str) -> list[str]:
    """The arguments that bash makes of a printed command."""
    words = f"set -- {line.removeprefix('python -m llmbench ')}; printf '%s\\0' \"$@\""
    done = subprocess.run(["bash", "-c", words], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_command_continues(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / name
    assert main([*TWELVE, BREAKS, f"hydra.run.dir={quoted(str(folder))}", "report=false"]) == 1
    kept = len(load_run(folder).results)
    assert 0 < kept < 12
    said = capfd.readouterr().err
    assert resume_command(folder) in said
    assert resume_command(folder).isprintable()
    assert main(pasted(resume_command(folder))) in {0, 1}  # it breaks again where enough is left for that
    assert kept < len((folder / JOURNAL).read_bytes().splitlines()) <= 12


def test_a_sweep_and_the_last_run_continue_below_any_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "Ünïcode, 東京"
    here.mkdir()
    monkeypatch.chdir(here)
    settings = ["benchmark=arithmetic", "engine=fake", "limit=8", "batch_size=2", BREAKS, "report=false"]
    assert main(["-m", *settings, "seed=1,2"]) == 1
    sweep = next((here / "runs" / "multi").iterdir())
    assert main(pasted(resume_command(sweep))) == 0
    assert [load_run(sweep / name).summary["status"] for name in "01"] == ["finished", "finished"]
    assert main([*settings, "hydra.run.dir=runs/single"]) == 1
    assert main(["resume=last"]) == 0
    assert load_run(here / "runs" / "single").summary["status"] == "finished"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
@example("\\'")
@example("\\\\")
def test_hydra_and_bash_take_a_name_for_what_it_is(name: str) -> None:
    override = OverridesParser.create().parse_override(f"hydra.run.dir={quoted(f'/{name}')}")
    assert override.value() == f"/{name}"


def test_shells_get_control_characters_escaped() -> None:
    assert resume_command("/a b") == f"python -m llmbench resume={shlex.quote(chr(39) + '/a b' + chr(39))}"
    assert resume_command("/a\nb'\\") == r"python -m llmbench resume=$'\'/a\x0ab\\\'\\\\\''"


@pytest.mark.parametrize("name", [b"a${x}b", b"latin \xe9"])
def test_names_that_nothing_can_take_are_refused(
    tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    for typed in (f"resume={folder}", "seed=1"):
        assert main([*TWELVE, typed]) == 1
        said = capfd.readouterr().err
        assert "use another name" in said
        assert said.count("\n") == 1
        monkeypatch.chdir(folder)


def test_a_resumed_run_writes_the_date_of_its_first_day(tmp_path: Path) -> None:
    folder = tmp_path / "dated"
    assert main([*TWELVE, f"hydra.run.dir={folder}"]) == 0
    config = folder / "config.yaml"
    today = yaml.safe_load(config.read_text())["model"]["template_date"]
    assert today == datetime.now().astimezone().date().isoformat()
    config.write_text(config.read_text().replace(today, "2024-02-29"))
    journal = folder / "samples.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    assert main([f"resume={folder}"]) == 0
    assert yaml.safe_load(config.read_text())["model"]["template_date"] == "2024-02-29"
    assert len(journal.read_text().splitlines()) == 12


@pytest.mark.parametrize("name", ["José", "a=b", "a (b) & c, d#e", "it's", "[1]"])
def test_a_folder_may_have_any_name(name: str) -> None:
    assert main([*TWELVE, f"hydra.run.dir=here/{name}"]) == 0
    assert (Path("here") / name / "summary.json").is_file()


def test_a_text_that_hydra_cannot_read_is_explained_how_to_be_quoted(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main([*TWELVE, "model.name=a(b)"]) == 1
    assert "type 'model.name='\"'\"'a(b)'\"'\"''" in capfd.readouterr().err
    assert main([*TWELVE, "model.name='a(b)'"]) == 0
