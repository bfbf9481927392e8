r"""The number that a word problem asks for (GSM8K, arithmetic).

| order | statement | for example |
|---|---|---|
| 1 | the last of: `#### 18`, a box with a number, "the answer is 18", "Answer: 18" | `#### 1,450`, `\boxed{18\text{ dollars}}` |
| 2 | the last number of the text; in its sentence bold numbers and the result of an equation go first | `She makes **$18** every day.` |

Of an equation the last member counts ("The answer is 9 * 2 = $18."). A number never counts where what stands around it makes another
value of it ("18 and a half", "18x", "at least 18", "18 apples and 17 pears"; `quantities.py`): a statement is then wrong, a closing
sentence none. Parts with known units are one number ("18 dollars and 50 cents" is 18.5); of "120 minutes, which is 2 hours" the unit
that the question names counts, else the first. What comes back is the number as it was written, less
currency and percent signs: "70,000", "-7", "3/4", "5.00". Numbers inside words ("x2"), list numbers ("2.") and step numbers
("Step 3") are not looked at. Rule 2 is the "flexible extraction" of other harnesses, less what is seldom
the answer: courtesies, denials, refusals, asides, checks, "after 3 days", "of the 20" (`text.py`, `last_number.py`); number words count.
A statement that the text corrects ("Wait, I forgot the cost.") gives way to another number concluded behind it (`retractions.py`).
`stated_number` leaves rule 2 out, and statements that reach the text's very end; use that for texts that were cut off.

Behind a cue or in a box an unevaluated expression, a range, a list or an alternative comes back whole ("18 + 2", "16 or 18",
"18:30"), never its first number: `number_equal` evaluates the first and finds the others equal to nothing. Scales are
multiplied out ("18 million", "70k", "18 dozen"), and operations in words are read ("9 twice", "half of 36"; `spoken.py`).
"""

import re

from llmbench.answers.boxed import last_boxed
from llmbench.answers.equivalence import number_equal
from llmbench.answers.equivalence.latex import clean
from llmbench.answers.equivalence.rational import MAX_LENGTH, rational
from llmbench.answers.equivalence.units import split_unit
from llmbench.answers.equivalence.words import qualifiers
from llmbench.answers.last_number import last_number
from llmbench.answers.quantities import PREPOSITION, merged, restated, without_parts
from llmbench.answers.retractions import corrected_part, is_retracted
from llmbench.answers.statements import BoxedFormula, Cue, boxes, cues, is_cut
from llmbench.answers.text import TAIL, first_sentence, paragraphs, prepare, prepare_cut, refuses, sentences
from llmbench.answers.written import VALUE, named, numbers_of, several, simplified

_EITHER = re.compile(
    rf"(?:\bbetween|\beither|\bfrom)\s+{VALUE}[^.!?]*?\b(?:and|or|to)\s+{VALUE}", re.IGNORECASE
)
_CLAUSE = r"\b(?:where|since|because|as|if|when|with|for|so|and|which|given|assuming)\b"
_CHAIN = re.compile(
    rf"(?:[\s\d.,+\-*/×÷·x()$€£%^]*|(?:(?!{_CLAUSE})(?:[^=,;:()\n.!?]|\.(?=\d)|,(?=\d{{3}})))*)=\s*(?=[\s($€£-]*[\d.])"
)
_LEAD = re.compile(
    r"(?:[\s:*_>=#`(]|\b(?:approximately|about|exactly|simply|just|therefore|thus|that|a total of|only|roughly|around|equal to|rs\.?|usd)\b)*",
    re.IGNORECASE,
)


def number_answer(text: str, question: str = "") -> str | None:
    """The stated number of a complete text, else its last; the module's table gives the order.

    The question says which of two units counts where the text gives both.
    """
    text = without_parts(restated(merged(_bounded(prepare(text))), question))
    return _stated(text) or (None if refuses(text) else last_number(text, question))


def stated_number(text: str, question: str = "") -> str | None:
    """The stated number alone, less one that may itself be cut off: what counts in a text that was cut off."""
    return _stated(without_parts(restated(merged(_bounded(prepare_cut(text))), question)), complete=False)


_LONG_RUN = re.compile(rf"([\d.,]{{{MAX_LENGTH + 1}}})[\d.,]+")


