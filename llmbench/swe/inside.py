"""Judges one patch; runs inside the sandbox, as a script with nothing but the standard library, git and pytest.

Standard input: a job as JSON (see `judge`). Standard output: its last line is the finding as JSON. The repository is made in
the current folder, which must be empty. What the patch's code does happens in a process of its own.

The order of things is the official harness's with stricter rules: the patch is applied by the first of its commands that
succeeds, each from the base commit; the
files of the test patch then get its own versions, whatever the patch made of them; so do the files that steer pytest. Every
test of FAIL_TO_PASS and PASS_TO_PASS must be seen to pass: a run that ends early, by exit status 0 too, has not passed.
A patch's code shares its process with pytest, so that code written to forge reports could: that no harness can tell.
"""

import contextlib
import ctypes
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

STEERING = {
    "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml",
    "sitecustomize.py", "usercustomize.py",
}  # fmt: skip
"""Names of files that steer pytest or Python: they stay as the repository has them."""
APPLY = (
    ("git", "apply", "--verbose"),
    ("git", "apply", "--verbose", "--reject"),
    ("patch", "--batch", "--fuzz=5", "-p1", "-i"),
)
"""The official harness's commands in its order (swebench/harness/run_evaluation.py), to which the patch's path is added.

Each begins from the base commit here. There, the second leaves what it could apply, and `patch` takes that for a patch applied
before and reverses it: the harness then tests the files without the patch and says that it was applied.
"""
MOST_FUZZ = 2
"""Lines of context that may differ: GNU patch's own limit. With more, a hunk of the usual three lines of context has none left.

Stricter than the official harness, whose limit is 5: there, a patch may change code that its author never saw.
"""
WHY_CHARACTERS = 300
IDENTITY = {"NAME": "llmbench", "EMAIL": "llmbench@example.invalid", "DATE": "2024-01-01T00:00:00+0000"}
"""Who commits a row's files, and when: `base_commit` of such rows follows from it."""


Done = subprocess.CompletedProcess[bytes]
Git = Callable[..., Done]


class BadJobError(Exception):
    """The data, not the patch, cannot be used."""


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
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(
            4, 0, 0, 0, 0
        )  # PR_SET_DUMPABLE: the tests' process cannot read or trace this one
    patch = folder / "model.patch"
    patch.write_bytes(job["patch"].encode("utf-8", "replace"))
    try:
        if job.get("files") is None:
            return _applies_to_clone(job, folder, patch)
        git = _repository(job["files"], folder)
        gold = _gold(git, job["test_patch"], folder) if job.get("tests") else None
        command, why = _apply(git, folder, patch)
        if command is None or gold is None:
            return _finding(applies=command is not None, applied_with=command, why=why)
        _restore(git, gold, folder / "repository")
    except BadJobError as error:
        return _finding(applies=None, why=str(error))
    return {**_tested(job["tests"], folder), "applied_with": command}


def _finding(
    *,
    applies: bool | None,
    applied_with: str | None = None,
    passed: list[str] | None = None,
    failed: list[str] | None = None,
    why: str = "",
) -> dict[str, Any]:
    found = {"applies": applies, "applied_with": applied_with, "passed": passed, "failed": failed}
    return {**found, "why": why[:WHY_CHARACTERS]}


def _last_line(done: Done) -> str:
    """What git says last, which is what matters, with nothing that could steer a terminal."""
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    first = next(
        (line for line in lines if line.startswith("error:")), lines[0] if lines else "git says nothing"
    )
    return "".join(c if c.isprintable() else "?" for c in first)


