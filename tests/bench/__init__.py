"""Measuring llmbench itself, side by side with what it stands on. `make bench` runs it; no test does."""
