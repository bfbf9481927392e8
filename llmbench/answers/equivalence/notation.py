r"""Notations that need more than one pattern: repeating decimals, angles in functions, aligned rows, products of units.

Each function takes a text and returns it in the common form of `latex.py`, or as it was.
"""

import re

from llmbench.answers.equivalence.units import is_unit_symbol

ROW = "\ue000"
"""Stands for `\\\\`."""

_DOTS = r"\s*(?:\.{3,}|…|\\[lc]?dots(?![A-Za-z]))"
_REPEATING = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=[\d.])((?:\d[\u0304\u0305])+)", lambda match: rf"\overline{{{re.sub('[^0-9]', '', match[1])}}}"),
        (r"(\d)\u0307(?:(\d*)(\d)\u0307)?", r"\\overline{\1\2\3}"),
        (r"\\dot\s*\{?(\d)\}?(?:(\d*)\\dot\s*\{?(\d)\}?)?", r"\\overline{\1\2\3}"),
        (r"(?<=[\d.])\\(?:bar|overline|widehat|overbar)\s*(?:\{\s*(\d+)\s*\}|(\d))", r"\\overline{\1\2}"),
        (r"(?<![\d.])(\d*\.)(\d+)\s*(?:\\text\{)?\s*\(?(?:repeating|recurring)\)?\s*\}?$", r"\1\\overline{\2}"),
        (r"^([-+]?\d+\.\d*)\((\d+)\)(?=\\?%?$)", r"\1\\overline{\2}"),
        (rf"(?<![\d.])(\d*\.)(\d+){_DOTS}", lambda match: match[1] + _period(match[2])),
        (r"(?<!\d)\.\\overline", r"0.\\overline"),
    )
)  # fmt: skip


_MAX_PERIOD = 60
_MAX_LENGTH = 300
"""Characters; a longer answer is not a value with units."""


def repeating_decimals(text: str) -> str:
    r"""Repeating decimals in every notation (`0.\bar3`, `0.\dot{3}`, "0.(3)", "0.333...") as `0.\overline{3}`."""
    for pattern, replacement in _REPEATING:
        text = pattern.sub(replacement, text)
    return text


def _period(digits: str) -> str:
    r"""The digits before dots with the period that ends them marked; with `\dots` where none is seen.

    A period must be written twice, and take at least as many digits as stand before it: "1.7320508075688..." has none.
    """
    for length in range(1, min(len(digits) // 2, _MAX_PERIOD) + 1):
        period = digits[-length:]
        run = re.search(rf"(?:{period})+$", digits)
        before = len(digits) - (len(run[0]) if run else 0)
        if run and len(run[0]) >= max(2 * length, before):
            return rf"{digits[:before]}\overline{{{period}}}"
    return rf"{digits}\dots"


_DEGREES = r"\\text\{ degrees\}"
_ANGLE = re.compile(rf"(\d+(?:\.\d+)?|\\frac\{{[^{{}}]*\}}\{{[^{{}}]*\}}|[a-z]|\\[a-z]+)\s*{_DEGREES}")
_TRIGONOMETRIC = re.compile(
    r"(?P<function>\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])\s*(?:\^\s*(?:\{[^{}]*\}|\d))?\s*)"
    rf"(?P<argument>\((?:[^()]|\([^()]*\))*\)|\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}|{_ANGLE.pattern})"
)


def angles_in_radians(text: str) -> str:
    r"""Degrees inside a trigonometric function as radians: `\tan 20^\circ`; degrees of a result stay a unit."""

    def in_radians(match: re.Match[str]) -> str:
        argument = _ANGLE.sub(r"\\frac{\1 \\cdot \\pi}{180}", match["argument"])
        return f"{match['function']}({argument})"

    return _TRIGONOMETRIC.sub(in_radians, text) if "degrees" in text else text


_ENVIRONMENT = re.compile(
    r"\\begin\{(aligned|align\*?|gathered|gather\*?|split|eqnarray\*?|cases)\}|\\end\{\w+\*?\}"
)


def without_alignment(text: str) -> str:
    r"""The rows of `aligned` and its kin as a list; a row that begins with "=" goes on with the one before it."""
    if not _ENVIRONMENT.search(text) or "matrix" in text or "array" in text:
        return text
    if "\\begin{cases}" in text and ("\\text" in text or not text.startswith("\\begin")):
        return text  # a function in pieces
    text = _ENVIRONMENT.sub("", text).replace("&", " ").strip(f" {ROW}")
    return re.sub(rf",?\s*{ROW}\s*(?P<joint>=)?", lambda match: "=" if match["joint"] else ", ", text)


_POWER = r"(?:\s*\^\s*(?:\{\s*-?\d+\s*\}|-?\d))?"
_UNIT = r"\\text\{[A-Za-z/ ]+\}" + _POWER
_TEXT = re.compile(r"(?<=[\d})\s])\\text\{(?:[^{}]|\^\s*\{[^{}]*\})*\}\s*$")
_EXPONENT = re.compile(r"(?<=[A-Za-z])\s*\^\s*(?:\{\s*-?\d+\s*\}|-?\d)|\\cdot(?![A-Za-z])")
_QUOTIENT = rf"\\frac\{{\s*{_UNIT}\s*\}}\{{\s*{_UNIT}\s*\}}"
_UNITS = re.compile(
    rf"(?<=[\d}})iA-Za-z\s])\s*(?P<units>{_QUOTIENT}|{_UNIT}(?: ?(?:\\cdot|\\times|\*|/)? ?{_UNIT})+) *$"
)


def joined_units(text: str) -> str:
    r"""A product or quotient of units behind a value as one unit: `5\text{ m}\cdot\text{s}^{-1}`."""
    if len(text) > _MAX_LENGTH:
        return text
    text = _TEXT.sub(lambda found: _EXPONENT.sub(" ", found[0]), text)
    match = _UNITS.search(text)
    if match is None:
        return text
    names = re.findall(r"[A-Za-z]+", re.sub(r"\\(?:text|frac|cdot|times)", " ", match["units"]))
    if not all(is_unit_symbol(name) for name in names):
        return text
    return f"{text[: match.start()]}\\text{{ {' '.join(names)}}}"
