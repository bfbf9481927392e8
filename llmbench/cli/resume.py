"""What `resume=FOLDER` stands for: the command that began the run or the sweep, with what is typed beside it.

The command is restored before Hydra composes, flags and all, and in the folder it was typed in, so that relative paths mean what they meant; those typed beside
`resume` mean what they do where they are typed.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from llmbench.cli.job import RUNS_DIR, written
from llmbench.config.custom import HUB
from llmbench.config.schema import RETIRED
from llmbench.errors import ConfigError
from llmbench.results.attempts import moment
from llmbench.results.manifest import BEGUN, JOURNAL, MANIFEST, SUMMARY, Manifest, read_record
from llmbench.results.summary import Summary
from llmbench.system.files import expanded
from llmbench.system.redaction import HIDDEN
from llmbench.system.shell import quoted, unquoted
from llmbench.system.text import nearest, suggest

LAST = "last"
SETTING = "resume="
MULTI = "multi"
PLACES = ("hydra.run.dir", "hydra.sweep.dir")
LAUNCHER = re.compile(r"hydra[./]launcher\b")
PATH_SETTINGS = re.compile(
    r"(hydra\.(run|sweep)\.dir|model\.(path|chat_template|lora)|runs_dir|custom\.data|stop_when\.compare|benchmarks\.\w+\.(data_files|options\.repos_dir))=(?P<value>.+)"
)
"""Settings whose values are paths, whatever characters are in them."""
STARTS_A_SWEEP = re.compile(r"-m$|--multirun$|\+?(sweep|ablation)=")


def expand(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments of the run or sweep that `resume` names, with the typed ones; changes into the folder where it was begun.

    Without `resume`, or where a sweep is typed as a whole beside it, they stay as they are.

    Raises:
        ConfigError: There is nothing to resume there.
        RunError: What is there cannot be read.
    """
    named = [a.lstrip("+") for a in arguments if a.lstrip("+").startswith(SETTING)]
    if not named or named[-1] == f"{SETTING}null":
        return list(arguments)
    if named[-1] == SETTING:
        raise ConfigError("resume= names nothing; give it the folder of a run or a sweep, or last.")
    typed = [a for a in arguments if not a.lstrip("+").startswith(SETTING)]
    name = unquoted(named[-1].removeprefix(SETTING))
    folder = last(typed) if name == LAST else expanded(name, ConfigError, "resume")
    refuse_interpolation(str(folder), f"resume={folder}")
    typed = [from_here(a) for a in typed if not _names_its_place(a, folder)]
    whole = any(STARTS_A_SWEEP.match(a) for a in typed)
    if whole:
        if (folder / MANIFEST).is_file():
            raise ConfigError(f"{folder} holds a single run; resume it without -m, sweep= or ablation=.")
        return [*typed, SETTING + quoted(str(folder))]
    folder = folder.absolute()
    if (folder / BEGUN).is_file():
        begun = read_record(folder / BEGUN, Manifest)
        told = _given(begun, folder)
        _refuse_settings_of_a_sweep(folder, told, typed)
        restored = join(told, typed)
        added = [SETTING + quoted(str(folder))]
    elif (folder / MANIFEST).is_file():
        begun = read_record(folder / MANIFEST, Manifest)
        if begun.sweep:
            sweep = folder.parent if (folder.parent / BEGUN).is_file() else begun.sweep
            raise ConfigError(f"{folder} is a job of a sweep; resume={sweep} goes on with that.")
        restored = join(_given(begun, folder), typed)
        added = [f"hydra.run.dir={quoted(str(folder))}", SETTING + quoted(str(folder))]
    else:
        raise ConfigError(_nothing(folder))
    if begun.directory is not None and Path(begun.directory).is_dir():
        os.chdir(begun.directory)
    flags = [a for a in restored if not _is_setting(a)]  # Hydra takes them only before the settings
    return [*flags, *(a for a in restored if _is_setting(a)), *added]


def _names_its_place(argument: str, folder: Path) -> bool:
    """Whether an argument says where the run or sweep is, as `resume` does already.

    A name that Hydra has yet to fill in, as in `runs/${now:%H-%M}`, counts as the same: it stands in the command of a sweep
    that goes on in a new process.
    """
    if not _is_setting(argument) or _key(argument) not in PLACES:
        return False
    value = unquoted(argument.partition("=")[2])
    if "${" not in value and expanded(value, ConfigError, _key(argument)).resolve() != folder.resolve():
        raise ConfigError(
            f"{argument} is refused: resume={folder} goes on in that folder; leave it out, or move the folder first."
        )
    return True


