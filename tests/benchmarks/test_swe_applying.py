"""Which patches apply, with which of the official harness's commands, and which do not; in tags, in a fence and in the open."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmbench import answers
from llmbench.benchmarks.base import score
from llmbench.benchmarks.swe.runner import judge
from llmbench.benchmarks.swe.scoring import PatchVerdict, verdict_of
from llmbench.benchmarks.swe_bench import SWEBench
from llmbench.records import FinishReason
from tests.helpers.paths import CASES
from tests.helpers.swe import OPTIONS

PROGRAMS = CASES / "programs.jsonl"
ROW: dict[str, Any] = next(
    case["row"] for case in map(json.loads, PROGRAMS.read_text().splitlines()) if case["id"] == "swe1-016"
)
WINDOWS = {**ROW, "files": json.dumps({name: text.replace("\n", "\r\n") if name == "pkg/mod.py" else text for name, text in json.loads(ROW["files"]).items()})}  # fmt: skip
HEADER = "diff --git a/pkg/mod.py b/pkg/mod.py\n--- a/pkg/mod.py\n+++ b/pkg/mod.py\n"
HUNK = """@@ -6,7 +6,7 @@ def add(a, b):
 \n     Two numbers.
     \"\"\"
-    return a - b
+    return a + b
 \n \n def name():
"""
CHANGE = "-    return a - b\n+    return a + b\n"
NEW = "diff --git a/pkg/x.py b/pkg/x.py\n--- /dev/null\n+++ b/pkg/x.py\n@@ -0,0 +1 @@\n+a = 1\n"
MARKED = HUNK.replace("\n", "\r\n").replace("b):\r\n", "b):\n")
"""The hunk with a CRLF file's own line ends."""
FORMS = ("<patch>\n{}</patch>", "Fix:\n```diff\n{}```\nDone.", "The fix:\n\n{}")
GIT, GNU = "git apply --verbose", "patch --batch --fuzz=5 -p1 -i"
PATCHES = {
    "as git writes it": (HEADER + HUNK, GIT),
    "all blank lines without their space": (HEADER + HUNK.replace("\n \n", "\n\n").replace("\n \n", "\n\n"), GIT),
    "the last two lines blank": (f"{HEADER}@@ -9,3 +9,3 @@\n{CHANGE}\n\n", GIT),
    "the last two lines blank, and more": (f"{HEADER}@@ -9,3 +9,3 @@\n{CHANGE}\n\n\n\n\n", GIT),
    "the last blank line lost": (f'{HEADER}@@ -7,5 +7,5 @@\n     Two numbers.\n     """\n{CHANGE}\n', GNU),
    "both last blank lines lost": (f"{HEADER}@@ -9,3 +9,3 @@\n{CHANGE}", GNU),
    "another place": (HEADER + HUNK.replace("-6,7 +6,7", "-26,7 +26,7"), GIT),
    "lines counted wrong": (HEADER + HUNK.replace("-6,7 +6,7", "-6,9 +6,9"), GNU),
    "no line that begins with diff": (HEADER.partition("\n")[2] + HUNK, GIT),
    "the first line of context another": (HEADER + HUNK.replace("\n \n     Two", "\n x\n     Two"), GNU),
    "two lines of context others": (HEADER + HUNK.replace("\n \n     Two", "\n x\n     2"), GNU),
    "a new file without a mode": (HEADER + HUNK + NEW, GNU),
    "a new file without a mode, first": (NEW + HEADER + HUNK, GNU),
    "a new file under its own old name": (HEADER + HUNK + NEW.replace("--- /dev/null", "--- a/pkg/x.py"), GNU),
    "a new file with neither mode nor diff line": (HEADER + HUNK + NEW.partition("\n")[2], GIT),
    "added and removed exchanged": (f'{HEADER}@@ -8,2 +8,2 @@\n     """\n-    return a + b\n+    return a - b\n', GNU),
    "prose behind it": (f"{HEADER}{HUNK}\nThis adds instead of subtracting.\n", GIT),
}  # fmt: skip
REFUSED = {
    "the nearest line of context another": HEADER + HUNK.replace('"""', "'''"),
    "the removed line another": HEADER + HUNK.replace("a - b", "a  - b"),
    "no line numbers": HEADER + HUNK.replace("@@ -6,7 +6,7 @@ def add(a, b):", "@@"),
    "a new file that is there": HEADER + HUNK + NEW.replace("pkg/x.py", "README.md"),
    "a file that is not there": (HEADER + HUNK).replace("pkg/mod.py", "pkg/mode.py"),
    "a file outside": HEADER + HUNK + NEW.replace("pkg/x.py", "../x.py"),
    "line ends that the file has not": HEADER + MARKED,
}


def judged(row: dict[str, Any], text: str) -> tuple[PatchVerdict | None, str]:
    (sample,) = SWEBench().load([row], OPTIONS, 0)
    found = score(SWEBench(), sample, text, FinishReason.STOP)
    return verdict_of(found), found.explanation


def applied(patch: str, folder: Path) -> tuple[Any, Any]:
    """Whether it applies, and with which command: what runs in the sandbox, here without one."""
    job = {"patch": patch, "files": json.loads(ROW["files"]), "test_patch": "", "tests": []}
    found = judge.judge(job, folder)
    return found["applies"], found["applied_with"]


@pytest.mark.parametrize("case", PATCHES)
def test_patches_that_apply(case: str, tmp_path: Path) -> None:
    patch, command = PATCHES[case]
    assert applied(patch, tmp_path) == (True, command)
    assert "return a + b" in (tmp_path / "repository" / "pkg" / "mod.py").read_text()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("patch", [*(patch for patch, _ in PATCHES.values()), HEADER + MARKED])
def test_every_form_gives_the_patch_as_it_was_written(patch: str, form: str) -> None:
    assert answers.patch(form.format(patch)) == patch


@pytest.mark.parametrize("case", REFUSED)
def test_patches_that_do_not_apply(case: str, tmp_path: Path) -> None:
    assert applied(REFUSED[case], tmp_path) == (False, None)


@pytest.mark.usefixtures("sandboxed")
def test_line_ends_of_the_file() -> None:
    assert judged(WINDOWS, FORMS[1].format(HEADER + MARKED))[0] is PatchVerdict.RESOLVED
    assert judged(WINDOWS, FORMS[1].format(HEADER + HUNK))[0] is PatchVerdict.NOT_APPLYING
    assert (
        judged(ROW, FORMS[1].format(HEADER + HUNK).replace("\n", "\r\n"))[0] is PatchVerdict.RESOLVED
    )  # the text's own


@pytest.mark.usefixtures("sandboxed")
def test_a_patch_that_does_not_repair_is_not_resolved() -> None:
    assert judged(ROW, f"<patch>\n{NEW}</patch>")[0] is PatchVerdict.UNRESOLVED
    to_git = NEW.replace("pkg/x.py", ".git/config").replace("a = 1", "[core]")
    assert judged(ROW, f"<patch>\n{to_git}</patch>")[0] is PatchVerdict.UNRESOLVED


def test_without_gnu_patch_the_reason_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name == "patch" else f"/usr/bin/{name}")
    job = {"patch": HEADER + HUNK + NEW, "files": json.loads(ROW["files"]), "test_patch": "", "tests": []}
    found = judge.judge(job, tmp_path)
    assert found["applies"] is False
    assert "patch is not installed here" in found["why"]
    clean = (tmp_path / "repository" / "pkg" / "mod.py").read_text()
    assert "return a - b" in clean  # nothing of a patch that was refused stays
