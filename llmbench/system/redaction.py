"""Tokens, keys and passwords, kept out of everything that a run writes or says.

What counts as a secret: the values of environment variables whose names say so, the values of settings whose names say so
(`engine.args={hf_token: …}`), and who logs in within an address (`https://me:password@host`). `***` stands for each. Texts
that a model wrote, and the questions, are left alone but for exact secret values.
"""

import json
import mmap
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from llmbench.system import files

HIDDEN = "***"
SECRET_LENGTH = 8
"""Shorter values are no secrets but words such as `true`, which must not vanish from files."""
LINE_LENGTH = 16
"""Of a secret of several lines, such as a private key, each line of at least so many characters is one too."""

VARIABLE = re.compile(
    r"TOKEN(?!I[SZ])|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTHORIZATION|(?:^|_|API|ACCESS|PRIVATE)KEYS?(?:$|_)",
    re.IGNORECASE,
)
"""Names of environment variables with secrets; `TOKENIZERS_PARALLELISM` is none."""
PLACE = re.compile(r"_(?:FILE|PATH|DIR|HOME)$", re.IGNORECASE)
"""Variables that say where a secret is, not what."""

_STRONG = r"(?:api|access|private|secret)[_-]?key|secret|passw(?:or)?d|passphrase|credential|authorization"
SETTING = re.compile(_STRONG, re.IGNORECASE)
"""Names of settings with secrets."""
MAYBE = re.compile(r"(?:^|[_.-])(?:token|key)$", re.IGNORECASE)
"""Names of settings with secrets where the value looks like one: `eos_token: <|im_end|>` does not."""
OPAQUE = re.compile(r"[\w.+/=:~-]{8,}")

_USER = r"(?!\[)[^/\s:@]*:(?!\d{1,5}[/?#])"
"""Before a password; neither an IPv6 host nor a host with its port, after which a path begins."""
_PLAIN = r"[^/\s@]+@(?:[^/\s\"]*@)?"
_COLLAPSED = "|".join(f"(?<={scheme})" for scheme in ("http", "https", "ftp", "s3", "gs", "hf", "git", "ssh"))
_LOGIN = (
    rf"://(?:{_USER}(?:(?!://)[^\s\"])*@|{_PLAIN})"
    rf"|(?<=\w\w):/(?!/){_USER}(?:(?!:/)[^\s\"])*@"
    rf"|(?:{_COLLAPSED}):/{_PLAIN}"
)
"""Who logs in within an address, up to the last `@`, since a password may hold `@` and, behind a user's name, `/`.

So of `https://me:password@host/a@b` nothing but `b` is left: better too much than half a password. Without a password a path may hold
`@`. An address that was made a path has one slash. No two places where a search begins share what they look through, so it takes linear
time.
"""
_ADDRESS = re.compile(_LOGIN)
_ADDRESS_BYTES = re.compile(_LOGIN.encode())
_NAMED = re.compile(
    rf"(?<![\w.-])(?P<name>(?:[\w.-]{{0,80}}(?:{_STRONG})[\w-]{{0,20}}|(?:[\w.-]{{0,80}}[_.-])?(?:token|key)(?==)|[\w.-]{{0,80}}_(?:token|key))"
    r"(?<!_env)[\"']?\s{0,3}[=:]\s{0,3}(?:bearer\s)?)(?P<value>\"[^\"]*\"|'[^']*'|[\w.+/=:~-]{8,})",
    re.IGNORECASE,
)
"""A secret setting inside a sentence or an override, with its value; `api_key_env=NAME` says where one is, not what."""

_typed: set[str] = set()  # secrets that settings held; the environment's are looked up each time
_addressed: set[str] = set()  # passwords in addresses that settings held


def learn(settings: object) -> None:
    """Remembers the secrets among settings: from now on they are found in any text, such as an engine's log."""
    for name, value in texts(settings):
        if _is_secret(name, value) and len(value) >= SECRET_LENGTH:
            _typed.add(value)
        _addressed.update(_passwords(value))


def texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """All texts in nested data, each with the name that it stands under."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(inner, _inner_name(str(key), name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner, name)
    elif isinstance(value, str):
        yield name, value


def _inner_name(key: str, outer: str) -> str:
    """The name that a value stands under; within `headers_env` all are names of variables, as under `api_key_env`."""
    return f"{key}_env" if outer.endswith("_env") else key


def _is_secret(name: str, value: str) -> bool:
    """Whether a setting of this name and value must not be shown."""
    if not value or value == HIDDEN or _names_variable(name, value):
        return False
    return bool(SETTING.search(name) or (MAYBE.search(name) and OPAQUE.fullmatch(value)))


def _names_variable(name: str, value: str) -> bool:
    """Whether a setting says which environment variable holds a secret: `api_key_env`, or a value that is the name of one."""
    return name.endswith("_env") or value.strip("\"'") in os.environ


@lru_cache(maxsize=4096)
def is_secret_variable(name: str) -> bool:
    """Whether the name of an environment variable says that its value is a secret."""
    return bool(VARIABLE.search(name)) and not PLACE.search(name)


def known() -> list[str]:
    """The secrets that are known, in every form in which they may be written, the longest first."""
    found = {value.strip() for name, value in os.environ.items() if is_secret_variable(name)}
    return _forms(frozenset(value for value in found | _typed if len(value) >= SECRET_LENGTH))


def _known_anywhere() -> list[str]:
    """Those, and the passwords of addresses: these may be plain words, so prompts keep them."""
    values = [value for value in os.environ.values() if ":/" in value]
    found = _addressed.union(*map(_passwords, values))
    secrets = [*known(), *_forms(frozenset(value for value in found if len(value) >= SECRET_LENGTH))]
    return sorted(secrets, key=len, reverse=True)


@lru_cache(maxsize=8)
def _forms(values: frozenset[str]) -> list[str]:
    forms: set[str] = set()
    for value in values:
        lines = [line for line in value.splitlines() if len(line) >= LINE_LENGTH]
        forms |= {value, json.dumps(value)[1:-1], quote(value, safe=""), *lines}
    return sorted(forms, key=len, reverse=True)


def without_values(text: str) -> str:
    """The text with `***` for known secrets and nothing else; for what must otherwise stay as it is, such as prompts."""
    return _without(text, known())


def without_secrets(text: str) -> str:
    """The text with `***` for known secrets, for who logs in within an address, and for `hf_token=…` and its like."""
    return _without_any(text, _known_anywhere())


def clean(data: Any) -> Any:  # noqa: ANN401 - nested plain data of any shape
    """Nested data with `***` for the secrets in its texts, and for all text under names that say secret."""
    return _clean(data, _known_anywhere())


def _without(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


def _without_any(text: str, secrets: Sequence[str]) -> str:
    text = _without(text, secrets)
    if ":" in text or "=" in text:  # most texts are ids
        text = _ADDRESS.sub(lambda found: found[0][: _slashes(found[0])] + HIDDEN + "@", text)
        text = _NAMED.sub(_hidden, text)
    return text


def _hidden(match: re.Match[str]) -> str:
    return match[0] if _names_variable(match["name"], match["value"]) else match["name"] + HIDDEN


def _clean(data: Any, secrets: Sequence[str], name: str = "") -> Any:  # noqa: ANN401 - as above
    if isinstance(data, str):
        return _without_any(data, secrets)
    if isinstance(data, Mapping):
        named = [(key, _inner_name(str(key), name), value) for key, value in data.items()]
        return {
            key: HIDDEN if isinstance(value, str) and _is_secret(own, value) else _clean(value, secrets, own)
            for key, own, value in named
        }
    if isinstance(data, list | tuple):
        return [_clean(value, secrets) for value in data]
    if is_dataclass(data) and not isinstance(data, type):
        return _clean(asdict(data), secrets)
    return data


def scrub(path: Path) -> None:
    """Overwrites secrets in a file with as many `*`: what libraries and other processes wrote past Python's logging.

    The file keeps its length, so that processes that still write to its end are not disturbed. Anything but a file is left alone.
    """
    secrets = [secret.encode("utf-8", "surrogateescape") for secret in _known_anywhere()]
    with (
        suppress(OSError, ValueError),
        os.fdopen(files.opened_to_add(path, make=False), "r+b") as file,
        mmap.mmap(file.fileno(), 0) as content,
    ):
        for start, end in [*_places(content, secrets), *_logins(content)]:
            content[start:end] = b"*" * (end - start)


def _places(content: mmap.mmap, secrets: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    for secret in secrets:
        start = content.find(secret)
        while start >= 0:
            yield start, start + len(secret)
            start = content.find(secret, start + len(secret))


def _logins(content: mmap.mmap) -> Iterator[tuple[int, int]]:
    for found in _ADDRESS_BYTES.finditer(content):
        yield found.start() + _slashes(found[0]), found.end() - 1


def _slashes(match: str | bytes) -> int:
    """The length of what begins a login: `://`, or `:/`."""
    return 3 if match[2] in ("/", ord("/")) else 2


@lru_cache(maxsize=1024)
def _passwords(text: str) -> frozenset[str]:
    """The passwords in addresses, and the parts of them that whoever takes `@` and `/` otherwise may show alone."""
    found: set[str] = set()
    for match in _ADDRESS.finditer(text):
        password = match[0][_slashes(match[0]) : -1].partition(":")[2]
        found |= {password, unquote(password), *re.split("[/@]", password)}
    return frozenset(found)