def from_here(argument: str) -> str:
    """Returns the argument with a relative path made absolute: it was typed here, wherever it is used."""
    match = PATH_SETTINGS.fullmatch(argument.lstrip("+"))
    value = unquoted(match["value"]) if match else ""
    if not value or value.startswith(("~", "/", HUB)) or value == "null" or "${" in value:
        return argument
    return f"{argument.partition('=')[0]}={quoted(str(Path(value).absolute()))}"


def _refuse_settings_of_a_sweep(folder: Path, arguments: Sequence[str], typed: Sequence[str]) -> None:
    """Refuses settings beside a sweep: its jobs are known by theirs, so that others would be other jobs; where they run may change."""
    hidden = {_key(a) for a in arguments if HIDDEN in a} | {"runs_dir"}
    other = next(
        (a for a in typed if _is_setting(a) and _key(a) not in hidden and not LAUNCHER.match(_key(a))), None
    )
    if other is not None:
        raise ConfigError(
            f"{other} cannot change within the sweep in {folder}: its jobs would be others. Leave it out, or begin another sweep."
        )


def _nothing(folder: Path) -> str:
    """Why there is nothing to resume."""
    if not folder.exists():
        siblings = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
        hint = suggest(folder.name, near) if (near := nearest(folder.name, [*siblings, LAST])) else "."
        return f"resume={folder}: there is no such folder{hint}"
    if (folder / JOURNAL).exists():
        return (
            f"resume={folder}: the run there holds no {MANIFEST}, which says how it was begun; "
            "take it from a backup, or begin the run again in another folder."
        )
    return (
        f"resume={folder}: there is neither a run nor a sweep that had begun; the command that was to begin it goes on "
        f"there if it is typed again with hydra.run.dir={quoted(str(folder))}, or hydra.sweep.dir for a sweep."
    )


def join(before: Sequence[str], typed: Sequence[str]) -> list[str]:
    """The arguments of before with the typed ones; of a setting in both the typed value counts.

    Raises:
        ConfigError: One held a secret, which is not kept.
    """
    keys = {_key(a) for a in typed if _is_setting(a)} | {"resume", *PLACES, *RETIRED}
    kept = [a for a in before if not (_is_setting(a) and _key(a) in keys)]
    hidden = next((a for a in kept if HIDDEN in a), None)
    if hidden is not None:
        raise ConfigError(
            f"{hidden}: secrets are not kept with a run; type {_key(hidden)}=… once more beside resume."
        )
    return [*kept, *typed]


def _is_setting(argument: str) -> bool:
    return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))


def _key(argument: str) -> str:
    return argument.lstrip("+~").partition("=")[0]


def last(typed: Sequence[str]) -> Path:
    """The run or sweep that was begun last, below `runs_dir`; one that failed before any answer only where there are no others.

    Raises:
        ConfigError: There is none.
    """
    places = [unquoted(a.removeprefix(RUNS_DIR)) for a in typed if a.startswith(RUNS_DIR)]
    folder = Path(places[-1] if places else "runs").expanduser()
    begun = [path for pattern in (f"*/{MANIFEST}", f"{MULTI}/*/{BEGUN}") for path in folder.glob(pattern)]
    if not begun:
        raise ConfigError(f"resume=last: there is no run in {folder}; runs_dir=FOLDER names another place.")
    answered = [path for path in begun if not _failed_at_once(path.parent)]
    return max(answered or begun, key=lambda path: moment(written(path, Manifest).started)).parent


def _failed_at_once(folder: Path) -> bool:
    """Whether a run failed before its first answer, as for a model that does not fit."""
    journal = folder / JOURNAL
    answered = journal.is_file() and journal.stat().st_size
    return (
        not answered
        and (folder / MANIFEST).is_file()
        and written(folder / SUMMARY, Summary).status == "failed"
    )


def refuse_interpolation(text: str, name: str) -> None:
    """Refuses a folder that Hydra would take for something else.

    Raises:
        ConfigError: Its name holds `${`.
    """
    if "${" in text:
        raise ConfigError(f"{name} holds ${{, which Hydra would replace by a setting; use another name.")


def _given(begun: Manifest, folder: Path) -> list[str]:
    """The arguments that began a run or a sweep; of a run that a program began the settings that it gave."""
    sweep = (folder / BEGUN).is_file()
    if begun.arguments is None and (sweep or begun.started is None):
        raise ConfigError(
            f"{folder} does not say how the run was begun (arguments), so it cannot be resumed."
        )
    return begun.overrides if begun.arguments is None else begun.arguments
