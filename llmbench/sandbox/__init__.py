"""Running code that nobody trusts: in bubblewrap (or Docker), with limits, and with verdicts as data."""

from llmbench.sandbox.box import Box, Limits, Program, Ran, Status, check, choose, chosen, preload

__all__ = ["Box", "Limits", "Program", "Ran", "Status", "check", "choose", "chosen", "preload"]
