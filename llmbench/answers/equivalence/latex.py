r"""LaTeX and plain mathematics brought into one form, so that spelling makes no difference.

`clean` drops what says nothing (delimiters, sizes, spaces, currency, degree signs, a final dot), writes each thing in one way
(`\dfrac43` → `\frac{4}{3}`, `≤` → `\le`, `√2` → `\sqrt{2}`, `x²` → `x^{2}`, `\textbf{a}` → `\text{a}`), and turns "and" and
"or" between values into commas. Row ends of matrices become `ROW`. It never changes a value.
"""

import re
from collections.abc import Callable

from llmbench.answers.equivalence import notation

_UNICODE = {
    "−": "-", "–": "-", "×": r"\times ", "÷": r"\div ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "π": r"\pi ",
    "∞": r"\infty ", "°": r"^{\circ}", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "±": r"\pm ",
    "∓": r"\mp ", "º": r"^{\circ}", "˚": r"^{\circ}", "∨": r"\lor ", "∧": r"\land ", "ℝ": r"\mathbb{R}", "∖": r"\setminus ", "∣": "|", "∠": r"\angle ", "¢": r"\text{ cents}", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "≈": r"\approx ", "≡": r"\equiv ",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "θ": r"\theta ", "λ": r"\lambda ", "φ": r"\phi ", "ω": r"\omega ",
    "√": r"\sqrt ", "∛": r"\sqrt[3] ", "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}", "⅕": r"\frac{1}{5}", "⅛": r"\frac{1}{8}", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "％": "%",
    "，": ",", "（": "(", "）": ")", "：": ":", "；": ";", "⟨": r"\langle ", "⟩": r"\rangle ", "⁄": "/", "∕": "/", "′": "'",
}  # fmt: skip
_TRANSLATION = str.maketrans(_UNICODE)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")

_COMMANDS = {
    "lbrace": r"\{", "lcurly": r"\{", "rbrace": r"\}", "rcurly": r"\}", "langle": "(", "rangle": ")", "lbrack": "[", "rbrack": "]",
    "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "leq": r"\le ", "leqslant": r"\le ", "leqq": r"\le ", "geq": r"\ge ", "geqslant": r"\ge ",
    "geqq": r"\ge ", "neq": r"\ne ", "lt": "<", "gt": ">", "varnothing": r"\emptyset ",
}  # fmt: skip
_FUNCTIONS = r"arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|gcd|lcm|max|min"
_OR = r"(?:\\text\{\s*,?\s*or\s*\}|(?<![A-Za-z\\])or(?![A-Za-z])|(?<=\))or(?=\()|\\(?:lor|vee)(?![A-Za-z])(?=.*[=<>\d]))"
_AND = (
    r"(?:\\text\{\s*,?\s*and\s*\}|(?<![A-Za-z\\])and(?![A-Za-z])|\\(?:land|wedge)(?![A-Za-z])(?=.*[=<>\d]))"
)
_EITHER = "\ue001"  # stands for "or" until it is known what it joins
_BOTH = "\ue002"  # so for "and"
AND = ",\u205f"
"""A comma that was "and" between inequalities: both must hold, while a comma may also list alternatives."""
_NESTED_TEXT = re.compile(r"\\text\s*\{\s*\\text\s*\{([^{}]*)\}\s*\}")
_TEXT_LIST = r"^\\text\{([^{}\d]*\s(?:and|or)\s[^{}\d]*)\}$"

