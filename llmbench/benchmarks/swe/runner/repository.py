"""The repository of a patch: made of the data's files, patched, and given back what belongs to the tests.

It is made in the folder `repository` of the folder to work in, which must be empty.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

STEERING = {
    "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml",
    "sitecustomize.py", "usercustomize.py", ".gitattributes",
}  # fmt: skip
"""Names of files that steer pytest, Python or what git writes: they stay as the repository has them."""
TEST_FOLDERS = {"test", "tests", "e2e", "testing"}
"""What SWE-bench calls test code (swebench/collect/utils.py): no solution of its data touches a path with such a name."""
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


def make(files: Mapping[str, str], folder: Path) -> Git:
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


def check_clone(clone: Path, base_commit: str, folder: Path, patch: Path) -> tuple[str | None, str]:
    """Which command applies the patch to the commit, or None and why not; the clone is neither changed nor checked out.

    git checks in an index of its own; what it refuses is tried with `patch` on a copy of the commit's files.
    """
    git = _git(clone, GIT_INDEX_FILE=str(folder / "index"))
    git("read-tree", base_commit)
    if not git("apply", "--cached", "--check", str(patch), check=False).returncode:
        return " ".join(APPLY[0]), ""
    (folder / "repository").mkdir()
    git("checkout-index", "--all", "--quiet", f"--prefix={folder}/repository/")
    copy = _git(folder / "repository")
    copy("init", "-q", "-b", "main", "--template=")
    copy("add", "-A", "-f")
    copy("commit", "-q", "--allow-empty", "-m", "base")
    return applied(copy, folder, patch)


def applied(git: Git, folder: Path, patch: Path) -> tuple[str | None, str]:
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


@dataclass(frozen=True)
class Gold:
    """The data's own version of the repository: the base with the test patch.

    Attributes:
        git: Runs git with this version as its index.
        files: All paths.
        changed: Paths that the test patch changes, adds or removes.
    """

    git: Git
    files: frozenset[str]
    changed: frozenset[str]

    def modules(self) -> list[str]:
        """Names that files import this version's modules by, where one of its folders is on the path."""
        places = {PurePosixPath(name) for name in self.files if name.endswith(".py")}
        packages = {place.parent for place in places if place.name == "__init__.py"}
        return sorted(
            {place.stem for place in places if place.parent not in packages}
            | {package.name for package in packages if package.parent not in packages}
        )


def gold(git: Git, test_patch: str, folder: Path) -> Gold:
    """The version of the data, found before a patch is applied."""
    aside = _git(folder / "repository", GIT_INDEX_FILE=str(folder / "gold.index"))
    aside("read-tree", "HEAD")
    aside("add", "-A", "-f")  # what the repository's own .gitignore leaves out is there too
    base = aside("write-tree").stdout.decode().strip()
    if test_patch.strip():
        aside("apply", "--cached", "-", content=test_patch.encode())
    tree = aside("write-tree").stdout.decode().strip()
    changed = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, tree).stdout
    files = git("ls-tree", "-r", "-z", "--name-only", tree).stdout
    return Gold(aside, _paths(files), _paths(changed))


def _paths(output: bytes) -> frozenset[str]:
    return frozenset(name for name in output.decode().split("\0") if name)


def restore(tree: Gold, tests: Iterable[str], repository: Path) -> None:
    """Gives back to the data what belongs to the tests: its own version of each file, or none.

    That are files that the test patch changes, files of the tests that must pass, all that stands with these in a folder of
    tests, what steers pytest, and what would make a package of a folder above tests that is none.
    """
    listed = {name.partition("::")[0] for name in tests if not _is_doctest(name)}
    folders = {folder for name in listed & tree.files if (folder := _test_folder(PurePosixPath(name)))}
    present = {
        str(Path(folder, name).relative_to(repository))
        for folder, folders, names in os.walk(repository)
        for name in [*names, *folders]  # a folder, or a link to one, may bear such a name too
        if ".git" not in Path(folder).relative_to(repository).parts
    }
    above = {str(folder / "__init__.py") for name in listed for folder in PurePosixPath(name).parents}
    names = {
        name
        for name in tree.files | present
        if name in tree.changed | listed
        or PurePosixPath(name).name in STEERING
        or not folders.isdisjoint(PurePosixPath(name).parents)
        or (name in above and name not in tree.files)  # pytest imports it, though nothing asks for it
    }
    for name in sorted(names | tree.changed):
        _clear(repository, PurePosixPath(name))
    own = "\0".join(sorted(names & tree.files))
    tree.git("checkout-index", "-f", "-z", "--stdin", content=own.encode())


def _is_doctest(name: str) -> bool:
    """Whether an id is that of a module's doctest (`pkg/mod.py::pkg.mod.f`), which stands in the code that a patch repairs."""
    return "." in name.partition("::")[2].partition("[")[0]


def _test_folder(name: PurePosixPath) -> PurePosixPath | None:
    """The innermost folder of tests that a file is in."""
    return next((folder for folder in name.parents if folder.name in TEST_FOLDERS), None)


def _clear(repository: Path, name: PurePosixPath) -> None:
    """Makes room for a file: removes what stands there or above it and is not what the file needs there; follows no link."""
    for part in [*reversed(name.parents[:-1]), name]:
        path = repository / part
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir() and part == name:
            shutil.rmtree(path)
