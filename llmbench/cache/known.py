"""The keys that an engine is going to make, known before it is loaded because it was loaded once.

Most of a key stands in the settings and on the disk. Only a loaded engine tells the rest: its version, its device, and what it
made of the data type, the quantization and the attention backend. That follows in turn from the settings, the checkpoint,
what is installed, the environment and the machine. So the store keeps, under a hash of all those, the keys' common part as
the loaded engine gave it. More goes into that hash than can matter (every installed package, settings of memory and
start-up): what is different there costs a load, what would be missing could give back another engine's answers.

An engine that was loaded with less than was asked for, because memory was short, is remembered for what it was loaded with.
"""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import orjson

from llmbench import __version__, machine
from llmbench.cache import fingerprint
from llmbench.cache.keys import CANONICAL, VERSION
from llmbench.config import Config
from llmbench.engine.base import EngineReport
from llmbench.models import Checkpoint
from llmbench.pool import engine_key

ENGINE_PACKAGES = ("vllm", "torch", "transformers", "tokenizers")
"""Where they lie counts too: a source tree on Python's path is in nobody's list of what is installed."""
TOLD = ("name", "version", "device", "quantization", "dtype", "attention_backend")
"""What is kept of an engine's report."""
REASON = "nothing was loaded, since every answer was in the response cache"


def beforehand(
    config: Config, checkpoint: Checkpoint | None, since: float, environment: Mapping[str, str]
) -> bytes:
    """All that is known of an engine before it is loaded, and that decides what it will be, as SHA-256.

    Args:
        config: The settings.
        checkpoint: Where its weights are; None for the fake engine.
        since: When the checkpoint was first looked at, in seconds of the epoch.
        environment: The variables that may steer it, without what an engine has set itself.

    Raises:
        CacheError: The weights have no fingerprint.
    """
    gpus = [[gpu.index, gpu.name, gpu.total_bytes, gpu.driver] for gpu in machine.gpus()]
    parts = {
        "version": VERSION,
        "llmbench": __version__,
        "settings": engine_key(config),
        "weights": fingerprint.of_checkpoint(checkpoint, since) if checkpoint is not None else None,
        "named": fingerprint.of_named([config.engine.args, config.engine.speculative], since),
        "installed": machine.installed(),
        "places": [_place(name) for name in ENGINE_PACKAGES],
        "environment": sorted(ascii(variable) for variable in environment.items()),
        "machine": [machine.processor(), gpus],
    }
    return hashlib.sha256(orjson.dumps(parts, option=CANONICAL)).digest()


def _place(name: str) -> str | None:
    """Where a package would be imported from; nothing is imported."""
    spec = importlib.util.find_spec(name)
    return spec.origin if spec is not None else None


@dataclass(frozen=True, slots=True)
class Known:
    """What an engine turned out to be: the part that its keys have in common, and what it said of itself."""

    setup: bytes
    told: Mapping[str, str | None]

    @classmethod
    def of(cls, setup: bytes, report: EngineReport) -> Self:
        """From a loaded engine."""
        return cls(setup, {name: getattr(report, name) for name in TOLD})

    def pack(self) -> bytes:
        """As it is stored."""
        return orjson.dumps([self.setup.hex(), self.told], option=CANONICAL)

    @classmethod
    def unpack(cls, value: bytes | None) -> Self | None:
        """From what was stored; None where there is nothing, or it is damaged."""
        try:
            setup, told = orjson.loads(value or b"")
            return cls(bytes.fromhex(setup), {name: told[name] for name in TOLD})
        except (ValueError, TypeError, KeyError):  # orjson's error is a ValueError
            return None

    def report(self) -> EngineReport:
        """Of a run for which nothing was loaded."""
        return EngineReport(**self.told, loads=0, startup_reason=REASON, loaded=False)  # type: ignore[arg-type]