def _git(repository: Path, **environment: str) -> Git:
    """A function that runs git there: without any configuration of the user's or the machine's, without hooks."""
    identity = {
        f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in IDENTITY.items()
    }
    clean = {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": str(Path(repository).parent), **identity, **environment,
    }  # fmt: skip
    settings = (
        "safe.directory=*",
        f"core.hooksPath={os.devnull}",
        "core.autocrlf=false",
        "core.fsmonitor=false",
    )
    options = [word for setting in settings for word in ("-c", setting)]

    def run(*arguments: str, check: bool = True, content: bytes | None = None) -> Done:
        command = ["git", *options, "-C", str(repository), *arguments]
        done = subprocess.run(command, env=clean, input=content, capture_output=True, check=False)
        if check and done.returncode:
            raise BadJobError(f"git {arguments[0]} fails: {_last_line(done)}")
        return done

    return run


def _repository(files: Mapping[str, str], folder: Path) -> Git:
    """A repository of one commit, on branch main."""
    repository = folder / "repository"
    repository.mkdir()
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or path.parts[0] == ".git":
            raise BadJobError(f"the data has a file {name!r}, which is not in the repository")
        try:
            (repository / path).parent.mkdir(parents=True, exist_ok=True)
            (repository / path).write_text(content, encoding="utf-8", newline="")
            (repository / path).chmod(0o644)
        except (OSError, ValueError) as error:
            raise BadJobError(
                f"the data has a file {name[:WHY_CHARACTERS]!r}, which cannot be made"
            ) from error
    git = _git(repository)
    git("init", "-q", "-b", "main", "--template=")
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", "base")
    return git


def _applies_to_clone(job: Mapping[str, Any], folder: Path, patch: Path) -> dict[str, Any]:
    """Checks against the commit itself, in an index of its own: the clone is neither changed nor checked out.

    What git refuses is tried with `patch` on a copy of the commit's files.
    """
    git = _git(Path(job["repository"]), GIT_INDEX_FILE=str(folder / "index"))
    git("read-tree", job["base_commit"])
    if not git("apply", "--cached", "--check", str(patch), check=False).returncode:
        return _finding(applies=True, applied_with=" ".join(APPLY[0]))
    (folder / "repository").mkdir()
    git("checkout-index", "--all", "--quiet", f"--prefix={folder}/repository/")
    copy = _git(folder / "repository")
    copy("init", "-q", "-b", "main", "--template=")
    copy("add", "-A", "-f")
    copy("commit", "-q", "--allow-empty", "-m", "base")
    command, why = _apply(copy, folder, patch)
    return _finding(applies=command is not None, applied_with=command, why=why)


def _apply(git: Git, folder: Path, patch: Path) -> tuple[str | None, str]:
    """Applies the patch; which command did, or None and what git said first."""
    why = ""
    for command in APPLY:
        if shutil.which(command[0]) is None:
            why += f"; {command[0]} is not installed here, so that it could not be tried"
            continue
        done = _applied_by(command, git, folder, patch)
        fuzz = max(map(int, re.findall(rb"with fuzz (\d+)", done.stdout)), default=0)
        if not done.returncode and fuzz <= MOST_FUZZ:
            return " ".join(command), ""
        why = why or _last_line(done)
        if not done.returncode:
            why += f"; {command[0]} finds a place for it only with fuzz {fuzz}"
        if command != APPLY[0]:  # which applies all or nothing
            git("reset", "-q", "--hard")
            git("clean", "-q", "-f", "-f", "-d")
    return None, why


def _applied_by(command: Sequence[str], git: Git, folder: Path, patch: Path) -> Done:
    """Runs one command; `patch` would write into `.git`, too, and so does not see it."""
    if command[0] == "git":
        return git(*command[1:], str(patch), check=False)
    repository = folder / "repository"
    (repository / ".git").rename(folder / "git")
    try:
        return subprocess.run([*command, str(patch)], cwd=repository, capture_output=True, check=False)
    finally:
        _clear(repository, PurePosixPath(".git"))
        (folder / "git").rename(repository / ".git")


