"""Running code that nobody trusts: in bubblewrap (or Docker), with limits, and with verdicts as data."""

from llmbench.sandbox.container import SandboxBox, check, preload
from llmbench.sandbox.records import Limits, Program, Ran, Status
from llmbench.sandbox.start import choose, chosen

__all__ = ["Limits", "Program", "Ran", "SandboxBox", "Status", "check", "choose", "chosen", "preload"]