_VECTOR = r"(?:\\(?:vec|mathbf|boldsymbol|bm)\s*(?:\{\s*\\?\w+\s*\}|\w)|\\nabla)"
# In this order; each brings one spelling into the common one.
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"({_VECTOR})\s*\\times(?![A-Za-z])", r"\1 \\otimes "),  # the vector product is not the scalar one
        (r"\\(?:left|right|middle)\s*\.", ""),
        (r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])", ""),
        (r"\\(?:displaystyle|textstyle|limits|nolimits|bf|rm|it|large|Large|huge|phantom\{[^{}]*\}|hphantom\{[^{}]*\})(?![A-Za-z])", ""),
        (r"(?<=\d)\s*(?:,\s*\\!|\{,\}|\\[,!;:]|\\ )\s*(?=\d{3}(?!\d))", ""),  # thousands
        (r"(?<=\d)\{,\}", ","),
        (r"\\!", ""),
        (r"(?:\\q?quad|\\[,;: ]|\\(?:enspace|thinspace|hspace\{[^{}]*\}|hfill)(?![A-Za-z])|(?<!\\)~|\s)+", " "),
        (r"\\(?:[dtc]|nice|s)frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:textcolor|color)\s*\{[^{}]*\}\s*\{([^{}]*)\}", r"\1"),
        (r"\\cr(?![A-Za-z])", r"\\\\"),
        (r"(?<=[^\s]),?\s*\\text\s*\{\s*,?\s*(?:since|because)\b.*$|(?<=[^\s]),\s*\\text\s*\{\s*(?:and )?not\s*\}.*$", ""),
        (r"\\(?:textcolor|color)\s*\{[^{}]*\}|\\(?:checkmark|blacksquare|square)(?![A-Za-z])|\\underline(?=\s*\{)", ""),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (r"\{\s*\{?([^{}]+)\}?\s*\\choose(?![A-Za-z])\s*\{?([^{}]+)\}?\s*\}|^\{?([^{}]+)\}?\s*\\choose(?![A-Za-z])\s*\{?([^{}]+)\}?$", r"\\binom{\1\3}{\2\4}"),
        (r"(?:\{\s*\})?[_^]\s*\{?(\d+|n)\}?\s*(?:\\text\{)?C\}?\s*_\s*(?:\{(\w+)\}|(\w))", r"\\binom{\1}{\2\3}"),
        (r"(?<![A-Za-z\\])C\s*_\s*\{?(\d+|n)\}?\s*\^\s*\{?(\d+|k|r|m)\}?", r"\\binom{\1}{\2}"),
        (r"\\log\s*_\s*\{?\s*e\s*\}?", r"\\ln "),
        (r"(?<=\d)(?::00)?(\s*\\text\{\s*|\s+|(?<=:\d\d))([AaPp])(?:\.\s?[Mm](?![A-Za-z])\.?|[Mm](?![A-Za-z]))", lambda match: f"{match[1]} {match[2].lower()}m"),
        (r"\\text\{\s*(?:negative|minus)\s+([\d.,/]+)\s*\}|(?:\\text\{\s*(?:negative|minus)\s*\}|(?<![A-Za-z])(?:negative|minus)\s)\s*(?=[\d\\])", r"-\1"),
        (r"\\Bbb\s*|\\mathbb\s*(?=[A-Z])|\\mathbf(?=\{R\})", r"\\mathbb"),
        (r"\\(?:reals|R)(?![A-Za-z])|\\mathbb(?:R|\{\s*R\s*\})", r"\\mathbb{R}"),
        (r"\\(?:backslash|smallsetminus)(?![A-Za-z])|(?<=\\mathbb\{R\})\s*-(?=\s*\\[{l])", r"\\setminus "),
        (r"\\\{\s*\\\}", r"\\emptyset "),
        (r"\\cent(?![A-Za-z])", r"\\text{ cents}"),
        (r"\\operatorname\*?\s*\{\s*(" + _FUNCTIONS + r")\s*\}", r"\\\1 "),
        (r"\\(?:textbf|textit|textrm|textnormal|textsf|texttt|mathrm|mathbf|mathit|mathsf|mathtt|mbox|hbox|operatorname\*?|emph|bold|boldsymbol|bm)\s*\{", r"\\text{"),
        (r"\\text\s*\{\s*\}", ""),
        (r"(?<=[\d})])((?:\\[,;:! ]|[\s~])*)\\text\{\s*(?:min|(sec))\.?\s*\}(?!\s*[\\({^_A-Za-z])", lambda match: rf"{match[1]}\text{{ {'seconds' if match[2] else 'minutes'} }}"),
        (r"\\text\{\s*(" + _FUNCTIONS + r")\s*\}", r"\\\1 "),
        (r"(?<![<=])<=", r"\\le "),
        (r"(?<![>=])>=", r"\\ge "),
        (r"!=", r"\\ne "),
        (rf"\\({'|'.join(_COMMANDS)})(?![A-Za-z])", lambda match: _COMMANDS[match[1]]),
        (r"&lt;", "<"),
        (r"&gt;", ">"),
        (r"(?<![A-Za-z\\])(?:\+\s*)?(?:infinity|inf|oo)(?![A-Za-z])|\+\s*\\infty", r"\\infty "),
        (r"(?<![A-Za-z\\])(U)(?=\s*[\[(])(?<=[\])]\s\1)", r"\\cup "),
        (r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<![A-Za-z\\])(" + _FUNCTIONS + r")(?=[\s({\d])", r"\\\1"),
        (r"(?<![A-Za-z\d])(\d+\.?\d*)[eE]([-+]?\d+)(?![\d.A-Za-z])", r"\1\\times 10^{\2}"),
        (r"\*\*", "^"),
        (r"\\ast(?![A-Za-z])", "*"),
        (r"\^\s*(?:\{\s*((?:\\prime\s*)+)\}|(\\?\s*prime))", lambda match: "'" * match[0].count("prime")),
        (r"\\pounds|\\euro|\\(?=\$)", ""),
        (r"[$€£¥]|(?<![A-Za-z])(?:USD|US\$)(?![A-Za-z])", ""),
        (r"\s*(?:\\%|\\text\{\s*(?:\\?%|per ?cent)\s*\}|(?<![A-Za-z])(?:per ?cent|pct)(?![A-Za-z]))", "%"),
        (r"(?:\^\s*\{?\s*\\circ\s*\}?|\\(?:degree|deg|degrees)(?![A-Za-z]))\s*(?:(?:\\text\{\s*)?([CFK])(?:\s*\})?(?=\s*$))?", lambda match: rf"\text{{ degrees{' ' * bool(match[1])}{match[1] or ''}}}"),
        (r"(?<=\d)\s*\^\s*\{?\s*(?:\\text\{\s*)?(?:st|nd|rd|th)\s*\}?\s*\}?(?![A-Za-z])|(?<=\d)(?:st|nd|rd|th)(?![A-Za-z])", ""),
        (_TEXT_LIST, lambda match: ", ".join(f"\\text{{{part}}}" for part in re.split(r",?\s+(?:and|or)\s+|,\s*", match[1].strip()))),
        (r"\s*,?\s*" + _OR + r"\s*", f" {_EITHER} "),
        (r"\s*,?\s*" + _AND + r"\s*", f" {_BOTH} "),
        (r"\\text\{\s*,\s*\}|;", ","),
        (r"\\colon(?![A-Za-z])|\{\s*:\s*\}|(?<=\d)\s*(?:\\text\{\s*to\s*\}|(?<![A-Za-z\\])to(?![A-Za-z]))\s*(?=\d)", ":"),
        (r"(?<=\d)\s*(?:\\text\{\s*over\s*\}|(?<![A-Za-z\\])over(?![A-Za-z]))\s*(?=\d)", "/"),
        (r"\\ldots|\\dots|\\cdots", r"\\dots "),
    )
)  # fmt: skip
# A letter set upright is a variable, or `i`; behind a value at the end it is a unit.
_LETTER_IN_TEXT = re.compile(
    r"(?:(?<=^)|(?<=[=(,+\-*]))\s*\\text\{\s*([A-Za-z])\s*\}|\\text\{\s*([ix])\s*\}|\\text\{\s*([A-Za-z])\s*\}(?!\s*(?:\^\s*\{?\d\}?)?\s*$)"
)
_WRAPPED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\$\$(.*)\$\$",
        r"\$([^$]*)\$",
        r"\\\((.*)\\\)",
        r"\\\[(.*)\\\]",
        r"\*\*(.*)\*\*",
        r"\\text\s*\{\s*(-?\s*\\?[$€£¥]?\s*[\d.,]*\d)\s*\}",
        r"\\text\s*\{\s*\$([^$]*)\$\s*\}",
        r"`+([^`]*)`+",
        r"\"(.*)\"",
    )
)


