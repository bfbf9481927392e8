"""Comparing runs, question by question: `comparison.compare_runs`, and `python -m llmbench.compare RUN_A RUN_B` at the terminal."""
