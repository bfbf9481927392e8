"""The documents tell the truth: their examples run, their links lead somewhere, their commands compose."""

import doctest
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llmbench.cli.main import main
from tests.helpers.paths import ROOT
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
PLACEHOLDER = re.compile(
    r"…|\[the |\b(RUN|RUN_A|FOLDER|FILE|NAME|DATE|DATE_TIME|OVERRIDES)\b|org/name|--config-dir|--help|--version|--cfg|-sc|model=mine|capitals"
)
GROUPS_OF_A_SWEEP = re.compile(r"^\+?(sweep|ablation)=")


def files_of(page: Path) -> dict[str, str]:
    """The blocks of a page that have a file's name above them."""
    found = re.findall(r"^`([\w./-]+)`\n\n```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return dict(found)


def written(page: str, folder: Path) -> Path:
    files = files_of(ROOT / "docs" / page)
    assert files
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Runs llmbench in the folder, where its modules lie."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for path in folder.glob("*.py"):  # another test's may have been imported under this name
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return main(["--config-dir", str(folder / "conf"), *arguments])


def test_the_example_of_a_benchmark_runs_as_it_stands(tmp_path: Path) -> None:
    folder = written("adding-a-benchmark.md", tmp_path)
    command = [sys.executable, "-m", "llmbench", "--config-dir", "conf", "benchmark=capitals", "engine=fake"]
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [*command, "hydra.run.dir=out"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "capitals" in done.stdout
    assert len((folder / "out" / "samples.jsonl").read_text().splitlines()) == 3
    assert "report.html" in {path.name for path in (folder / "out").iterdir()}


def test_the_example_of_numbers_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = written("adding-a-benchmark.md", tmp_path)
    asked = ["benchmark=sums", "engine=fake", "hydra.run.dir=out", "report=false"]
    assert run(folder, monkeypatch, *asked) == 0, capfd.readouterr().err
    rows = [json.loads(line) for line in (folder / "out" / "samples.jsonl").read_text().splitlines()]
    assert sorted(row["target"] for row in rows) == ["0.5", "12"]
    run(folder, monkeypatch, "benchmark=sums", "engine=fake", "benchmarks.sums.options.largest=many")
    assert "benchmarks.sums.options.largest=many is refused" in capfd.readouterr().err


def test_a_mistake_in_a_module_of_ones_own_is_shown_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = written("adding-a-benchmark.md", tmp_path)
    module = folder / "sums.py"
    module.write_text(module.read_text().replace('float(row["b"])', "1 / 0"))
    run(folder, monkeypatch, "benchmark=sums", "engine=fake", "hydra.run.dir=out")
    line = next(n for n, text in enumerate(module.read_text().splitlines(), 1) if "1 / 0" in text)
    said = capfd.readouterr().err
    assert f"{module}, line {line}," in said
    assert "ZeroDivisionError" in said


def test_the_example_of_a_model_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = written("adding-a-model.md", tmp_path)
    asked = ["model=mine", "engine=fake", "limit=3", "hydra.run.dir=out", "report=false"]
    assert run(folder, monkeypatch, *asked) == 0, capfd.readouterr().err
    assert "name: mine" in (folder / "out" / "config.yaml").read_text()


def links() -> list[tuple[str, str]]:
    found = {
        (str(page.relative_to(ROOT)), target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if not target.startswith(("http:", "https:"))
    }
    return sorted(found)


@pytest.mark.parametrize(("page", "target"), links())
def test_links_lead_somewhere(page: str, target: str) -> None:
    if re.match(r"(\.\./)?(docs/)?(benchmarks|reference)/", target):
        pytest.skip("a page that is made when the site is built; tests/test_site.py follows links to it")
    assert (ROOT / page).parent.joinpath(target).exists()


@pytest.mark.parametrize("page", ["grading.md", "how-scores-are-computed.md", "how-to/python.md"])
def test_the_figures_that_a_page_computes_are_what_the_code_gives(page: str) -> None:
    done = doctest.testfile(str(ROOT / "docs" / page), module_relative=False)
    assert done.attempted
    assert not done.failed


def commands() -> list[str]:
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text())  # a command over several lines
        found += re.findall(r"^    python -m llmbench (.*)$", text, re.MULTILINE)
        found += re.findall(r"`python -m llmbench ([^`]+)`", text)
        for block in re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            found += re.findall(r"^(?:\w+=\S+ )*python -m llmbench (.*)$", block, re.MULTILINE)
    return sorted({line.split("  #")[0].strip() for line in found if not PLACEHOLDER.search(line)})


@pytest.mark.parametrize("command", commands())
def test_commands_compose(command: str) -> None:
    words = shlex.split(command)
    sweep = any(word == "-m" or GROUPS_OF_A_SWEEP.match(word) for word in words)
    overrides = [word for word in words if word != "-m" and not GROUPS_OF_A_SWEEP.match(word)]
    if sweep:
        overrides = [re.sub(r"=([^\[{,]+),.*", r"=\1", word) for word in overrides]
    assert compose(overrides).benchmarks


QUOTED = (
    "is slower",
    "interrupted running requests",
    "were cut off by the token limit",
    "hold no answer",
    "Not comparable with published scores",
    "The hub cannot be reached; only what is in the local cache can be used.",
    "There is no {kind} called",
    "cannot be written",
)


@pytest.mark.parametrize("sentence", QUOTED)
def test_sentences_that_troubleshooting_quotes_are_in_the_code(sentence: str) -> None:
    assert any(sentence in path.read_text() for path in (ROOT / "llmbench").rglob("*.py"))


def test_the_example_of_a_benchmark_without_python_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = written("adding-a-benchmark.md", tmp_path)
    asked = ["benchmark=rivers", "engine=fake", "hydra.run.dir=out", "report=false"]
    assert run(folder, monkeypatch, *asked) == 0, capfd.readouterr().err
    rows = [json.loads(line) for line in (folder / "out" / "samples.jsonl").read_text().splitlines()]
    assert sorted((row["target"], row["fields"]["subject"]) for row in rows) == [
        ("A", "Europe"), ("B", "Europe"), ("C", "Africa"),
    ]  # fmt: skip
    refused = [*asked[:2], "hydra.run.dir=refused", "benchmarks.rivers.options.subject=parts"]
    assert run(folder, monkeypatch, *refused) == 1
    said = "benchmarks.rivers.options.subject=parts: rivers.jsonl has no column 'parts'; did you mean part"
    assert said in capfd.readouterr().err
