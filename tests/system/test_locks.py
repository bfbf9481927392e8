"""The locks in requirements/: what is installed is what was looked at when they were written."""

import re

import pytest

from tests.helpers.paths import ROOT

REQUIREMENTS = ROOT / "requirements"


def pins(lock: str) -> dict[str, int]:
    """Each pinned package, as `name==version`, with the number of its hashes."""
    found: dict[str, int] = {}
    pin = ""
    for line in (REQUIREMENTS / lock).read_text().splitlines():
        if re.match(r"[a-z]", line):
            pin = line.split(" ")[0]
            found[pin] = 0
        found[pin] = found.get(pin, 0) + bool(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line))
    found.pop("", None)
    return found


@pytest.mark.parametrize("lock", ["cpu.txt", "gpu.txt"])
def test_every_pin_is_exact_and_has_a_hash(lock: str) -> None:
    found = pins(lock)
    assert len(found) > 100
    assert [pin for pin in found if not re.fullmatch(r"[a-z0-9.-]+(\[[a-z0-9,_-]+\])?==\S+", pin)] == []
    without = [pin for pin, hashes in found.items() if not hashes]
    # PyTorch's builds for the CPU come from its own index, or from a wheel at hand.
    assert without == [pin for pin in found if re.fullmatch(r"torch==\S+\+cpu", pin)]


def test_the_installation_verifies_the_hashes() -> None:
    script = (REQUIREMENTS / "setup.sh").read_text()
    (line,) = [
        line for line in script.splitlines() if "uv pip install" in line and "--compile-bytecode" in line
    ]
    assert "--verify-hashes" in line