def _gold(git: Git, test_patch: str, folder: Path) -> tuple[str, list[str]]:
    """The tree that the test patch makes of the base, and the paths it changes there."""
    index = {"GIT_INDEX_FILE": str(folder / "gold.index")}
    aside = _git(folder / "repository", **index)
    aside("read-tree", "HEAD")
    if test_patch.strip():
        aside("apply", "--cached", "-", content=test_patch.encode())
    tree = aside("write-tree").stdout.decode().strip()
    changed = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", "HEAD", tree).stdout
    return tree, [name for name in changed.decode().split("\0") if name]


def _restore(git: Git, gold: tuple[str, list[str]], repository: Path) -> None:
    """Gives the tests, and what steers pytest, back to the data: in the gold tree's version, or not at all."""
    tree, changed = gold
    known = set(git("ls-tree", "-r", "-z", "--name-only", tree).stdout.decode().split("\0"))
    present = {
        str(Path(folder, name).relative_to(repository))
        for folder, folders, names in os.walk(repository)
        for name in [*names, *folders]  # a folder, or a link to one, may bear such a name too
        if ".git" not in Path(folder).relative_to(repository).parts
    }
    steering = {name for name in known | present if PurePosixPath(name).name in STEERING}
    for name in sorted(steering | set(changed)):
        _clear(repository, PurePosixPath(name))
        if name in known:
            git("checkout", "-q", "-f", tree, "--", f":(literal){name}")


def _clear(repository: Path, name: PurePosixPath) -> None:
    """Makes room for a file: removes what stands there or above it and is not what the file needs there; follows no link."""
    for part in [*reversed(name.parents[:-1]), name]:
        path = repository / part
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir() and part == name:
            shutil.rmtree(path)


def _tested(ids: Sequence[str], folder: Path) -> dict[str, Any]:
    """Runs the files of these tests in a process of its own; a test that was not seen to pass has failed."""
    report, mark = folder / "report", secrets.token_hex(16)
    report.touch()
    order = {"report": str(report), "mark": mark, "files": sorted({name.partition("::")[0] for name in ids})}
    command = [sys.executable, "-I", "-B", __file__, "tests"]
    with (folder / "output").open("wb") as output:
        subprocess.run(
            command,
            input=json.dumps(order).encode(),
            stdout=output,
            stderr=output,
            cwd=folder / "repository",
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
    return _finding(
        applies=True, passed=passed, failed=failed, why=f"failed: {', '.join(failed)}" if failed else ""
    )


class Reporter:
    """A pytest plugin that writes a line for every test and each of its bad phases."""

    def __init__(self, stream: TextIO, mark: str) -> None:
        """Takes where to write, and what marks the lines as its own."""
        self.stream, self.mark = stream, mark

    def say(self, outcome: str, name: str) -> None:
        """Writes a line."""
        self.stream.write(f"{self.mark} {outcome} {name}\n")
        self.stream.flush()

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401 - pytest's own report
        """What pytest calls with each phase of a test."""
        expected = (
            hasattr(report, "wasxfail") and report.outcome == "skipped"
        )  # an expected failure counts as passing
        if report.outcome == "failed" or report.when == "call":
            self.say("passed" if expected else report.outcome, report.nodeid)


def run_tests() -> None:
    """In the process that runs the patch's code: pytest is imported before anything of the repository can be."""
    order = json.load(sys.stdin)
    with Path(order["report"]).open("a", encoding="utf-8") as stream:
        reporter = Reporter(stream, order["mark"])
        sys.path.append("/packages")  # where the sandbox has them
        try:
            import pytest
        except ImportError:
            reporter.say("no-pytest", "-")
            return
        sys.path.insert(0, str(Path.cwd()))  # as `python -m pytest` has it
        pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir=.", *order["files"]], plugins=[reporter])


if __name__ == "__main__":
    if sys.argv[1:] == ["tests"]:
        run_tests()
    else:
        sys.stdout.write("\n" + json.dumps(judge(json.load(sys.stdin), Path.cwd())) + "\n")
