r"""Exact rational numbers out of LaTeX or plain text, without sympy: most answers are such numbers.

They are rewritten as Python, whose parser knows the operators' precedence: `2\frac{1}{3}^{4}!` has numbers as names, groups as lists,
arguments as subscripts (`frac[a][b]`) and factorials as attributes.
"""

import ast
import math
import re
from collections.abc import Callable
from fractions import Fraction
from operator import add, mul, sub, truediv

MAX_LENGTH = 400
"""Characters. Longer texts are no answers, and int() refuses 4,300 digits."""
_MAX_BITS = 20_000
_MAX_FACTORIAL = 300

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:\\overline\{\d+\})?)"
    r"|\\(?P<command>[dtc]?frac|sqrt|[dt]?binom)(?![A-Za-z])"
    r"|(?P<symbol>[-+*/^!(){}]|\\(?:cdot|times|div)(?![A-Za-z])))"
)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:,|\{,\}|,\\!\s*|\\,|\\!)\d{3})+(?![\d,])")
_MIXED = re.compile(
    r"((?:^|[-+({])\s*)(\d+)(\s*\\[dtc]?frac\s*\{\s*\d+\s*\}\s*\{\s*\d+\s*\})(?P<power>\s*[\^!])?"
)
_PYTHON = {"\\cdot": " * ", "\\times": " * ", "*": " * ", "\\div": " / ", "/": " / ", "^": "**", "!": ".factorial"}  # fmt: skip
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
}


def rational(text: str) -> Fraction | None:
    r"""The exact value of a number or of arithmetic on numbers, else None.

    Takes decimals, commas between thousands, repeating decimals (`0.\overline{3}`), fractions, mixed numbers (`1\frac{4}{5}`,
    `1 4/5`), powers, roots of squares, small factorials and binomials. Refuses what would grow beyond some thousand digits.
    """
    if len(text) > MAX_LENGTH:
        return None
    try:
        written, numbers = _python(_ungrouped(text))
        return _value(ast.parse(written.lstrip(), mode="eval").body, numbers)
    except (SyntaxError, ValueError, ZeroDivisionError, MemoryError, RecursionError):
        return None


def _ungrouped(text: str) -> str:
    text = text.strip().rstrip(".")
    if mixed := re.fullmatch(r"([-+]?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)", text):
        return f"{mixed[1]}({mixed[2]}+{mixed[3]}/{mixed[4]})"
    text = _GROUPED.sub(lambda match: re.sub(r"\D", "", match[0]), text)
    return _MIXED.sub(lambda match: "?" if match["power"] else f"{match[1]}({match[2]}+{match[3]})", text)


def _python(text: str) -> tuple[str, dict[str, Fraction]]:
    """The Python expression, and what its names stand for; ValueError for a text that is none."""
    written, position = "", 0
    numbers: dict[str, Fraction] = {}
    arguments = 0  # that a command still takes, within the group that is read
    outside: list[int] = []  # those of the commands around it
    while position < len(text.rstrip()):
        token = _TOKEN.match(text, position)
        if token is None or (arguments and not (token["symbol"] == "{" or (token["number"] or "").isdigit())):
            raise ValueError(text)
        position = token.end() if token["symbol"] or not arguments else token.start("number") + 1
        joint = " * " if written[-1:].isalnum() or written.endswith((")", "]")) else ""
        name = f"n{len(numbers)}"
        match token["symbol"]:
            case None if token["command"]:
                written += joint + token["command"].lstrip("dtc")
                arguments = 1 if token["command"] == "sqrt" else 2
            case None:  # of `\frac43` each digit is an argument
                numbers[name] = _number(text[token.start("number") : position])
                written += f"[{name}]" if arguments else f" {name}"
                arguments = max(arguments - 1, 0)
            case "{":
                written += "[" if arguments else f"{joint}["
                outside.append(max(arguments - 1, 0))
                arguments = 0
            case "}":
                written += "]"
                arguments = outside.pop() if outside else 0
            case symbol:
                written += (joint if symbol == "(" else "") + _PYTHON.get(symbol, symbol)
    if re.search(r"[-+*/]\s*\+|[-+]\s*-", written):
        raise ValueError(text)
    return written, numbers


def _value(node: ast.expr, numbers: dict[str, Fraction]) -> Fraction:  # noqa: PLR0911 - one for each kind
    match node:
        case ast.Name(id=name) if name in numbers:
            return numbers[name]
        case ast.List(elts=[inner]) | ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _value(inner, numbers)
        case ast.UnaryOp(operand=inner):
            return -_value(inner, numbers)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _raise(_value(left, numbers), _value(right, numbers))
        case ast.BinOp(left=left, op=operator, right=right):
            return _OPERATORS[type(operator)](_value(left, numbers), _value(right, numbers))
        case ast.Attribute(value=inner):
            return Fraction(math.factorial(_small(_value(inner, numbers))))
        case ast.Subscript(value=ast.Name(id="sqrt"), slice=inner):
            return _root(_value(inner, numbers))
        case ast.Subscript(value=ast.Subscript(value=ast.Name(id=name), slice=first), slice=second):
            one, other = _value(first, numbers), _value(second, numbers)
            return one / other if name == "frac" else Fraction(math.comb(_small(one), _small(other)))
    raise ValueError(node)


def _number(written: str) -> Fraction:
    digits, _, repeat = written.partition("\\overline")
    places = len(digits.partition(".")[2])
    if repeat and "." not in digits:
        raise ValueError(written)
    period = repeat.strip("{}")
    value = Fraction(f"0{digits}".rstrip("."))
    return value + Fraction(int(period), (10 ** len(period) - 1) * 10**places) if period else value


def _raise(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator == 2 and base >= 0:  # noqa: PLR2004 - a square root
        base, exponent = _root(base), exponent * 2
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if exponent.denominator != 1 or size * abs(exponent) > _MAX_BITS:
        raise ValueError(exponent)
    return Fraction(base ** int(exponent))


def _root(value: Fraction) -> Fraction:
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if root * root != value:
        raise ValueError(value)
    return root


def _small(value: Fraction) -> int:
    """The natural number that a factorial or binomial takes."""
    if value.denominator != 1 or not 0 <= value <= _MAX_FACTORIAL:
        raise ValueError(value)
    return int(value)
