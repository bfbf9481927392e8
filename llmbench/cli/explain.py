"""Why Hydra refused a command line, in one sentence with the nearest names that exist."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from llmbench.config.schema import Config
from llmbench.errors import ConfigError, own_cause
from llmbench.system import shell
from llmbench.system.text import first_sentences, nearest, one_line, suggest


def explain_composition(error: BaseException, conf: Path) -> str:
    """A sentence for what Hydra refused, with the nearest names that exist."""
    if (own := own_cause(error)) is not None:
        return str(own)
    missing_file = getattr(error, "missing_cfg_file", None)  # Hydra's MissingConfigException
    if missing_file:
        group, _, name = str(missing_file).rpartition("/")
        if group == LAUNCHERS and name in PACKAGES:
            return f"{LAUNCHERS}={name} needs the package {PACKAGES[name]}."
        names = options(conf, group) + (["basic", "llmbench", *PACKAGES] if group == LAUNCHERS else [])
        return f"There is no {group or 'configuration'} called {name!r}{suggest(name, names)}"
    text = str(error)
    told = (
        _explain_choice(text)
        or _explain_file(text, conf)
        or _explain_key(text, conf, error)
        or _explain_override(error)
    )
    if told is None and not isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        return f"The settings cannot be put together ({one_line(error)}); check what was typed."
    key = re.search(r"full_key: (\S+)", text)
    where = f"{key[1]}: " if key else ""
    return told or f"{where}{first_sentences(text) or type(error).__name__}."


ONE_OF = ("suite", "model", "engine", "profile")
"""Groups of which a run has one."""
TAKE_LISTS = re.compile(r"benchmark|export|custom\.choices|.+\.(stop|cue_stop|args\..+)")
"""Settings that may be a list."""


def _explain_choice(text: str) -> str | None:
    """Several values, or a second choice of a group, of which a run has one."""
    if several := re.match(r"Ambiguous value for argument '\+*(.+?)=(.*)'", text):
        key, value = several.groups()
        as_list = f"a list is written '{key}=[{value}]', and " if TAKE_LISTS.fullmatch(key) else ""
        return f"{key}={value} holds several values: {as_list}-m makes a run of each."
    if twice := re.match(r"Multiple values for .* use '(override (\S+): \S+)'", text):
        return f"{twice[2]} is chosen already; in the defaults of a YAML file write `{twice[1]}`."
    return None


def _explain_file(text: str, conf: Path) -> str | None:
    """A key of a YAML file, which may be a user's, that is not in the schema."""
    found = re.search(
        r"In '(?P<group>[^']+)/(?P<name>[^'/]+)': .*\n?Key '.*' not in '\w+'\s+full_key: (?P<key>\S+)", text
    )
    if found is None and text.startswith("In 'benchmark_base': "):
        return "A benchmark's YAML does not say where its settings belong; let its first line be `# @package benchmarks.NAME`."
    if found is None:
        return None
    group, name, key = found.group("group", "name", "key")
    file = f"{group}/{name}.yaml"
    if key == group:  # without the line, Hydra puts the settings under the folder's name
        place = f"benchmarks.{name}" if group == "benchmark" else "_global_"
        return f"{file} does not say where its settings belong; let its first line be `# @package {place}`."
    return f"{file}: {_no_setting(key, known_keys(key, conf))}"


LAUNCHERS = "hydra/launcher"
SUBMITIT = "hydra-submitit-launcher: pip install 'llmbench[slurm]'"
PACKAGES = {
    "submitit_slurm": SUBMITIT,
    "submitit_local": SUBMITIT,
    "ray": "hydra-ray-launcher: docs/clusters.md says how it is installed",
}
"""The launchers that a package brings, and the way to it."""


def options(conf: Path, group: str) -> list[str]:
    """The names a config group offers."""
    return [path.stem for path in sorted((conf / group).glob("*.yaml"))]


def _explain_key(text: str, conf: Path, error: BaseException) -> str | None:
    """A key that is not in the schema, or a value of the wrong type."""
    cause = str(error.__cause__ or "")
    value = re.search(r"Error merging override (.+)", text)
    if value:
        typed = value.group(1).lstrip("+")
        if "is not a subclass" in cause:
            holds = f"{typed.partition('=')[0]}."
            first = known_keys(holds, conf)[:1] or ["SETTING"]
            return f"{typed} is refused: type one of the settings below it, such as {holds}{first[0]}=VALUE."
        return f"{typed} is refused: {_expected_kind(cause) or first_sentences(cause or text)}."
    key = re.search(r"Could not (?:override|append to config|delete from config)[^']*'([^']+)'", text)
    return _unknown_key(key.group(1).split("@")[0], conf) if key else None


KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}
CONTAINERS = {"Dict": "names with values, such as {name: value}", "List": "a list, such as [one,two]"}


def _expected_kind(cause: str) -> str | None:
    """What OmegaConf would have converted a value to, in words."""
    match = re.search(r"Value (.+?) (?:of type .* could not be converted to|is not a valid) (\w+)", cause)
    if match and match[2] in KINDS:
        return f"{match[1]} is not {KINDS[match[2]]}"
    match = re.search(
        r"(?:Cannot assign \w+ to |is not a |(?s:Cannot merge .*reference_type=))(Dict|List)", cause
    )
    if match:
        return f"it takes {CONTAINERS[match[1]]}"
    if "is not Optional" in cause:
        return "it cannot be null"
    return "it takes a text" if "to string" in cause else None


def _unknown_key(key: str, conf: Path) -> str:
    """Says which part of a dotted key does not exist, and what it may have been."""
    parts = key.lstrip("+~").split(".")
    for length in range(1, len(parts) + 1):
        part = ".".join(parts[:length])
        known = known_keys(part, conf)
        if parts[length - 1] not in known:
            return _no_setting(part, known)
    if parts[0] == "benchmarks" and len(parts) > 1:
        return f"Benchmark {parts[1]!r} is not part of this run; choose it too: 'benchmark=[{parts[1]},…]'."
    return f"{key!r} cannot be set here."


def refuse_additions(overrides: Sequence[str], conf: Path) -> None:
    """Refuses `+key=value` for a key outside the schema: Hydra would add it and nothing would ever read it.

    Raises:
        ConfigError: Names the key and what it may have been.
    """
    for override in overrides:
        key = override.partition("=")[0].lstrip("+").split("@")[0]
        if not override.startswith("+") or (conf / key).is_dir():
            continue
        parts = key.split(".")
        for length in range(1, len(parts) + 1):
            known = known_keys(".".join(parts[:length]), conf)
            if known and parts[length - 1] not in known:
                raise ConfigError(_no_setting(".".join(parts[:length]), known))


SHOWN = 8
"""Names that a sentence lists."""
MEANT = {"limit": "num_samples"}
"""Names that are another setting's, and what they are called where that one is not."""


def _no_setting(key: str, known: Sequence[str]) -> str:
    parent, _, name = key.rpartition(".")
    near = [MEANT[name]] if MEANT.get(name) in known else nearest(name, known)
    full = [f"{parent}.{k}" if parent else k for k in near or known]
    kind = "benchmark" if parent == "benchmarks" else "setting"
    if not full:
        return f"There is no {kind} called {key!r}."
    if near:
        return f"There is no {kind} called {key!r}; did you mean {' or '.join(full)}?"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"There is no {kind} called {key!r}; there are {', '.join(full[:SHOWN])}{more}."


def known_keys(key: str, conf: Path) -> list[str]:
    """The names that could stand where the last part of `key` stands."""
    here: type = Config
    parts = key.split(".")[:-1]
    index = 0
    while index < len(parts):
        found = next((f for f in fields(here) if f.name == parts[index]), None)
        inner, is_dict = _dataclass_in(found.type) if found else (None, False)
        if inner is None:
            return []
        if is_dict and index == len(parts) - 1:
            return options(conf, parts[index].removesuffix("s"))
        here = inner
        index += 2 if is_dict else 1  # the name inside a dict of dataclasses, such as benchmarks.NAME
    names = [f.name for f in fields(here)]
    if not parts:
        names += [path.name for path in sorted(conf.iterdir()) if path.is_dir() and path.name not in names]
    return names


def _dataclass_in(annotation: object) -> tuple[type | None, bool]:
    """The dataclass of a field, and whether the field is a dict of them."""
    if isinstance(annotation, type) and is_dataclass(annotation):
        return annotation, False
    arguments: Iterable[object] = getattr(annotation, "__args__", ())
    inner = next((a for a in arguments if isinstance(a, type) and is_dataclass(a)), None)
    return inner, inner is not None


def _explain_override(error: BaseException) -> str | None:
    """An argument that is no override at all."""
    override = getattr(error, "override", None)  # Hydra's OverrideParseException
    if override is None:
        return None
    if "=" not in str(override):
        listed = ", and a list in quotes and without blanks" if str(override).endswith(("]", "}")) else ""
        return f"{str(override)!r} is not a setting: write NAME=VALUE, such as benchmark=aime model=qwen14b{listed}."
    override = str(override).lstrip("+")  # which llmbench may have added
    key, _, value = override.partition("=")
    typed = shell.for_a_shell(f"{key}={shell.quoted(value)}")
    return f"{override!r} cannot be read; if it is a text type {typed}, if it is a list 'NAME=[one,two]' in quotes and without blanks."
