"""What every run finds out anew although it stays the same for as long as the tests run."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import yaml

from llmbench.benchmarks import arithmetic
from llmbench.cli import compose, main
from llmbench.system import hardware

_dump = yaml.safe_dump
_dumped: dict[str, str] = {}


def _dump_once(data: object, stream: Any = None, **options: Any) -> Any:  # noqa: ANN401 - PyYAML's own
    if stream is not None:
        return _dump(data, stream, **options)
    key = repr((data, options))
    if key not in _dumped:
        _dumped[key] = _dump(data, **options)
    return _dumped[key]


@contextmanager
def found_once() -> Iterator[None]:
    """Inside, the commit, the versions of packages, the schema in Hydra's store and all questions of arithmetic are found once.

    Equal settings are written as YAML once.
    """
    register = cache(compose.register)
    with (
        patch.object(compose, "register", register),
        patch.object(main, "register", register),
        patch.object(hardware, "git_commit", cache(hardware.git_commit)),
        patch.object(hardware, "versions", cache(hardware.versions)),
        patch.object(yaml, "safe_dump", _dump_once),
        patch.dict(arithmetic.LEVELS, {name: cache(make) for name, make in arithmetic.LEVELS.items()}),
    ):
        yield
