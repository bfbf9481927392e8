"""Comparing runs, question by question: `compare_runs`, and `python -m llmbench.compare RUN_A RUN_B` at the terminal."""

from llmbench.compare.comparison import (
    BenchmarkComparison,
    Comparison,
    Quantity,
    RunComparison,
    RunHead,
    Side,
    as_dict,
    compare_runs,
)
from llmbench.compare.settings import Setting

__all__ = [
    "BenchmarkComparison",
    "Comparison",
    "Quantity",
    "RunComparison",
    "RunHead",
    "Setting",
    "Side",
    "as_dict",
    "compare_runs",
]
