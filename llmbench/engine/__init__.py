"""Engines: what turns requests into completions. They know nothing of benchmarks."""
