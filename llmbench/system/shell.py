"""Words for a shell and for Hydra, and the command that resumes a run."""

import re
import shlex
from pathlib import Path


def quoted(value: str) -> str:
    """A value that Hydra takes as it stands; outside of quotes its grammar knows no letters but those of ASCII."""
    if re.fullmatch(r"[\w/.-]+", value, re.ASCII):
        return value
    # backslashes count only before a quote, the closing one too
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    escaped = re.sub(r"(\\+)\Z", r"\1\1", escaped)
    return f"'{escaped}'"


def unquoted(value: str) -> str:
    """The value of what `quoted` made, or a person for Hydra."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        text = re.sub(rf"(\\*)\\{value[0]}", lambda found: found[1][::2] + value[0], value[1:-1])
        return re.sub(r"(\\+)\Z", lambda found: found[1][::2], text)
    return value


def resume_command(folder: str | Path) -> str:
    """What a person types to go on with the run or sweep in a folder."""
    return f"python -m llmbench resume={for_a_shell(quoted(str(Path(folder).absolute())))}"


def for_a_shell(text: str) -> str:
    """A word for bash or zsh that can be printed and pasted, line breaks and other control characters included."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'{}'".format("".join(map(_escaped, text)))


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