def _bounded(text: str) -> str:
    """Shortens runs of digits that are too long for a number, since reading one takes quadratic time."""
    return _LONG_RUN.sub(r"\1", text)


def _stated(text: str, *, complete: bool = True) -> str | None:
    kept = [box for box in boxes(text) if not is_retracted(text, box) and (complete or not is_cut(text, box))]
    stated: list[tuple[int, BoxedFormula | Cue]] = [(box.start, box) for box in kept[:-1]]
    stated += [(kept[-1].start, last)] if (last := last_boxed(text, kept)) else []
    stated += [
        (cue.end, cue)
        for cue in cues(text)
        if complete or cue.end + len(cue.rest) < len(text) or not _may_be_cut(cue.rest)
    ]
    for _, found in sorted(stated, reverse=True, key=lambda item: item[0]):
        if isinstance(found, BoxedFormula):
            number = _in_box(found.content)
        else:  # the dash of a list that begins on the next line is no sign
            starts_line = text[: found.end].rstrip(" *_").endswith("\n")
            number = _behind_cue(re.sub(r"^[-•]\s+", "", found.rest) if starts_line else found.rest)
        if number:
            part = corrected_part(text, max(found.end, len(text) - TAIL)) if complete else None
            later = last_number(part) if part else None
            return later if later and not number_equal(number, later) else number
    return None


def _joined_sign(text: str) -> str:
    """The text with its sign next to its number: "- 3" as "-3"."""
    return re.sub(r"^\s*([-+])\s+(?=[$€£¥]?\s?[\d.])", r"\1", text)


def _may_be_cut(rest: str) -> bool:
    """Whether more text would change the number behind a cue."""
    if re.search(r"(?:[.!?\n]|\*\*|[$)\]%])\s*$", rest):
        return False
    number = _behind_cue(rest)
    more = ("7", "000") if _WHOLE_WORD.search(rest) else ("7", "000", " 7")
    return any(_behind_cue(rest + added) != number for added in more)


_WHOLE_WORD = re.compile(
    rf"(?<![A-Za-z])(?!{PREPOSITION}\b|(?:and|or|plus|minus|times|divided|less|more|fewer)\b)[A-Za-z]{{2,}}$",
    re.IGNORECASE,
)
"""What a value ends in that another number would not belong to."""


def _in_box(content: str) -> str | None:
    """The value of a box: a number, which may have to be worked out, alone or with words; else all that stands there."""
    value = split_unit(clean(re.sub(r"\\?[$%]", "", content.rpartition("=")[2])))[0]
    content = _joined_sign(simplified(content).rpartition("=")[2])
    numbers = numbers_of(f" {content}")
    if rational(value) is not None and not qualifiers(content):
        is_written = len(numbers) == 1 and rational(numbers[0].written) == rational(value)
        return numbers[0].written if is_written else value
    start = re.search(rf"(?<!\w){VALUE}", content)
    if _EITHER.search(content):
        return content.strip()
    if start and (found := several(content[start.start() :])):
        return found
    if not numbers:
        return named(content)
    return numbers[0].written if numbers[0].alone() else content.strip()


def _behind_cue(rest: str) -> str | None:
    """The number that a cue leads to: at once, or in the one sentence that follows it."""
    rest = simplified("".join(paragraphs(rest)[:1]))
    if _BOUND.match(rest):
        return first_sentence(rest)
    rest = _joined_sign(_LEAD.sub("", rest, count=1))
    if re.match(r"[-+]?\s?[$€£¥]?\s?-?\.?\d", rest):
        return _first(rest)
    if found := named(first_sentence(rest)):
        return found
    if _EITHER.match(rest):
        return first_sentence(rest).strip(" .!*")
    if len(sentences(rest)) > 1:
        return None
    number = last_number(first_sentence(rest))
    return rest.strip() if number is None and re.search(r"\d", rest) else number


_BOUND = re.compile(r"[ $*]*(?:[<>]=?|[≤≥])\s?[-$]?\d")


def _first(text: str) -> str | None:
    """The number at the start, or the last member of the equation that starts there."""
    while chain := _CHAIN.match(text):
        text = text[chain.end() :]
    if found := several(first_sentence(text)):
        return found
    numbers = numbers_of(f" {first_sentence(text)}")
    if not numbers:
        return None
    return numbers[0].written if numbers[0].alone() else first_sentence(text).strip()
