"""Comparing runs, question by question: `compare_runs`, and `python -m llmbench.compare RUN_A RUN_B` at the terminal."""

from llmbench.compare.comparison import as_dict, compare_runs

__all__ = ["as_dict", "compare_runs"]
