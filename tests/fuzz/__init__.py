"""Fuzzers of everything that comes from outside, for longer than a test may take; see `__main__`."""
