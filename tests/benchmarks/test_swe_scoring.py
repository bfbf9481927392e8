"""Patches judged in the real sandbox: whether they apply, and whether the repository's own tests pass."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llmbench.benchmarks.base import score
from llmbench.benchmarks.swe.scoring import PatchVerdict, verdict_of
from llmbench.benchmarks.swe_bench import SWEBench
from llmbench.records import FinishReason, Outcome, Sample
from tests.helpers.swe import CALC, OPTIONS, OUTPUTS, ROWS, new_file, tagged

pytestmark = pytest.mark.usefixtures("sandboxed")


def sample(name: str, **changes: Any) -> Sample:  # noqa: ANN401 - fields of the row
    (found,) = SWEBench().load([{**ROWS[name], **changes}], OPTIONS, 0)
    return found


@pytest.mark.parametrize("output", OUTPUTS, ids=[f"{o['instance_id']}-{o['label']}" for o in OUTPUTS])
def test_the_synthetic_outputs(output: dict[str, Any]) -> None:
    found = score(SWEBench(), sample(output["instance_id"]), output["output"], FinishReason.STOP)
    assert (found.answer is not None) == output["expected_patch_found"]
    verdict = verdict_of(found)
    applies = verdict in {PatchVerdict.RESOLVED, PatchVerdict.UNRESOLVED}
    assert applies == output["expected_applies"], found.explanation
    assert (verdict is PatchVerdict.RESOLVED) == output["expected_resolved"], found.explanation
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
    found = score(SWEBench(), sample(CALC), tagged(new_file(path, content)), FinishReason.STOP)
    assert found.outcome is Outcome.WRONG
    assert verdict_of(found) is PatchVerdict.UNRESOLVED


PASSES = """
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    report.outcome = "passed"
"""
"""A plugin that has every test pass."""
ENTRY_POINTS = "[pytest11]\nforger = forger\n"
METADATA = "Metadata-Version: 2.1\nName: forger\nVersion: 1\n"
SHADOW = "import calclib.stats\ncalclib.median = lambda values: 2.5\n"
GUARDED = {
    **ROWS[CALC],
    "test_patch": "",
    "PASS_TO_PASS": "[]",
    "FAIL_TO_PASS": '["tests/test_stats.py::test_median_even"]',
    "files": json.dumps({
        **json.loads(ROWS[CALC]["files"]),
        "tests/__init__.py": "",
        "tests/helpers.py": "def same(found, expected):\n    assert found == expected\n",
        "tests/test_stats.py": (
            "import colorsys\nimport calclib\nfrom tests.helpers import same\n\n"
            "def test_median_even():\n    same(calclib.median([4, 1, 3, 2]), 2.5)\n"
        ),
        "setup.cfg": "[tool:pytest]\npythonpath = lib\n",
    }),
}  # fmt: skip
"""Its failing test is in a file that no test patch touches, with a helper beside it."""
FORGED = {
    "the test is emptied": {"tests/test_stats.py": "def test_median_even():\n    pass\n"},
    "the test's helper is emptied": {"tests/helpers.py": "def same(*_):\n    pass\n"},
    "a plugin by dist-info": {
        "forger-1.dist-info/METADATA": METADATA, "forger-1.dist-info/entry_points.txt": ENTRY_POINTS, "forger.py": PASSES,
    },
    "a plugin by egg-info": {
        "forger.egg-info/PKG-INFO": METADATA, "forger.egg-info/entry_points.txt": ENTRY_POINTS, "forger.py": PASSES,
    },
    "a module at the root in place of Python's": {"colorsys.py": SHADOW},
    "a package at the root in place of Python's": {"colorsys/__init__.py": SHADOW},
    "a module on the settings' path in place of Python's": {"lib/colorsys.py": SHADOW},
    "a module beside the tests in place of Python's": {"tests/colorsys.py": SHADOW},
    "a package of the root": {"__init__.py": SHADOW},
    "a conftest in a folder": {"tests/conftest.py": PASSES},
    "settings that load a plugin": {"pytest.ini": "[pytest]\naddopts = -p forger\n", "forger.py": PASSES},
    "other settings": {"setup.cfg": "[tool:pytest]\npythonpath = .\naddopts = -p forger\n", "forger.py": PASSES},
}  # fmt: skip


def written(files: dict[str, str], old: dict[str, str]) -> str:
    """A patch after which files hold this, whatever they held."""
    return "".join(
        (
            f"--- a/{path}\n+++ b/{path}\n@@ -1,{len(before)} +1,{text.count(chr(10))} @@\n"
            + "".join(f"-{line}\n" for line in before)
            + "".join(f"+{line}\n" for line in text.splitlines())
        )
        if (before := old.get(path, "").splitlines())
        else new_file(path, text)
        for path, text in files.items()
    )


@pytest.mark.parametrize("case", FORGED)
def test_no_patch_chooses_what_its_tests_are(case: str) -> None:
    patch = written(FORGED[case], json.loads(GUARDED["files"]))
    (row,) = SWEBench().load([GUARDED], OPTIONS, 0)
    found = score(SWEBench(), row, tagged(patch), FinishReason.STOP)
    assert verdict_of(found) is PatchVerdict.UNRESOLVED, found


@pytest.mark.parametrize("first", [0, 1])
def test_what_a_right_patch_does_to_its_tests_beside_does_not_count_against_it(first: int) -> None:
    """Every second forgery together, so that a module and a package in place of the same one are apart."""
    files = {path: text for case in [*FORGED.values()][first::2] for path, text in case.items()}
    patch = ROWS[CALC]["patch"] + written(files, json.loads(GUARDED["files"]))
    (row,) = SWEBench().load([GUARDED], OPTIONS, 0)
    found = score(SWEBench(), row, tagged(patch), FinishReason.STOP)
    assert verdict_of(found) is PatchVerdict.RESOLVED, found


ORDINARY = {
    "a package at the root named like Python's": {
        "test/__init__.py": "", "test/test_x.py": "import test.test_x\n\ndef test_x():\n    assert __name__ == 'test.test_x'\n",
    },
    "a module at the root named like Python's": {
        "colorsys.py": "x = 1\n", "tests/test_x.py": "import colorsys\n\ndef test_x():\n    assert colorsys.x == 1\n",
    },
    "a file found from the root": {"tests/test_x.py": "def test_x():\n    assert open('README.md').read()\n"},
    "a helper beside the tests": {
        "tests/helper.py": "x = 1\n", "tests/test_x.py": "import helper\n\ndef test_x():\n    assert helper.x == 1\n",
    },
    "a helper that git leaves out": {
        ".gitignore": "local.py\n", "tests/local.py": "x = 1\n", "tests/test_x.py": "from local import x\n\ndef test_x():\n    assert x\n",
    },
    "a source folder, and a plugin by conftest": {
        "src/pkg/__init__.py": "", "conftest.py": "import sys\nsys.path.insert(0, 'src')\npytest_plugins = ['extra']\n",
        "extra.py": "import pytest\n\n@pytest.fixture\ndef one():\n    return 1\n", "tests/test_x.py": "import pkg\n\ndef test_x(one):\n    assert one\n",
    },
}  # fmt: skip


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_repositories_are_tested_as_they_are(case: str) -> None:
    files = {**json.loads(ROWS[CALC]["files"]), **ORDINARY[case]}
    tests = [f"{name}::test_x" for name in ORDINARY[case] if name.endswith("test_x.py")]
    row = sample(CALC, files=json.dumps(files), PASS_TO_PASS=json.dumps(tests))
    found = score(SWEBench(), row, tagged(ROWS[CALC]["patch"]), FinishReason.STOP)
    assert verdict_of(found) is PatchVerdict.RESOLVED, found


def test_a_doctest_stands_in_the_code_that_is_repaired() -> None:
    code = 'def f():\n    """\n    >>> f()\n    2\n    """\n'
    files = {
        "pkg/__init__.py": "",
        "pkg/doc.py": code,
        "pytest.ini": "[pytest]\naddopts = --doctest-modules\n",
    }
    row = sample(
        CALC,
        files=json.dumps(files),
        test_patch="",
        FAIL_TO_PASS='["pkg/doc.py::pkg.doc.f"]',
        PASS_TO_PASS="[]",
    )
    patch = written({"pkg/doc.py": f"{code}    return 2\n"}, files)
    found = score(SWEBench(), row, tagged(patch), FinishReason.STOP)
    assert verdict_of(found) is PatchVerdict.RESOLVED, found


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
    found = score(SWEBench(), sample(CALC), tagged(patch), FinishReason.STOP)
    assert found.outcome is Outcome.WRONG, found
    assert verdict_of(found) is PatchVerdict.UNRESOLVED, found


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
        ("gold_in_patch_tags", PatchVerdict.UNTESTED),
        ("wrong_context", PatchVerdict.NOT_APPLYING),
        ("path_traversal", PatchVerdict.NOT_APPLYING),
    ],
)
def test_a_clone_at_hand_tells_whether_a_patch_applies(
    clones: Path, label: str, verdict: PatchVerdict
) -> None:
    row = {key: value for key, value in ROWS[CALC].items() if key != "files"}
    (found,) = SWEBench().load([row], {**OPTIONS, "repos_dir": str(clones)}, 0)
    output = next(o for o in OUTPUTS if (o["instance_id"], o["label"]) == (CALC, label))
    judged = score(SWEBench(), found, output["output"], FinishReason.STOP)
    assert verdict_of(judged) is verdict, judged
    assert judged.outcome is (Outcome.ERROR if verdict is PatchVerdict.UNTESTED else Outcome.WRONG)


def test_without_a_repository_nothing_is_called_resolved() -> None:
    row = {key: value for key, value in ROWS[CALC].items() if key != "files"}
    (found,) = SWEBench().load([row], OPTIONS, 0)
    judged = score(SWEBench(), found, tagged(ROWS[CALC]["patch"]), FinishReason.STOP)
    assert (judged.outcome, verdict_of(judged)) == (Outcome.ERROR, PatchVerdict.UNCHECKED)
