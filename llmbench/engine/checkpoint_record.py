"""Which checkpoint gave a run's results (`llmbench.engine.fingerprint`), so that those of another one are never put beside them."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmbench.engine import fingerprint
from llmbench.engine.checkpoint import Checkpoint
from llmbench.errors import ConfigError


def row(checkpoint: Checkpoint, since: float | None = None) -> dict[str, Any]:
    """A checkpoint as the manifest has it, a local one with its `content` and `times`; both None where it has no fingerprint."""
    described = asdict(checkpoint)
    if not checkpoint.local:
        return described
    try:
        content, times = fingerprint.of_path(Path(checkpoint.name), since)
    except OSError:
        return described | {"content": None, "times": None}
    return described | {"content": content, "times": times}


def known(before: Mapping[str, Any]) -> bool:
    """Whether a manifest's checkpoint can be compared by its content."""
    return isinstance(before.get("content"), str)


def commit(checkpoint: Mapping[str, Any]) -> str | None:
    """The commit of a manifest's checkpoint from the hub; None where it is not known, or of a local one."""
    local, folder = bool(checkpoint.get("local")), str(checkpoint.get("folder") or "")
    return fingerprint.commit(Checkpoint("", None, local=local, folder=folder))


def compare(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> str | None:
    """What is to be said of two checkpoints that are to give one run's results; None where they are the same.

    Raises:
        ConfigError: They are not the same.
    """
    was, is_now = (
        checkpoint["content"] if known(checkpoint) else commit(checkpoint) for checkpoint in (before, now)
    )
    if was is None:
        return (
            f"{folder} does not tell which weights gave its results so far, so nobody compared them with "
            f"those of {now['name']} now."
        )
    if was != is_now:
        raise ConfigError(
            f"The checkpoint {now['name']} is not the one that gave the results in {folder}: its files hold something else now; "
            "bring back what was there (model.path=FOLDER if it lies elsewhere), or start a new run."
        )
    if known(before) and before.get("times") != now.get("times"):
        return (
            f"The weight files of {now['name']} were written anew since the results so far; header, size, {fingerprint.BLOCKS} blocks "
            "of each and the middle of every tensor are the same."
        )
    return None
