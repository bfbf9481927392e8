r"""The 27 tasks of BIG-Bench Hard, how the answer to each is found in a text, and when it is right.

| kind | tasks | an answer is right if |
|---|---|---|
| choice | 17, with options (A), (B) and so on | it is the same letter, or that option's text |
| word | 6 with two words, such as Yes and No, or valid and invalid | it is the same word |
| number | `multistep_arithmetic_two`, `object_counting` | it is the same number |
| list | `word_sorting` | it is the same words in the same order; commas, numbering and marks between them do not count |
| brackets | `dyck_languages` | it is the same brackets in the same order; nothing else on the line counts |

Words, lists and brackets are taken from what follows the last "the answer is" or `Answer:`, else from the last box, else from the last line of a
complete text: a word from its beginning or end, brackets where there is nothing else but a label ("The rest: ] }"), a list where there is no other
line or a last paragraph that is numbered or labelled. In a text that was cut off, a statement at the very end is none. A word that is denied
("not valid") is the other one, of an equation the right side counts, and of "Yes or No" neither.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from llmbench.answers.free_text import same_text, stated_text
from llmbench.answers.statements import boxes
from llmbench.answers.text import prepare, prepare_cut


class Kind(StrEnum):
    """What the answer to a question is."""

    CHOICE = "choice"
    WORD = "word"
    NUMBER = "number"
    LIST = "list"
    BRACKETS = "brackets"
    TEXT = "text"
    """Of three questions with options, whose gold answer is no letter: their options were split at a comma."""


WORDS: Mapping[str, tuple[str, str]] = {
    "boolean_expressions": ("True", "False"),
    "causal_judgement": ("Yes", "No"),
    "formal_fallacies": ("valid", "invalid"),
    "navigate": ("Yes", "No"),
    "sports_understanding": ("yes", "no"),
    "web_of_lies": ("Yes", "No"),
}
"""The two answers of the tasks that have two."""
KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(
        (
            "date_understanding",
            "disambiguation_qa",
            "geometric_shapes",
            "hyperbaton",
            "logical_deduction_five_objects",
            "logical_deduction_seven_objects",
            "logical_deduction_three_objects",
            "movie_recommendation",
            "penguins_in_a_table",
            "reasoning_about_colored_objects",
            "ruin_names",
            "salient_translation_error_detection",
            "snarks",
            "temporal_sequences",
            "tracking_shuffled_objects_five_objects",
            "tracking_shuffled_objects_seven_objects",
            "tracking_shuffled_objects_three_objects",
        ),
        Kind.CHOICE,
    ),
    **dict.fromkeys(WORDS, Kind.WORD),
    "dyck_languages": Kind.BRACKETS,
    "multistep_arithmetic_two": Kind.NUMBER,
    "object_counting": Kind.NUMBER,
    "word_sorting": Kind.LIST,
}
"""All tasks, by their names on the hub."""

_OPTION = re.compile(r"^\(([A-Z])\)[ \t]*(.*)$", re.MULTILINE)
_STATED = re.compile(r"\banswer[ \t]*(?:is\b[ \t]*:?|[*_]*:)[*_ \t]*", re.IGNORECASE)
_BLOCK = re.compile(r"\n\s*(?P<lines>\S[^\n]*(?:\n[ \t]*\S[^\n]*)*)")
_FORMATTING = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mathtt)\s*\{([^{}]*)\}")
_NUMBERING = re.compile(r"^[ \t]*(?:\d+[.)]|[-*•])[ \t]+", re.MULTILINE)
_BETWEEN = re.compile(r"[\s,;<]+|->|→")
_MARKS = " *_`\"'“”\u2018\u2019$."
_AROUND = _MARKS + "[]()"
_BRACKETS = re.compile(r"[\[\](){}<>]")
_ONLY_BRACKETS = re.compile(r"[\[\](){}<>\s*_`\"'$.,]+")
_NEXT_SENTENCE = re.compile(r"(?<=\w)[*_`]*\.[*_`]*[ \t]+(?=[A-Z])")
_DENIED = r"(?:\bnot|n['\u2019]t|\bcannot|\bnever)(?:[\s*_`\"'(]+(?:be|\w+ly))?[\s*_`\"'(]+"
_LATEX_AROUND = re.compile(r"\s*\\(?:\((.*)\\\)|\[(.*)\\\])\W*", re.DOTALL)
_BRACKETS_BOX = re.compile(r"\\boxed\s*\{(?:\\text\s*\{(.*)\}|(.*))\}")
_REMARK = re.compile(r"\([^()]*[A-Za-z]{2}[^()]*\)|(?<=[\])}>`'\"*$])\s*[.,;]\s+[A-Za-z].*", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*$", re.MULTILINE)
_EMPTY_LINE = re.compile(r"\n[ \t]*\n\s*")
_LABEL = re.compile(r"\A[^\n:]*:[*_ \t]*(?:\n|(?=\S))")
_LAST_AND = re.compile(r",\s*and\s+(?=\S+\s*\Z)")


def options_of(question: str) -> list[str]:
    """Returns the texts of the options (A), (B) and so on of a question, as far as the letters follow each other."""
    found = _OPTION.findall(question)
    return [text.strip() for place, (letter, text) in enumerate(found) if letter == chr(ord("A") + place)]


def normalised(kind: Kind, text: str, words: Sequence[str] = ()) -> str | None:
    """Returns an answer as it is compared, or None where the text holds none of its kind.

    Args:
        kind: Not a choice and not a number.
        text: What is stated, or a gold answer.
        words: The answers that there are to a question whose answer is a word.
    """
    text = _FORMATTING.sub(r"\1", text).strip()
    if kind is Kind.WORD:
        return _word(text, words)
    if kind is Kind.BRACKETS:
        around = _LATEX_AROUND.fullmatch(text)
        return (
            " ".join(_BRACKETS.findall(around[1] or around[2] if around else _REMARK.sub("", text))) or None
        )
    if kind is Kind.LIST:
        parts = _BETWEEN.split(_LAST_AND.sub(", ", _NUMBERING.sub("", _LABEL.sub("", text).strip(_AROUND))))
        return " ".join(part.casefold() for each in parts if (part := each.strip(_AROUND))) or None
    return text or None


def _word(text: str, words: Sequence[str]) -> str | None:
    """The first of two words, the other one where it is denied; None where the text leaves the choice."""
    one, other = words
    any_of, right_side = _any_of(words), text.rpartition("=")[2]
    text = right_side if re.search(any_of, right_side, re.IGNORECASE) else text
    pattern = (
        rf"(?P<denied>(?:{_DENIED})*)(?P<word>{any_of})(?P<more>\W+(?:or|and)\W+(?:{_DENIED})*{any_of})?"
    )
    found = re.search(pattern, text, re.IGNORECASE)
    if found is None or found["more"]:
        return None
    is_one = found["word"].casefold() == one.casefold()
    is_denied = len(re.findall(_DENIED, found["denied"], re.IGNORECASE)) % 2
    return one if is_one != bool(is_denied) else other


def stated(kind: Kind, text: str, words: Sequence[str] = (), *, complete: bool) -> str | None:
    """Returns the answer that a text states, or None; the module's table says where it is looked for.

    Args:
        kind: Not a choice and not a number.
        text: A model's whole output.
        words: The answers that there are to a question whose answer is a word.
        complete: The text ended by itself, so that its end may count.
    """
    if kind is Kind.TEXT:
        return stated_text(re.sub(r"(?i)\banswer is(?! *:)", "answer is:", text), complete=complete)
    prepared = prepare(text) if complete else prepare_cut(text)
    statement = next(reversed(list(_STATED.finditer(prepared))), None)
    if statement is not None:
        rest = _behind(prepared, statement.end(), complete=complete)
        if kind is Kind.LIST:
            rest = _NEXT_SENTENCE.split(rest)[0]
        return normalised(kind, _boxed(kind, rest) or rest, words)
    if boxed := _boxed(kind, prepared):
        return normalised(kind, boxed, words)
    bare = _FENCE.sub("", prepared).strip()
    if not complete or not bare:
        return None
    end = _last_list(bare) if kind is Kind.LIST else bare.splitlines()[-1]
    return normalised(kind, end, words) if kind is Kind.LIST or _is_bare(kind, end, words) else None


def _boxed(kind: Kind, text: str) -> str | None:
    """What is in the last box; brackets need not be balanced there, so that theirs ends with its line's last brace."""
    if kind is Kind.BRACKETS:
        found = list(_BRACKETS_BOX.finditer(text))
        return (found[-1][1] or found[-1][2]) if found else None
    boxed = boxes(text)
    return boxed[-1].content if boxed else None


