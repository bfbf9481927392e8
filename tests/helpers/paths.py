"""Where the project and its test data are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES, DATA = ROOT / "tests" / "cases", ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared" / "data"
"""Real data that is not ours to carry; tests that read it skip where it is missing."""
