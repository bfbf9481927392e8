"""Data sets on the hub, and the `datasets` library."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llmbench.benchmarks.rows import Loaded, Row, parse_json
from llmbench.config.schema import BenchmarkConfig
from llmbench.errors import DataError, first_line
from llmbench.system.files import cache_trouble


def read_hub(name: str, config: BenchmarkConfig) -> Loaded:
    """Reads a data set through the `datasets` library.

    Raises:
        DataError: It is gated, out of reach, or cannot be read.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(
            config.hub_id, config.hub_config, split=config.split, revision=config.revision
        )
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(_not_found(name, config, str(error))) from error
    except (ConnectionError, TimeoutError, OSError) as error:
        raise DataError(cache_trouble(error) or _unreachable(name, config)) from error
    except (ValueError, datasets.exceptions.DatasetGenerationError) as error:
        if "ouldn't find cache" in str(error) or "offline" in str(error).lower():
            raise DataError(_unreachable(name, config)) from error
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise DataError(f"{name}: {config.hub_id} cannot be read: {first_line(cause)}.") from error
    pictures = [column for column, kind in loaded.features.items() if isinstance(kind, datasets.Image)]
    loaded = loaded.remove_columns(pictures)  # no benchmark shows one, and reading them takes memory
    info = loaded.info
    checksums = " ".join(info.download_checksums or {})
    commit = re.search(r"@([0-9a-f]{40})/", checksums)
    return Loaded(list(loaded), commit.group(1) if commit else None, loaded._fingerprint, info.download_size)  # noqa: SLF001


def read_hub_configs(name: str, config: BenchmarkConfig, configs: Sequence[str]) -> Loaded:
    """Reads several configurations of a data set, one after the other; each row has its own as `config`.

    Raises:
        DataError: As `read_hub` does.
    """
    parts = {each: read_hub(name, replace(config, hub_config=each)) for each in configs}
    rows: list[Row] = [{**row, "config": each} for each, part in parts.items() for row in part.rows]
    digest = hashlib.sha256(" ".join(part.fingerprint for part in parts.values()).encode()).hexdigest()
    revision = next((part.revision for part in parts.values() if part.revision), None)
    return Loaded(rows, revision, digest, sum(part.size_bytes or 0 for part in parts.values()) or None)


def read_hub_files(name: str, config: BenchmarkConfig, files: Sequence[str]) -> Loaded:
    """Reads JSON files of a data set whose own loading script `datasets` no longer runs.

    Raises:
        DataError: As `read_hub` does.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    rows: list[Row] = []
    digest, size, commit = hashlib.sha256(), 0, None
    for file in files:
        try:
            path = hf_hub_download(str(config.hub_id), file, repo_type="dataset", revision=config.revision)
        except (GatedRepoError, RepositoryNotFoundError) as error:
            raise DataError(_not_found(name, config, str(error))) from error
        except (LocalEntryNotFoundError, ConnectionError, TimeoutError, OSError) as error:
            raise DataError(cache_trouble(error) or _unreachable(name, config)) from error
        content = Path(path).read_bytes()
        try:
            rows += parse_json(content)
        except ValueError as error:
            raise DataError(f"{name}: {file} of {config.hub_id} cannot be read as json: {error}.") from error
        digest.update(content)
        size += len(content)
        found = re.search(r"/snapshots/([0-9a-f]{40})/", path)
        commit = found.group(1) if found else None
    return Loaded(rows, commit, digest.hexdigest(), size)


def _not_found(name: str, config: BenchmarkConfig, message: str) -> str:
    local = f"or give a local copy with benchmarks.{name}.data_files=PATH"
    if "gated" in message.lower() or config.sealed:
        return (
            f"{name}: {config.hub_id} is gated: accept its terms on https://huggingface.co/datasets/{config.hub_id}, "
            f"log in with `hf auth login`, {local}."
        )
    return (
        f"{name}: the hub has no data set {config.hub_id} for you; check benchmarks.{name}.hub_id, {local}."
    )


def _unreachable(name: str, config: BenchmarkConfig) -> str:
    return (
        f"{name}: the hub cannot be reached (no network, or HF_HUB_OFFLINE is set) and {config.hub_id} is not in the local "
        f"cache; give a local copy with benchmarks.{name}.data_files=PATH."
    )