def _last_list(text: str) -> str:
    """The last paragraph, where it is the only one, or has a label before it, or numbers on all its lines; else nothing."""
    *before, last = _EMPTY_LINE.split(text)
    lines = _LABEL.sub("", last).splitlines()
    is_labelled = _LABEL.match(last) or (before and before[-1].rstrip(_MARKS).endswith(":"))
    is_list = all(map(_NUMBERING.match, lines)) or (len(lines) == 1 and (is_labelled or not before))
    return last if is_list else ""


def _behind(text: str, start: int, *, complete: bool) -> str:
    """The rest of a line, or the lines up to the next empty one where it holds nothing; nothing where more of it may have been cut off."""
    line = text[start:].partition("\n")[0]
    if line.strip(_MARKS):
        is_whole = complete or start + len(line) < len(text) or re.search(r"\.(?:\s|\Z)", line)
        return line if is_whole else ""
    block = _BLOCK.match(text, start + len(line))
    return block["lines"] if block and (complete or block.end() < len(text.rstrip())) else ""


def _any_of(words: Sequence[str]) -> str:
    return rf"\b(?:{'|'.join(words)})\b"


def _is_bare(kind: Kind, line: str, words: Sequence[str]) -> bool:
    """Whether the last line of a text without a statement is an answer and nothing else."""
    if kind is Kind.WORD:
        line = line.rpartition("=")[2].strip(_AROUND + ",")
        named = {word.casefold() for word in re.findall(_any_of(words), line, re.IGNORECASE)}
        at_an_end = rf"{_any_of(words)}.*|.*{_any_of(words)}"
        return len(named) == 1 and re.fullmatch(at_an_end, line, re.IGNORECASE) is not None
    return _ONLY_BRACKETS.fullmatch(_LABEL.sub("", line)) is not None and _BRACKETS.search(line) is not None


def same(kind: Kind, gold: str, answer: str, words: Sequence[str] = ()) -> bool:
    """Returns whether an answer is right; neither a choice nor a number."""
    if kind is Kind.TEXT:
        return same_text(gold, answer)
    return normalised(kind, gold, words) == normalised(kind, answer, words)
