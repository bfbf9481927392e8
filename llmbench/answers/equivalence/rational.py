r"""Exact rational numbers out of LaTeX or plain text, without sympy: most answers are such numbers.

expression = ["+"|"-"] product {("+"|"-") product}
product    = power {["*"|"/"] power}            implied multiplication; an integer before a fraction is a mixed number
power      = atom {"!"} ["^" exponent]
atom       = number | "(" expression ")" | "{" expression "}" | \frac{…}{…} | \sqrt{…} | \binom{…}{…}
"""

import math
import re
from fractions import Fraction
from operator import mul, truediv

MAX_LENGTH = 400
"""Characters. Longer texts are no answers, and int() refuses 4,300 digits."""
_MAX_BITS = 20_000
_MAX_DEPTH = 30
_MAX_FACTORIAL = 300

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d*|\.\d+|\d+)(?P<repeat>\\overline\{\d+\})?"
    r"|(?P<command>\\(?:[dtc]?frac|sqrt|[dt]?binom|cdot|times|div)(?![A-Za-z]))"
    r"|(?P<symbol>[-+*/^!(){}]))"
)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:,|\{,\}|,\\!\s*|\\,|\\!)\d{3})+(?![\d,])")
_OPERATORS = {**dict.fromkeys(("*", "\\cdot", "\\times"), mul), **dict.fromkeys(("/", "\\div"), truediv)}


class _Refused(Exception):  # noqa: N818 - not an error: the text is no rational number
    pass


def rational(text: str) -> Fraction | None:
    r"""The exact value of a number or of arithmetic on numbers, else None.

    Takes decimals, commas between thousands, repeating decimals (`0.\overline{3}`), fractions, mixed numbers (`1\frac{4}{5}`,
    `1 4/5`), powers, roots of squares, small factorials and binomials. Refuses what would grow beyond some thousand digits.
    """
    if len(text) > MAX_LENGTH:
        return None
    try:
        return _Parser(_tokens(_ungrouped(text))).value()
    except (_Refused, ZeroDivisionError):
        return None


def _ungrouped(text: str) -> str:
    text = text.strip().rstrip(".")
    if mixed := re.fullmatch(r"([-+]?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)", text):
        return f"{mixed[1]}({mixed[2]}+{mixed[3]}/{mixed[4]})"
    return _GROUPED.sub(lambda match: re.sub(r"\D", "", match[0]), text)


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _Refused
        position = match.end()
        if match["number"]:
            if tokens and re.match(r"[\d.]", tokens[-1]):
                raise _Refused  # two numbers side by side
            tokens.append(match["number"] + (match["repeat"] or ""))
        else:
            tokens.append(match["symbol"] or re.sub(r"^\\[dtc](?=frac|binom)", r"\\", match["command"]))
    return tokens


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def value(self) -> Fraction:
        result = self._expression()
        if self._peek():
            raise _Refused
        return result

    def _peek(self, ahead: int = 0) -> str:
        index = self._position + ahead
        return self._tokens[index] if index < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._position += 1
        return token

    def _expression(self) -> Fraction:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _Refused
        sign = -1 if self._peek() == "-" else 1
        if self._peek() in {"+", "-"}:
            self._take()
        result = sign * self._product()
        while self._peek() in {"+", "-"}:
            sign = 1 if self._take() == "+" else -1
            result += sign * self._product()
        self._depth -= 1
        return result

    def _product(self) -> Fraction:
        result = self._mixed() or self._power()
        while token := self._peek():
            if token in _OPERATORS:
                self._take()
                result = _OPERATORS[token](result, self._signed_power())
            elif token in {"(", "{", "\\frac", "\\sqrt", "\\binom"}:
                result *= self._power()
            else:
                break
        return result

    def _signed_power(self) -> Fraction:
        if self._peek() == "-":
            self._take()
            return -self._power()
        return self._power()

    def _mixed(self) -> Fraction | None:
        r"""`15\frac{39}{40}`: an integer directly before a fraction of two integers."""
        tokens = [self._peek(ahead) for ahead in range(8)]
        numbers = tokens[0].isdigit() and tokens[3].isdigit() and tokens[6].isdigit()
        if not numbers or tokens[1:3] != ["\\frac", "{"] or tokens[4:6] != ["}", "{"] or tokens[7] != "}":
            return None
        self._position += 8
        return _number(tokens[0]) + _number(tokens[3]) / _number(tokens[6])

    def _power(self) -> Fraction:
        base = self._atom()
        while self._peek() == "!":
            self._take()
            base = _factorial(base)
        if self._peek() == "^":
            self._take()
            return _raise(base, self._signed_power())
        return base

    def _atom(self) -> Fraction:
        token = self._take()
        if token in {"(", "{"}:
            inner = self._expression()
            if self._take() != (")" if token == "(" else "}"):
                raise _Refused
            return inner
        if token == "\\frac":
            return self._argument() / self._argument()
        if token == "\\sqrt":
            return _root(self._argument())
        if token == "\\binom":
            return _binomial(self._argument(), self._argument())
        if token and (token[0].isdigit() or token[0] == "."):
            return _number(token)
        raise _Refused

    def _argument(self) -> Fraction:
        r"""A braced argument, or the next single digit as in `\frac43`."""
        if self._peek() == "{":
            return self._atom()
        token = self._peek()
        if not token.isdigit():
            raise _Refused
        self._tokens[self._position : self._position + 1] = [token[0], *([token[1:]] if token[1:] else [])]
        return _number(self._take())


def _number(token: str) -> Fraction:
    digits, _, repeat = token.partition("\\overline")
    if not repeat:
        return Fraction(f"0{digits}" if digits.startswith(".") else digits.rstrip("."))
    if "." not in digits:
        raise _Refused
    places = len(digits.partition(".")[2])
    period = repeat.strip("{}")
    return _number(digits) + Fraction(int(period), (10 ** len(period) - 1) * 10**places)


def _raise(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator == 2 and base >= 0:  # noqa: PLR2004 - a square root
        base, exponent = _root(base), exponent * 2
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if exponent.denominator != 1 or size * abs(exponent) > _MAX_BITS:
        raise _Refused
    return Fraction(base ** int(exponent))


def _root(value: Fraction) -> Fraction:
    if value < 0:
        raise _Refused
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if root * root != value:
        raise _Refused
    return root


def _factorial(value: Fraction) -> Fraction:
    if value.denominator != 1 or not 0 <= value <= _MAX_FACTORIAL:
        raise _Refused
    return Fraction(math.factorial(int(value)))


def _binomial(above: Fraction, below: Fraction) -> Fraction:
    if above.denominator != 1 or below.denominator != 1 or not (0 <= above <= _MAX_FACTORIAL and below >= 0):
        raise _Refused
    return Fraction(math.comb(int(above), int(below)))
