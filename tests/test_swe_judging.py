"""Patches judged in the real sandbox: whether they apply, and whether the repository's own tests pass."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llmbench.benchmarks import swe_bench
from llmbench.benchmarks.base import score
from llmbench.records import FinishReason, Outcome, Sample
from llmbench.swe.judging import Verdict, verdict_of
from tests.swe import CALC, OPTIONS, OUTPUTS, ROWS, new_file, tagged

pytestmark = pytest.mark.usefixtures("sandboxed")


def sample(name: str, **changes: Any) -> Sample:  # noqa: ANN401 - fields of the row
    (found,) = swe_bench.load([{**ROWS[name], **changes}], OPTIONS, 0)
    return found


@pytest.mark.parametrize("output", OUTPUTS, ids=[f"{o['instance_id']}-{o['label']}" for o in OUTPUTS])
def test_the_synthetic_outputs(output: dict[str, Any]) -> None:
    found = score(swe_bench, sample(output["instance_id"]), output["output"], FinishReason.STOP)
    assert (found.answer is not None) == output["expected_patch_found"]
    verdict = verdict_of(found)
    applies = verdict in {Verdict.RESOLVED, Verdict.UNRESOLVED}
    assert applies == output["expected_applies"], found.explanation
    assert (verdict is Verdict.RESOLVED) == output["expected_resolved"], found.explanation
    assert (found.outcome is Outcome.CORRECT) == output["expected_resolved"]


HOSTILE = {
    "a conftest that skips everything": (
        "conftest.py",
        "import pytest\n\ndef pytest_collection_modifyitems(items):\n    items.clear()\n",
    ),
    "a conftest that ends with status 0": ("conftest.py", "import os\nos._exit(0)\n"),
    "a sitecustomize": ("sitecustomize.py", "import os\nos._exit(0)\n"),
    "a pytest of its own": ("pytest.py", "def main(*_, **__): return 0\n"),
    "settings that choose no test": ("pytest.ini", "[pytest]\naddopts = --deselect tests\n"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_no_file_of_a_patch_steers_the_tests(case: str) -> None:
    path, content = HOSTILE[case]
    found = score(swe_bench, sample(CALC), tagged(new_file(path, content)), FinishReason.STOP)
    assert found.outcome is Outcome.WRONG
    assert verdict_of(found) is Verdict.UNRESOLVED


def test_a_patch_that_ends_the_process_has_not_passed() -> None:
    gold = ROWS[CALC]["patch"]
    body = "import os, signal\nos.kill(os.getppid(), 9)\nos._exit(0)\n"
    files = dict(json.loads(ROWS[CALC]["files"]))
    path = next(name for name in files if name.endswith("__init__.py"))
    lines = files[path].count("\n")
    patch = f"--- a/{path}\n+++ b/{path}\n@@ -{1 if lines else 0},{lines} +1,{lines + 3} @@\n"
    patch += "".join(f"+{line}\n" for line in body.splitlines())
    patch += "".join(f" {line}\n" for line in files[path].splitlines())
    assert gold
    found = score(swe_bench, sample(CALC), tagged(patch), FinishReason.STOP)
    assert found.outcome is Outcome.WRONG, found
    assert verdict_of(found) is Verdict.UNRESOLVED, found


@pytest.fixture
def clones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clones with the repository of CALC, where the sandbox's user can reach it."""
    folder = tmp_path_factory.mktemp("clones")
    for above in (folder, *folder.parents):
        if above.owner() == Path.home().owner() and above.stat().st_mode & 0o001 == 0:
            above.chmod(above.stat().st_mode | 0o055)
    repository = folder / ROWS[CALC]["repo"].replace("/", "__")
    repository.mkdir()
    for name, content in json.loads(ROWS[CALC]["files"]).items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(content, newline="")
    date = "2024-01-01T00:00:00+0000"
    who = {"NAME": "llmbench", "EMAIL": "llmbench@example.invalid", "DATE": date}
    environment = {
        f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()
    }
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "base"]):
        subprocess.run(
            ["git", "-C", repository, *command],
            check=True,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
        )
    head = subprocess.run(
        ["git", "-C", repository, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert head.stdout.strip() == ROWS[CALC]["base_commit"]
    return folder


@pytest.mark.parametrize(
    ("label", "verdict"),
    [
        ("gold_in_patch_tags", Verdict.UNTESTED),
        ("wrong_context", Verdict.NOT_APPLYING),
        ("path_traversal", Verdict.NOT_APPLYING),
    ],
)
def test_a_clone_at_hand_tells_whether_a_patch_applies(clones: Path, label: str, verdict: Verdict) -> None:
    row = {key: value for key, value in ROWS[CALC].items() if key != "files"}
    (found,) = swe_bench.load([row], {**OPTIONS, "repos_dir": str(clones)}, 0)
    output = next(o for o in OUTPUTS if (o["instance_id"], o["label"]) == (CALC, label))
    judged = score(swe_bench, found, output["output"], FinishReason.STOP)
    assert verdict_of(judged) is verdict, judged
    assert judged.outcome is (Outcome.ERROR if verdict is Verdict.UNTESTED else Outcome.WRONG)


def test_without_a_repository_nothing_is_called_resolved() -> None:
    row = {key: value for key, value in ROWS[CALC].items() if key != "files"}
    (found,) = swe_bench.load([row], OPTIONS, 0)
    judged = score(swe_bench, found, tagged(ROWS[CALC]["patch"]), FinishReason.STOP)
    assert (judged.outcome, verdict_of(judged)) == (Outcome.ERROR, Verdict.UNCHECKED)
