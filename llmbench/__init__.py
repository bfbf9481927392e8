"""llmbench: how good a language model is, how fast it answers, and how far to trust the number."""

__version__ = "0.1.0"
