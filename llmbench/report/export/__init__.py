"""A run's results for other programs: Parquet, CSV, and the layout of lm-evaluation-harness.

The journal stays the truth; everything here is made from it and can be made again. Sealed benchmarks stay sealed.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from llmbench.config.groups import EXPORTS
from llmbench.errors import ConfigError, RunError
from llmbench.report.export import lm_eval, tables
from llmbench.results.reader import load_run
from llmbench.results.rows import rows
from llmbench.results.settings import benchmark_settings, read_config
from llmbench.system import files
from llmbench.system.text import suggest

__all__ = ["export_run"]


def export_run(
    run: str | os.PathLike[str],
    formats: Sequence[str] = tuple(EXPORTS),
    to: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Writes a run's results and returns the files.

    Args:
        run: The run's folder; the run need not have finished.
        formats: Of `parquet`, `csv` and `lm_eval`.
        to: Where to write; into the run's folder by default.

    Raises:
        ConfigError: There is no such form.
        RunError: The folder holds no run, or a file cannot be written.
    """
    for name in formats:
        if name not in EXPORTS:
            raise ConfigError(f"{name} is no form to export to{suggest(name, EXPORTS)}")
    folder = Path(run)
    loaded, config = load_run(folder), read_config(folder) or {}
    told = {name for name in config.get("benchmarks") or () if benchmark_settings(config, name).get("sealed")}
    sealed = loaded.sealed | told
    out = folder if to is None else Path(to)
    written: list[Path] = []
    for name in dict.fromkeys(formats):
        try:
            place = out / EXPORTS[name]
            if name == "lm_eval":
                made = lm_eval.files(loaded, config, sealed)
                written += [_write(place / file, content.encode()) for file, content in made]
            else:
                write = tables.parquet if name == "parquet" else tables.csv
                written.append(_write(place, write(rows(loaded.results, sealed))))
        except OSError as error:
            raise RunError(f"{out} cannot take the export ({error.strerror or error}).") from error
    return written


def _write(path: Path, content: bytes) -> Path:
    """Writes a file as a whole: readers see the old one or the new one."""
    if path.parent.name == EXPORTS["lm_eval"] and path.parent.is_symlink():
        raise OSError(errno.ELOOP, f"{path.parent.name} is a link, which is not followed", str(path.parent))
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, [content])
    return path
