"""Judges one patch: applies it to a repository made of the data's files, and runs the data's tests.

The order of things is the official harness's with stricter rules: the patch is applied by the first of its commands that
succeeds, each from the base commit; files that belong to the tests, or that steer pytest or Python, then get the data's
versions, whatever the patch made of them (`repository.restore`). Every
test of FAIL_TO_PASS and PASS_TO_PASS must be seen to pass: a run that ends early, by exit status 0 too, has not passed.
A patch's code shares its process with pytest, so that code written to forge reports could: that no harness can tell.
"""

import contextlib
import ctypes
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .repository import WHY_CHARACTERS, BadJobError, Gold, applied, check_clone, gold, make, restore


def judge(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The finding on one patch.

    Args:
        job: `patch`; either `files` (path to content) or `repository` (folder of a clone) with `base_commit`; with files
            also `test_patch` and `tests`, the ids that must pass: without tests none are run.
        folder: An empty folder to work in.

    Returns:
        `applies` (None: could not be checked), `applied_with` (the command that did), `passed` and `failed`, lists of test ids
        (None: no tests were run), and `why`.
    """
    # PR_SET_DUMPABLE: the tests' process cannot read or trace this one.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    patch = folder / "model.patch"
    patch.write_bytes(job["patch"].encode("utf-8", "replace"))
    try:
        if job.get("files") is None:
            command, why = check_clone(Path(job["repository"]), job["base_commit"], folder, patch)
            return _finding(applies=command is not None, applied_with=command, why=why)
        git = make(job["files"], folder)
        tests = job.get("tests") or []
        tree = gold(git, job["test_patch"], folder) if tests else None
        command, why = applied(git, folder, patch)
        if command is None or tree is None:
            return _finding(applies=command is not None, applied_with=command, why=why)
        restore(tree, tests, folder / "repository")
    except BadJobError as error:
        return _finding(applies=None, why=str(error))
    return {**_tested(tests, tree, folder), "applied_with": command}


def _finding(why: str = "", **known: object) -> dict[str, Any]:
    unknown = dict.fromkeys(("applies", "applied_with", "passed", "failed"))
    return {**unknown, **known, "why": why[:WHY_CHARACTERS]}


def _tested(ids: Sequence[str], tree: Gold, folder: Path) -> dict[str, Any]:
    """Runs the files of these tests in a process of its own; a test that was not seen to pass has failed."""
    report, mark = folder / "report", secrets.token_hex(16)
    report.touch()
    order = {
        "report": str(report),
        "mark": mark,
        "repository": str(folder / "repository"),
        "modules": tree.modules(),
        "files": sorted({name.partition("::")[0] for name in ids}),
    }
    script = str(Path(__file__).with_name("run_tests.py"))
    # Compiled code comes from nowhere: what lies in the repository's `__pycache__` may belong to another source.
    command = [sys.executable, "-I", "-B", "-X", f"pycache_prefix={folder / 'compiled'}", script]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    with (folder / "output").open("wb") as output:
        subprocess.run(
            command,
            input=json.dumps(order).encode(),
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            check=False,
        )
    outcomes: dict[str, str] = {}
    for line in report.read_bytes().decode("utf-8", "replace").splitlines():
        said, _, rest = line.partition(" ")
        outcome, _, name = rest.partition(" ")
        if said == mark and outcomes.get(name) != "failed":
            outcomes[name] = outcome
    if "no-pytest" in outcomes.values():
        return _finding(applies=True, why="pytest cannot be imported by the Python that runs llmbench")
    passed = [name for name in ids if outcomes.get(name) == "passed"]
    failed = [name for name in ids if outcomes.get(name) != "passed"]
    why = f"failed: {', '.join(failed)}" if failed else ""
    return _finding(why, applies=True, passed=passed, failed=failed)
