"""What may happen to a file."""

from collections.abc import Callable

CHANGES: dict[str, Callable[[bytes, int], bytes]] = {
    "a bit flips": lambda text, at: text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :],
    "a byte goes": lambda text, at: text[:at] + text[at + 1 :],
    "a byte comes": lambda text, at: text[:at] + b"7" + text[at:],
    "a line break comes": lambda text, at: text[:at] + b"\n" + text[at:],
    "zeros": lambda text, at: text[:at] + bytes(len(text) - at),
    "it ends there": lambda text, at: text[:at],
}
