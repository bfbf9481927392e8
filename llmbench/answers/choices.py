r"""The letter of a multiple-choice answer in a model's text.

| tier | statement | for example |
|---|---|---|
| strong | a box; a cue and a letter; "X is the correct answer"; 答案, 选 | `\boxed{\text{B}}`, `Answer: **B**`, `the best option is (C)` |
| strong | a box or a cue and the choice's own text (needs `choices`) | `The answer is 2.75 μs.` |
| weak | "I choose B", "so it must be B", "matches option B", "that leaves B", in a complete text also "it is B" | `This corresponds to option (D).` |
| weak | a line that is the letter, or the only line that begins as an option does | `**B**`, `B) 2/3`, `[B]`, `B – 2/3` |
| weak | a limited statement of the strong kinds (`suppositions.py`) | `B is the answer for ideal gases.` |
| weak | the last line is a choice's own text; the closing sentence names one letter, set off or as what is true or fits | `Thus, the product is (C).`, `Only C is consistent with the data.`, `5 eV → C` |

The last strong statement wins, wherever weaker ones stand; a weak one behind it wins only where the model takes something
back in between ("Wait", "mistake", "Scratch that, C"). Among weak ones the higher row wins, then the later statement. Tiers below the first
need a complete text, but for "I choose", which is as good as a cue. Of a long text the last 25,000 characters are read. A letter or text at the very end of an incomplete text is
no statement: "The answer is B" may have become "Benzene".

"Seems to be", "I think" and "probably" state; "might be" and "could be" do not, nor does a question. The words of other languages
stand in `languages.py`.

No statement: a word that begins with a letter ("Answer: Benzene"), the article ("The answer is a particle"), a formula
("B = 0.5 T", "C-14"), a species ("C. elegans"), "the least likely answer", a denial, a supposition or somebody else's opinion (`suppositions.py`), a list of options or an instruction
("Choose the correct answer: A) …"), something named by a letter ("Compound C is the answer"), a letter in prose.
A statement that names several letters ("A and B") or one out of range ("Answer: E") is not an answer, and stays the last word;
"not A but B" is B.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmbench.answers import choice_patterns as patterns
from llmbench.answers.boxed import last_boxed
from llmbench.answers.letters import Reader, plain
from llmbench.answers.retractions import is_retracted
from llmbench.answers.statements import boxes, cues
from llmbench.answers.suppositions import clause_before, is_limited, is_supposed
from llmbench.answers.text import paragraphs, prepare, prepare_cut, sentences

# Bounds on the time that a long text of repeated phrases takes; what a model states last counts, so its end is read.
_MAX_TEXT = 25_000
_WINDOW = 400  # characters behind a statement's introduction
_MAX_STATEMENTS = 500  # of one kind


@dataclass(frozen=True, slots=True)
class Statement:
    """What is stated and where; `letter` "": a statement that names no single valid letter."""

    position: int
    letter: str
    limited: bool = False
    """An aside, or true only under a condition: counts where nothing else is stated."""


def choice(
    text: str, choices: Sequence[str] | None = None, letters: str = "ABCD", *, complete: bool = True
) -> str | None:
    """The letter that the text states as its answer, in upper case, or None; the module's table gives the order.

    Args:
        text: A model's whole output.
        choices: The choices' texts in the order of `letters`, so that a choice's own text counts as its letter.
        letters: The valid letters.
        complete: The text ended by itself, so that its form and its closing sentence may count.
    """
    reader = Reader(letters, tuple(choices or ()))
    if complete:
        return _stated(plain(prepare(text)[-_MAX_TEXT:]), reader, complete=True) or None
    plain_text = plain(prepare_cut(text)[-_MAX_TEXT:])
    if not re.search(r"[\w$(\[-]\s*\Z", plain_text) or plain_text.endswith("\n"):
        return _stated(plain_text, reader, complete=False) or None
    # What another character would change may have been cut.
    found = {_stated(plain_text.rstrip() + more, reader, complete=False) for more in ("x", "7")}
    return (found.pop() or None) if len(found) == 1 else None


def _last(pattern: re.Pattern[str], text: str, start: int = 0) -> Iterator[re.Match[str]]:
    """The last matches, the last one first."""
    return reversed(deque(pattern.finditer(text, start), maxlen=_MAX_STATEMENTS))


def _stated(plain_text: str, reader: Reader, *, complete: bool) -> str | None:
    found = sorted(_strong(plain_text, reader), key=lambda statement: statement.position)
    limited = [statement for statement in found if statement.limited]
    strong = next((statement for statement in reversed(found) if not statement.limited), None)
    if strong is None:
        weak = _weak(plain_text, reader, 0, limited, complete=complete)
        return weak.letter if weak else None
    taken_back = patterns.TAKES_BACK.search(plain_text, strong.position)
    if taken_back is None:
        return strong.letter
    weak = _weak(plain_text, reader, taken_back.start(), [], complete=complete)
    weak = weak or (_instead(plain_text, reader, taken_back) if complete else None)
    return weak.letter if weak else strong.letter


def _instead(text: str, reader: Reader, taken_back: re.Match[str]) -> Statement | None:
    """The letter that replaces the one taken back."""
    for match in _last(patterns.INSTEAD, text, taken_back.start()):
        read = reader.after(text[match.end() : match.end() + _WINDOW], ends_sentence=True)
        if read is not None and not is_supposed(text, match.start(), match.end()):
            return Statement(match.end(), read)
    letter = _closing_letter(text[taken_back.end() :].lstrip(" ,:"), reader.letters)
    return Statement(len(text), letter) if letter else None


def _strong(text: str, reader: Reader) -> Iterator[Statement]:
    yield from _boxed(text, reader)
    for cue in cues(text):
        if _is_unlikely(text, cue.start, cue.end):
            continue
        before = text[max(0, cue.start - 60) : cue.start]
        if patterns.INSTRUCTS.search(before) or patterns.LISTS_OPTIONS.fullmatch(cue.gap):
            continue
        read = reader.after(cue.rest)
        read = reader.own_text(cue.rest) if read is None else read
        if read is not None:
            either = patterns.EITHER_CASE.match(cue.rest) is not None
            letter = "" if either else read
            yield Statement(cue.end, letter, either or is_limited(text, cue.start, cue.end))
    for pattern in (
        patterns.OPTION_IS,
        patterns.FALSE_IS,
        patterns.CLOSEST_IS,
        patterns.CHOOSE,
        patterns.CHINESE,
        patterns.BARE_ANSWER,
        patterns.NOT_BUT,
        patterns.NOT_BUT_ELSEWHERE,
        patterns.TAG,
        patterns.BOX_TOKEN,
    ):
        for match in _last(pattern, text):
            groups = match.groupdict()
            is_closing = pattern in {patterns.CHOOSE, patterns.NOT_BUT, patterns.TAG}
            closed = is_closing or bool(groups.get("english"))
            read = reader.after(text[match.end() : match.end() + _WINDOW], ends_sentence=closed)
            gap = groups.get("gap") or ""
            if (
                read is not None
                and (pattern is patterns.FALSE_IS or not _is_unlikely(text, match.start(), match.end()))
                and not (
                    patterns.DENIAL.search(gap)
                    or re.search(rf"(?<![A-Za-z])[{reader.letters}](?![A-Za-z'’])", gap)
                )
                and not (
                    pattern is patterns.CHOOSE
                    and patterns.DENIED_INSIDE.search(clause_before(text, match.end())[-40:])
                )
                and not is_supposed(
                    text, match.start(), match.start() if groups.get("denied") else match.end()
                )
            ):
                statement = Statement(match.end(), read, is_limited(text, match.start(), match.end()))
                yield statement
                if not statement.limited:
                    break  # an earlier one of this kind counts no more
    yield from _called_correct(text, reader)


def _is_unlikely(text: str, start: int, end: int) -> bool:
    """Whether what stands before or behind an introduction says that its letter is not the answer."""
    said = re.split(r"\b(?:answer|option|choice|one|statement)\b", text[start:end])[0]
    before = text[max(0, start - 60) : start] + said
    return bool(patterns.UNLIKELY.search(before) or patterns.AT_FIRST.match(text[end : end + _WINDOW]))


def _boxed(text: str, reader: Reader) -> Iterator[Statement]:
    """Boxes; those that "and", "or" or a comma joins to the last one are one statement with it."""
    kept = [box for box in boxes(text) if not is_retracted(text, box)]
    last = last_boxed(text, kept)
    for box in [*kept[:-1], *([last] if last else [])]:
        if (read := reader.boxed(box.content)) is not None:
            yield Statement(box.end, read)


def _called_correct(text: str, reader: Reader) -> Iterator[Statement]:
    """`Option B is correct.`, `(B) is the right answer`: only where the sentence goes no further."""
    for match in _last(patterns.IS_CORRECT, text):
        letter, end = match["letter"], match.start("after")
        ends = re.match(r"\s*(?:[.,;:!)\n*]|$|because|since|as\b|for\b|\bto\b)", match["after"])
        named = match["lead"] or match["open"] or match["noun"] or letter != "I"
        if not (ends and named) or letter not in reader.letters or is_supposed(text, match.start(), end):
            continue
        before = text[max(0, match.start() - 30) : match.start()]
        if not match["lead"] and patterns.NOT_OPTIONS.search(before):
            continue  # "Compound C is the answer to (a)"
        if re.search(
            r"(?:\band|\bor|,|/|&|\bnor|\bboth)\s*(?:option\s+|choice\s+)?\(?$", before
        ) and re.search(r"[A-Z]\)?\W*(?:and|or|/|&|nor)\s", before):
            continue
        yield Statement(match.end(), letter, is_limited(text, match.start(), end))


def _weak(
    text: str, reader: Reader, start: int, limited: list[Statement], *, complete: bool
) -> Statement | None:
    concluded = next(_concluded(text, reader, start, complete=complete), None)
    if concluded:
        return concluded
    tail = text[start:]
    letter = reader.only_line(tail) if complete else None
    if not letter and limited:
        return limited[-1]
    if not letter and complete:
        letter = reader.own_text_line(tail) or _closing_letter(tail, reader.letters)
    return Statement(len(text), letter) if letter else None


def _concluded(text: str, reader: Reader, start: int, *, complete: bool) -> Iterator[Statement]:
    """Weak statements in a sentence, the last one first."""
    for match in _last(patterns.CONCLUDE, text, start):
        alone = match[0].lower().startswith(("only", "just"))
        read = reader.after(text[match.end() : match.end() + _WINDOW], ends_sentence=not alone)
        if not read or (match["bare"] and not complete):
            continue
        before = text[max(0, match.start() - 120) : match.start()]
        eliminated = match["left"] is None or patterns.DENIAL.search(before)
        if (
            eliminated
            and not patterns.DENIED_BEFORE.search(clause_before(text, match.start()))
            and not is_supposed(text, match.start(), match.end())
        ):
            yield Statement(match.end(), read)


def _closing_letter(text: str, letters: str) -> str | None:
    """The one letter, set off by parentheses or "option", that the closing sentence names."""
    blocks = paragraphs(text)
    closing = sentences(blocks[-1])[-1:] if blocks else []
    if closing and (pointed := patterns.POINTED.search(closing[0])):
        return pointed["letter"] if pointed["letter"] in letters else None
    if not closing or patterns.DENIAL.search(closing[0]) or closing[0].rstrip().endswith((":", "?")):
        return None
    if not re.search(r"[.!)\]\"'}]\s*$", closing[0]):
        return None  # cut off
    named = list(re.finditer(rf"\(([{letters}])\)|\b(?:option|choice)\s+([{letters}])\b", closing[0]))
    found = {match[1] or match[2] for match in named}
    if not found:
        return _stated_of(text, closing[0], letters)
    if len(found) != 1 or is_supposed(closing[0], named[0].start(), named[0].end()):
        return None
    return found.pop()


def _stated_of(text: str, closing: str, letters: str) -> str | None:
    """The letter of which the closing sentence alone says what makes it the answer: "C is closest to the computed value."."""
    said = [(match["letter"], part) for part in sentences(text) if (match := patterns.SUBJECT.match(part))]
    match = patterns.SUBJECT.match(closing)
    if match is None or match["letter"] not in letters:
        return None
    others = {letter for letter, part in said if not patterns.DENIAL.search(part)} - {match["letter"]}
    named = re.search(patterns.OTHER_LETTER.format(letters), closing[match.end() :])
    if (
        others
        or named
        or is_supposed(closing, match.start("letter"), match.end())
        or is_limited(closing, match.start("letter"), match.end())
    ):
        return None
    return match["letter"]
