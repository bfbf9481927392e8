"""Settings composed once for each command line: Hydra takes a third of a second for them, and most tests use the same few."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache

from llmbench import cli
from llmbench.config import Config


def compose(overrides: Sequence[str] = ()) -> Config:
    """What `llmbench.cli.compose` gives for these overrides; a copy of the test's own."""
    return deepcopy(_composed(tuple(overrides)))


@cache
def _composed(overrides: tuple[str, ...]) -> Config:
    return cli.compose(overrides)