def clean(text: str) -> str:
    """The common form; see the module."""
    text = _unwrapped(notation.repeating_decimals(re.sub(r"\s+", " ", text)))
    text = re.sub("[⁰¹²³⁴-⁹⁻⁺ⁿ]+", lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", text)
    text = re.sub("[₀-₉]+", lambda match: f"_{{{match[0].translate(_SUBSCRIPTS)}}}", text)
    text = re.sub(
        r"√\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[a-z]))", lambda match: f"\\sqrt{{{match[1] or match[2]}}}", text
    )
    text = text.translate(_TRANSLATION)
    text = re.sub(r"\\\\(?=[A-Za-z])", r"\\", text) if "\\begin" not in text else text
    text = re.sub(r"\\\\(?:\[[^\]]*\])?", notation.ROW, text)
    text = notation.without_alignment(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
        if "\\text" in text:
            text = _NESTED_TEXT.sub(r"\\text{\1}", text)
    text = notation.angles_in_radians(notation.joined_units(re.sub(r"\s+", " ", text)))
    bare = text.strip()
    if bare.startswith("{") and closing(bare, 0) == len(bare) - 1:
        text = bare[1:-1]  # `{1, 2}`: LaTeX does not show braces around the whole
    text = _grouped_arguments(text)
    text = _LETTER_IN_TEXT.sub(lambda match: next(group for group in match.groups() if group), text)
    text = re.sub(r"\s+", " ", text).strip(f" ,{notation.ROW}{_EITHER}{_BOTH}").rstrip(".:\\").strip()
    return _joined_bounds(text)


_COMPARES = re.compile(r"[<>]|\\(?:le|ge|ne|in)(?![A-Za-z])")


def _joined_bounds(text: str) -> str:
    r"""Commas for "or" and "and"; between inequalities, of which a comma would say less, `\lor` and `AND`."""
    are_bounds = all(_COMPARES.search(part) for part in re.split(f"[{_EITHER}{_BOTH}]", text))
    either, both = (r" \\lor ", AND) if are_bounds else (", ", ", ")
    return re.sub(rf"\s*{_BOTH}\s*", both, re.sub(rf"\s*{_EITHER}\s*", either, text))


_ANNOUNCED = re.compile(
    r"(?P<text>\\text\s*\{)?\s*(?:the\s+|my\s+)?(?:final\s+|correct\s+)?(?:answer|result)\s*(?:is|:|=)\s*:?\s*(?=\S)(?!\s*\})",
    re.IGNORECASE,
)


def _unwrapped(text: str) -> str:
    """Without delimiters of mathematics, emphasis, a box or "The answer is" around the whole."""
    while True:
        text = re.sub(r"[,;. \n]+$", "", text.strip())
        inner = next((match[1] for pattern in _WRAPPED if (match := pattern.fullmatch(text))), None)
        if inner is None and (match := re.match(r"\\(?:boxed|fbox)\s*\{", text)):
            inner = text[match.end() : -1] if closing(text, match.end() - 1) == len(text) - 1 else None
        if inner is None and (match := _ANNOUNCED.match(text)):
            inner = (match["text"] or "") + text[match.end() :]
        if inner is None:
            return text
        text = inner


_BRACKET = re.compile(r"\\[{}]|[](){}[]")


def closing(text: str, start: int) -> int | None:
    """The place of the bracket that closes the one at `start`; round and square ones close each other, as in intervals."""
    openers, closers = "{}" if text[start] == "{" else ("([", ")]")
    depth = 0
    for bracket in _BRACKET.finditer(text, start):
        depth += (bracket[0] in openers) - (bracket[0] in closers)
        if depth == 0:
            return bracket.start()
    return None


_TAKES_ARGUMENTS = re.compile(r"\\(frac|sqrt|binom)(?![A-Za-z])\s*|\^\s*")
_TOKEN = re.compile(r"\\[A-Za-z]+|\S")


def _grouped_arguments(text: str) -> str:
    r"""Braces around every argument: `\frac43`, `\sqrt2`, `\sqrt(x+1)`, `x^10`, `2^(n+1)`."""
    out: list[str] = []
    position = 0
    while match := _TAKES_ARGUMENTS.search(text, position):
        out.append(text[position : match.start()])
        position = match.end()
        name = match[1]
        out.append(f"\\{name}" if name else "^")
        if name == "sqrt" and text[position : position + 1] == "[":
            end = text.find("]", position)
            end = len(text) - 1 if end < 0 else end
            out.append(text[position : end + 1])
            position = end + 1
        for _ in range(1 if name in {"sqrt", None} else 2):
            argument, position = _argument(
                text, position, is_power=name is None, in_parentheses=name != "binom"
            )
            out.append(f"{{{argument}}}")
    out.append(text[position:])
    return "".join(out)


def _argument(text: str, position: int, *, is_power: bool, in_parentheses: bool) -> tuple[str, int]:
    while position < len(text) and text[position] == " ":
        position += 1
    if position >= len(text):
        return "", position
    end = closing(text, position) if text[position] in ("{(" if in_parentheses else "{") else None
    if end is not None:
        return _grouped_arguments(text[position + 1 : end]), end + 1
    number = re.compile(r"-?\d+" if is_power else r"\d").match(text, position)
    if number:
        return number[0], number.end()
    if not is_power and re.match(r"\\(?:sqrt|frac)", text[position:]):
        return _nested(text, position)
    token = _TOKEN.match(text, position)
    return (token[0], token.end()) if token else ("", position)


def _nested(text: str, position: int) -> tuple[str, int]:
    r"""`\frac\sqrt{3}3`: a command and the group behind it."""
    match = re.match(r"\\(?:sqrt|frac)\s*", text[position:])
    end = position + (match.end() if match else 0)
    while end < len(text) and text[end] == "{":
        close = closing(text, end)
        if close is None:
            break
        end = close + 1
    return _grouped_arguments(text[position:end]), end


def fold(text: str) -> str:
    r"""The text without spaces, single braces, `\text` and multiplication dots, for equality as strings."""
    text = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)
    text = re.sub(r"\\cdot|\\times|\*", "*", text)
    text = re.sub(r"(?<=\d)\s+(?=\d)", "_", text)  # "1 2" is not 12
    return re.sub(r"\s+", "", text)
