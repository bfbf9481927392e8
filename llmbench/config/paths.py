"""Where the configuration files are, and which benchmarks a suite has."""

from pathlib import Path

from llmbench.errors import LlmbenchError
from llmbench.system import files


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


def benchmarks_of_suite(path: Path) -> list[str]:
    """The benchmarks that the YAML file of a suite chooses, in its order.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no YAML.
    """
    defaults = files.load_yaml(files.read(path, files.YAML_BYTES)).get("defaults") or []
    chosen = [each.get("override /benchmark") or [] for each in defaults if isinstance(each, dict)]
    return [name for names in chosen for name in names]
