"""Reading letters and choices' own texts at a given place; `choices.py` says where to look."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise

from llmbench.answers.languages import BECAUSE, IS, OPTION

_WRAPPERS = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|mathrm|mathbf|mathsf|mathit|mbox|bf|rm|operatorname|underline|emph)\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_MATH_MARKS = re.compile(
    r"\\[()\[\]]|(?<!\\)\$+|\\[,;:! ]|\\(?:displaystyle|quad|qquad|left|right|bf|rm|Large|large|huge)(?![A-Za-z])"
)
_BOLD_LETTER = re.compile(r"(\*\*|__|\*|_|`)\(?([A-Z])\)?[.):]?\1")
_BOLD_OPTION = re.compile(r"(\*\*|__)\s*\(?([A-Z])[.):]\)?\s*(.+?)\1", re.DOTALL)
_HTML = re.compile(r"<(b|strong|i|em|u|code|mark)>([^<>]{1,300})</\1>", re.IGNORECASE)
_EMPHASIS = re.compile(r"\*\*|__|`|(?<![*\w])\*(?=\S)|(?<=\S)\*(?![*\w])")


def plain(text: str) -> str:
    """The text less markdown's emphasis and LaTeX's delimiters; a letter set in bold becomes "(B)"; boxes stay."""
    for _ in range(2):
        text = _WRAPPERS.sub(r"\1", text)
    text = _MATH_MARKS.sub(" ", _HTML.sub(r"\2", text))
    text = _BOLD_LETTER.sub(r"(\2)", text)
    text = _BOLD_OPTION.sub(r"(\2) \3", text)
    return _EMPHASIS.sub("", text)


_SURE = r"i(?:['’]m|\s+am)\s+(?!not\b)(?:\w+\s+)?(?:sure|confident|certain)\b"
_FILLER = re.compile(
    r"(?:[\s:,=\"'“‘<\-–—>→*]|\b(?:the|that|option|choice|answer|letter|alternative|clearly|therefore|thus|hence|then|likely|most|probably|"
    r"indeed|definitely|simply|just|only|best|correct|right|final|given|by|be|to|labeled|labelled|number|is|as|follows|following|described|"
    r"represented|closest|in|it|it['’]s|must|should|would|seems|appears|obviously|certainly|"
    r"(?:i|we)\s+(?:would\s+|will\s+)?(?:think|believe|guess|suspect|say|choose|pick|select)|i['’]d\s+(?:say|guess|choose|pick)|i['’]ll\s+(?:choose|pick)"
    rf"|{_SURE}|looks\s+like|go(?:ing)?\s+with)\b(?![-'’])|{OPTION}|{IS})*",
    re.IGNORECASE,
)
_LATIN = "A-Za-zÀ-ÖØ-öø-ɏ"
# The apostrophe before a Turkish suffix ("C'dir") is no prime.
_TOKEN = re.compile(
    r"['‘](?P<quoted>[A-Za-z])['’](?!\w)|(?P<open>[(\[{\"'“‘<]|\[\[|\\\{)?\s*"
    rf"(?P<plain>[A-Za-z])(?![{_LATIN}0-9₀-₉ₐ-ₜ⁰-⁻_^]|['’](?![dt][ıi]r\b))(?:\s?(?P<close>\]\]|[)\]}}\"'”’>]|\\\}}))?"
)
_SEVERAL = re.compile(
    r"\s*(?:,\s*(?:and|or)?|/|&|\+|\||\b(?:and|or|and/or|und|oder|et|ou|y|o|e|dan|atau|и|или)\b|[或和、与])\s*(?:(?:maybe|perhaps|possibly|else)\s+)?(?:option\s+|choice\s+)?\(?(?P<letter>[A-Z])(?![A-Za-z0-9'’_^])\)?"
    r"(?!\s+(?!are\b|both\b|together\b|only\b|combined\b|if\b|because\b|since\b|as\b)[a-z])"
)
_DENIED = re.compile(
    r"\)?\s+(?:is|was|were|cannot|can['’]t|would|does|must)(?:n['’]t|\s+(?:not|in(?:correct|valid)|wrong|false|ruled|eliminated|excluded|impossible"
    r"|(?:clearly|also|therefore|thus)\s+(?:not|wrong|incorrect|false)))\b|\)?\s+(?:cannot|can['’]t|isn['’]t|wasn['’]t)\b"
    r"|[)\]]?[^.!?\n,A-Za-z]{0,6}?(?:아니|아닙|ではな|でな|じゃな|नहीं|নয়|ไม่)|[)\]]?\s+değil|\)?[ \t]*[✗✘❌×]"
    r"|\)?\s*\?|\)?\s+\((?:wrong|incorrect|false|no)\)"
)
_ENDS_SENTENCE = re.compile(
    r"[)\]}*]*\s*(?:[.!;।](?!\w)|$|\n|,\s*(?:since|because|as|which|so|not|though|although|even|but|while)\b|\s(?:because|since|rather\s+than|instead\s+of)\b|\shere\s*(?:[.!;,]|$|\n)|<|\}|[–—]\s|-\s(?=[A-Za-z]{2}))"
)
_ENDS = re.compile(rf"\s*(?:[.,;:!?)\]}}\"<*|।]|$|\n|[-–—]\s|(?![{_LATIN}])[^\W\d_])|['’]")
_FOLLOWS = (
    r"(?:because|since|as|due|which|where|so|given|based|with|and|or|but|for|by|in|is|if|from|on|also|again|here|therefore|not|rather|instead"
    rf"|according|considering|after|when|while|{BECAUSE})"
)
# "B field.", "B cell lymphoma.": a name that goes on, if no word of the sentence is one that may follow a letter.
_NAME = re.compile(
    r"(?:\.(?=\s+\w+(?:\s+\w+)?\s*(?:[.,;!?]|$|\n)))?(?:\s+(?!(?:is|are|was|has|remains|survives|satisfies|fits|works|matches|agrees|then|here|too|only|to|of|that|this|the|a|an|option|choice|answer|above|below|who|at|without|under|over|than|once|until|though|although|instead|it|we|i|my|no|yes|\w+ly)\b)"
    rf"(?!{_FOLLOWS}\b)[a-z]{{2,}}){{1,3}}\s*(?:[.,;!?]|$|\n)"
)
# What may follow an undecorated "A" or "I" that is a letter and not a word.
_GOES_ON = re.compile(rf"\s+{_FOLLOWS}\b")
_FORMULA = re.compile(
    r"\s*(?:[=→⟶^_]|\\(?:to|rightarrow|cdot|times)|\+\s*\w|\*\s*\w)|-\s?\w|[–—:≡](?:[A-Z](?![a-z])|\d)|/\w|\([a-z]{1,2}\)|\d|\.\w|°"
)
_ANNOUNCED = re.compile(
    r"\A(?:the\s+)?(?:(?:correct|final)\s+)?(?:(?:option|choice|answer)\b\s*(?:is\b)?\s*:?\s*)?",
    re.IGNORECASE,
)
"""What a box may hold before its letter."""
_LONG_ENOUGH = 15  # characters of a choice's text that may be followed by more
_MAX_CLAUSES = 30
_OPTION_LINE = re.compile(
    rf"^[ \t>#]*(?:[-–—→•]+[ \t]+)?(?:(?:option|choice|answer|{OPTION})[:\s]+)?(?P<open>[(\[{{<'\"“‘]{{1,2}})?(?P<letter>[A-Z])"
    r"(?P<close>[)\]}>'\"”’]{1,2}[.:]?|[.:!]|[ \t]+[-–—](?=[ \t]+(?:[-+−±≈]?\d[^=\n]*)?[^\W\d_]{2})|[ \t]+[–—](?=[ \t]+[-+−±≈]?\d[^=\n]*$)|[ \t]*,?(?=[ \t]+(?:because|since|as)\b))?(?P<rest>[ \t]*$|[ \t]+\S.*$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads letters of a question: `letters` are valid, `choices` their texts, if known.

    What is read is a valid letter, or "" for several letters or one out of range.
    """

    letters: str
    choices: tuple[str, ...]

    def after(self, rest: str, *, ends_sentence: bool = False) -> str | None:
        """The letter that stands at the beginning, behind filler words; None where no letter is stated."""
        filler = _FILLER.match(rest)
        start = filler.end() if filler else 0
        box = re.match(r"\s*\\?(?:boxed|fbox)\s*\{\s*", rest[start:])
        start += box.end() if box else 0
        if start and rest[start - 1] in "'‘" and not box:  # the filler took the opening quote
            start -= 1
        token = _TOKEN.match(rest, start)
        if token is None:
            return None
        behind = rest[token.end() :]
        letter = token["quoted"] or token["plain"]
        if _DENIED.match(behind) or _is_list(rest[start:], letter):
            return None
        decorated = bool(token["quoted"] or (token["close"] and (token["open"] or token["close"][0] in ")]")))
        if not self._is_letter(letter, behind, decorated=decorated):
            return None
        own = None if decorated else self.own_text(rest[start:])
        if own and len(_keys(self.choices)[self.letters.index(own)]) > 1:
            return None  # "B cells", if that is a choice's own text
        read = self._single(letter.upper(), behind)
        goes_on = (ends_sentence and not _ENDS_SENTENCE.match(behind)) or (
            not decorated and _NAME.match(behind)
        )
        return None if goes_on and not self._goes_with(read, behind) else read

    def _goes_with(self, letter: str, behind: str) -> bool:
        """Whether the letter's own text stands behind it, or its first words."""
        own = self.own_text(behind.lstrip(" :.)"))
        begun = _key(re.split(r"[.,;!?\n]", behind.lstrip(" :.)"))[0])
        text = dict(zip(self.letters, _keys(self.choices), strict=False)).get(letter, "")
        return own == letter if own else bool(begun) and text.startswith(begun)

    def _is_letter(self, letter: str, behind: str, *, decorated: bool) -> bool:
        if decorated:
            return True
        if _FORMULA.match(behind):
            return False
        if _ENDS.match(behind):
            return True
        if letter.islower():
            return False
        if letter in "AI" or letter not in self.letters:
            return bool(_GOES_ON.match(behind)) and letter in self.letters
        return True

    def _single(self, letter: str, behind: str) -> str:
        several = _SEVERAL.match(behind)
        if several and several["letter"] in self.letters and several["letter"] != letter:
            return ""
        return letter if letter in self.letters else ""

    def boxed(self, content: str) -> str | None:
        """What a box holds: a letter, a letter and its text, or a choice's own text."""
        content = _ANNOUNCED.sub("", content.strip().strip("."), count=1)
        token = _TOKEN.match(content)
        if token:
            behind = content[token.end() :]
            letter = (token["quoted"] or token["plain"]).upper()
            decorated = bool(token["quoted"] or token["close"]) or bool(re.match(r"\s*[.:,)]", behind))
            if not behind.strip() or (decorated and not _FORMULA.match(behind)):
                return self._single(letter, behind)
            if _SEVERAL.match(behind):
                return ""
            if self._goes_with(letter, behind.strip(" ()")):
                return letter  # "C (7 eV)"
        return self.own_text(content)

    def own_text(self, rest: str) -> str | None:
        """The letter of the choice whose own text stands at the beginning; at least its first clause must be the whole text."""
        if not self.choices:
            return None
        line = re.sub(r"^that\s+", "", rest.strip().split("\n")[0].strip(' "“:'))
        keys, whole = _keys(self.choices), _key(line)
        if not any(key and whole.startswith(key) for key in keys):
            return None
        for end in _clause_ends(line):
            letter = self._letter_of(line[:end])
            if letter:
                return letter
        return self._only(lambda key: len(key) >= _LONG_ENOUGH and whole.startswith(key))

    def _letter_of(self, text: str) -> str | None:
        wanted = _key(text)
        return self._only(lambda key: key == wanted) if wanted else None

    def _only(self, is_meant: Callable[[str], bool]) -> str | None:
        """The letter of the only choice that is meant, by what is compared of its text."""
        keys = zip(self.letters, _keys(self.choices), strict=False)
        found = [letter for letter, key in keys if is_meant(key)]
        return found[0] if len(found) == 1 else None

    def only_line(self, text: str) -> str | None:
        """A line that is nothing but a letter, first or last; else the one line of the text that begins as an option does."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        found = [
            (index, match)
            for index, line in enumerate(lines)
            if (match := _OPTION_LINE.match(line))
            and not _is_list(line, match["letter"])
            and (match["open"] or (match["close"] or "")[:1] not in {"'", '"', "”", "’"})
        ]
        bare = [
            (index, match)
            for index, match in found
            if not match["rest"].strip() and match["letter"].upper() in self.letters
        ]
        if len({match["letter"].upper() for _, match in bare}) > 1 and all(
            later == earlier + 1 for (earlier, _), (later, _) in pairwise(bare)
        ):
            return None  # a list of the letters
        for index, match in reversed(bare):
            if index in {0, len(lines) - 1}:
                return match["letter"].upper()
        marked = {
            match["letter"] for _, match in found if match["close"] is not None and match["letter"].isupper()
        }
        if len(marked) == 1 and marked <= set(self.letters):
            index, _ = next((index, match) for index, match in found if match["close"] is not None)
            return marked.pop() if index in {0, len(lines) - 1} else None
        return self._returned_to(found, len(lines) - 1)

    def _returned_to(self, letters: list[tuple[int, re.Match[str]]], last: int) -> str | None:
        """The last line's letter, where that line goes back to an option instead of going on with the list of them."""
        marked = [
            (index, match["letter"])
            for index, match in letters
            if match["close"] and match["letter"] in self.letters
        ]
        if marked[:1] == marked[-1:] or marked[-1][0] != last:
            return None
        before, letter = marked[-2][1], marked[-1][1]
        return None if self.letters.index(letter) == self.letters.index(before) + 1 else letter

    def own_text_line(self, text: str) -> str | None:
        """The letter of the choice whose own text is the last line."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return self._letter_of(lines[-1]) if lines and self.choices else None


def _is_list(rest: str, letter: str) -> bool:
    """Whether a line lists options from this letter on ("A) 5 B) 6 C) 7"), as a question does."""
    line = rest[:400].split("\n", 1)[0]
    marks = [re.escape(chr(ord(letter.upper()) + step)) for step in (1, 2)]
    return bool(re.search(rf"[\s,(\[]{marks[0]}[).:\]].*[\s,(\[]{marks[1]}[).:\]]", line))


def _clause_ends(line: str) -> list[int]:
    """Where a choice's text may end: at the line's end, a sentence's, or before an explanation; the first ones only."""
    breaks = re.finditer(
        r"[.!?]\s|,\s|;\s|\s\(|\s[-–—]\s|\s(?:because|since|as|which|due|where|so|based|is)\b", line
    )
    return [len(line), *(match.start() for match in islice(breaks, _MAX_CLAUSES))]


_SYMBOLS = {"times": "×", "cdot": "·", "approx": "≈", "mu": "μ", "pi": "π"}


@lru_cache(maxsize=64)
def _keys(choices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_key, choices))


def _key(text: str) -> str:
    """What is compared of a choice's text: letters, digits and signs, however they are set, less "the" in front."""
    text = re.sub(r"^\W*the\s+", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub("[⁰¹²³⁴-⁹⁻⁺]+", lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = unicodedata.normalize("NFKC", text).replace("−", "-")
    text = re.sub(r"\\(times|cdot|approx|mu|pi)", lambda match: _SYMBOLS[match[1]], text)
    return re.sub(r"[\s\\${}^*_,\"'`]|[.:;]+$", "", text.strip(" .\"'“”")).casefold()
