"""Where the configuration files are."""

from pathlib import Path

from llmbench.errors import LlmbenchError


def config_folder() -> Path:
    """The folder of YAML files: inside the installed package, else beside it in a checkout.

    Raises:
        LlmbenchError: Neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    message = f"llmbench's conf folder is missing from {package}; install llmbench again."
    raise LlmbenchError(message)
