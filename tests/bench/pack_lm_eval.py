"""Packs lm-evaluation-harness for a GPU host without network, where vLLM, transformers and datasets stand already.

    python tests/bench/pack_lm_eval.py OUT.tgz [--python 3.12] [--version 0.4.13]
    tar xzf OUT.tgz -C FOLDER && PYTHONPATH=$PYTHONPATH:FOLDER tests/bench/lm_eval_gsm8k.sh …    # on the host

uv resolves what the harness needs; what stands in requirements/gpu.txt is left out, since the host has it. Wheels are those
of the host's Python on x86-64 Linux, whatever runs here; a package without a wheel is built here, which must give one for every Python. Put the
folder last in PYTHONPATH, so that the host's own packages come first.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements" / "gpu.txt"
SMALL = frozenset({"colorama", "six", "tabulate", "tzdata"})
"""Of the lock, and packed all the same: a host that has vLLM by other ways may lack them."""
WITHOUT_WHEEL = ("rouge-score", "sqlitedict", "word2number")
"""Of which the package index has only sources."""
PLATFORM = "x86_64-manylinux_2_28"
LARGEST = 40_000_000
"""Bytes of the archive."""


def name_of(requirement: str) -> str:
    """Returns the normalised name of a requirement such as `a_b==1`."""
    return re.split(r"[=\[; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def pinned(text: str) -> list[str]:
    """Returns the `name==version` of each line that has one."""
    return re.findall(r"^[A-Za-z0-9][\w.-]*==[^\s\\;]+", text, re.MULTILINE)


def to_pack(resolved: Iterable[str], on_host: Iterable[str]) -> list[str]:
    """Returns the requirements that the host lacks, by names."""
    there = {name_of(each) for each in on_host} - SMALL
    return [each for each in resolved if name_of(each) not in there]


def wrong_tags(folder: Path, python: str) -> Iterator[str]:
    """Names each installed wheel that a Python of this version does not take, with its tags."""
    own = f"cp{python.replace('.', '')}"
    for file in sorted(folder.glob("*.dist-info/WHEEL")):
        tags = re.findall(r"^Tag: (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        fits = any(
            tag.startswith(("py3-none-", "py2.py3-none-", f"{own}-")) or "-abi3-" in tag for tag in tags
        )
        if not fits:
            yield f"{file.parent.name} ({', '.join(tags)})"


def uv(*arguments: str) -> str:
    """Returns what uv prints; its messages go to stderr."""
    found = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    return subprocess.run([found, "pip", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Resolves, installs into a folder and packs that."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT.tgz")
    parser.add_argument("--python", default="3.12", help="the host's")
    parser.add_argument("--version", default="0.4.13", help="of lm-evaluation-harness")
    options = parser.parse_args()
    target = ("--python-version", options.python, "--python-platform", PLATFORM)
    with tempfile.TemporaryDirectory() as temporary:
        wanted, folder = Path(temporary) / "wanted.in", Path(temporary) / "packed"
        wanted.write_text(f"lm_eval[archiver]=={options.version}\n")
        resolved = uv("compile", "-q", str(wanted), *target, "--no-header", "--no-annotate")
        packages = to_pack(pinned(resolved), pinned(LOCK.read_text()))
        sources = [part for name in WITHOUT_WHEEL for part in ("--no-binary", name)]
        uv(
            "install",
            "-q",
            "--target",
            str(folder),
            *target,
            "--no-deps",
            "--only-binary",
            ":all:",
            *sources,
            *packages,
        )
        wrong = list(wrong_tags(folder, options.python))
        if wrong:
            sys.exit(f"Not for Python {options.python}: {', '.join(wrong)}; name another --python.")
        with tarfile.open(options.out, "w:gz") as archive:
            archive.add(folder, arcname=".", filter=lambda each: None if "__pycache__" in each.name else each)
    size = options.out.stat().st_size
    print(f"{options.out}: {size / 1e6:.1f} MB, {len(packages)} packages: {' '.join(packages)}")
    if size > LARGEST:
        sys.exit(f"{options.out} is larger than {LARGEST / 1e6:.0f} MB.")


if __name__ == "__main__":
    main()
