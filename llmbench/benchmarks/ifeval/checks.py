"""The 25 checks, each a function of the text and the row's `kwargs`, and in `CHECKS` under the names that the data gives them."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llmbench.benchmarks.ifeval.language import (
    count_capital_words,
    count_sentences,
    count_words,
    language,
)

Arguments = Mapping[str, Any]
LESS_THAN, AT_LEAST = "less than", "at least"
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
"""What an answer may be under `detectable_format:constrained_response`; the prompts say so."""
POSTSCRIPTS = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
"""Markers that may have a space between their letters."""
FENCES = ("```json", "```Json", "```JSON", "```")


def _compares(count: int, relation: str, limit: int) -> bool:
    return count < limit if relation == LESS_THAN else count >= limit


def keywords_existence(text: str, arguments: Arguments) -> bool:
    """All keywords are there, in any case, also within longer words."""
    return all(keyword.lower() in text.lower() for keyword in arguments["keywords"])


def keywords_frequency(text: str, arguments: Arguments) -> bool:
    """A keyword is there so often, in any case, also within longer words."""
    count = text.lower().count(arguments["keyword"].strip().lower())
    return _compares(count, arguments["relation"], arguments["frequency"])


def forbidden_words(text: str, arguments: Arguments) -> bool:
    """None of these words is there as a word of its own."""
    words = "|".join(re.escape(word) for word in arguments["forbidden_words"])
    return re.search(rf"\b(?:{words})\b", text, re.IGNORECASE) is None


def letter_frequency(text: str, arguments: Arguments) -> bool:
    """A letter, or another character such as "#", is there so often, in any case."""
    count = text.lower().count(arguments["letter"].strip().lower())
    return _compares(count, arguments["let_relation"], arguments["let_frequency"])


def response_language(text: str, arguments: Arguments) -> bool:
    """The text is in this language; one whose language cannot be told passes."""
    return language(text) in (arguments["language"], None)


def number_sentences(text: str, arguments: Arguments) -> bool:
    """There are so many sentences."""
    return _compares(count_sentences(text), arguments["relation"], arguments["num_sentences"])


def number_paragraphs(text: str, arguments: Arguments) -> bool:
    """There are exactly so many paragraphs between dividers `***`; only the first and the last may be empty."""
    paragraphs = [bool(paragraph.strip()) for paragraph in text.split("***")]
    wanted: int = arguments["num_paragraphs"]
    return all(paragraphs[1:-1]) and sum(paragraphs) == wanted


def number_words(text: str, arguments: Arguments) -> bool:
    """There are so many words."""
    return _compares(count_words(text), arguments["relation"], arguments["num_words"])


def nth_paragraph_first_word(text: str, arguments: Arguments) -> bool:
    """There are exactly so many paragraphs between empty lines, and the nth begins with this word.

    An empty paragraph does not count, but has a number; the word ends where punctuation begins.
    """
    paragraphs = [paragraph.strip() for paragraph in text.split("\n\n")]
    count, nth = sum(map(bool, paragraphs)), arguments["nth_paragraph"]
    if count != arguments["num_paragraphs"] or not 1 <= nth <= count or not paragraphs[nth - 1]:
        return False
    first = paragraphs[nth - 1].split()[0].lstrip("'").lstrip('"')
    wanted: str = arguments["first_word"]
    return re.split(r"[.,?!'\"]", first)[0].lower() == wanted.lower()


def number_placeholders(text: str, arguments: Arguments) -> bool:
    """There are at least so many pairs of square brackets, each within a line."""
    pieces = (piece for line in text.split("\n") for piece in line.split("]")[:-1])
    wanted: int = arguments["num_placeholders"]
    return sum("[" in piece for piece in pieces) >= wanted


def postscript(text: str, arguments: Arguments) -> bool:
    """A postscript with this marker is somewhere, in any case."""
    marker = arguments["postscript_marker"].strip()
    return re.search(POSTSCRIPTS.get(marker, re.escape(marker.lower())), text.lower()) is not None


def number_bullet_lists(text: str, arguments: Arguments) -> bool:
    """Exactly so many lines begin with `-` or a single `*`; a `*` alone on its line is one bullet with the line below, or none at the end."""
    stars = len(re.findall(r"^[^\S\n]*\*[^*].*$", text, re.MULTILINE))
    dashes = sum(line.lstrip().startswith("-") for line in text.split("\n"))
    wanted: int = arguments["num_bullets"]
    return stars + dashes == wanted


def constrained_response(text: str, arguments: Arguments) -> bool:  # noqa: ARG001 - as all checks
    """One of the three allowed answers is there."""
    return any(option in text for option in OPTIONS)


def number_highlighted_sections(text: str, arguments: Arguments) -> bool:
    """There are at least so many texts `*like this*`, each within a line; those `**like this**` count too."""
    single = (found.strip("*") for found in re.findall(r"\*[^\n*]*\*", text))
    double = re.findall(r"\*\*([^\n*]*)\*\*", text)
    wanted: int = arguments["num_highlights"]
    return sum(bool(found.strip()) for found in (*single, *double)) >= wanted


def multiple_sections(text: str, arguments: Arguments) -> bool:
    """There are at least so many beginnings of sections, such as "Section 1"."""
    beginning = re.escape(arguments["section_spliter"].strip()) + r"\s?\d+"
    wanted: int = arguments["num_sections"]
    return len(re.findall(beginning, text)) >= wanted


def json_format(text: str, arguments: Arguments) -> bool:  # noqa: ARG001 - as all checks
    """The text is JSON, in a fence or not."""
    text = text.strip()
    for fence in FENCES:
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str, arguments: Arguments) -> bool:  # noqa: ARG001 - as all checks
    """A line has a title `<<like this>>`."""
    titles = (line.partition("<<")[2].rpartition(">>")[0] for line in text.split("\n"))
    return any(inside.lstrip("<").rstrip(">").strip() for inside in titles)


def two_responses(text: str, arguments: Arguments) -> bool:  # noqa: ARG001 - as all checks
    """There are two different answers with `******` between them; it may stand at the beginning and at the end too."""
    responses = [response.strip() for response in text.split("******")]
    given = [response for response in responses if response]
    return all(responses[1:-1]) and len(given) == len(set(given)) == 2  # noqa: PLR2004 - "two"


def repeat_prompt(text: str, arguments: Arguments) -> bool:
    """The text begins with the request, in any case."""
    return text.strip().lower().startswith(arguments["prompt_to_repeat"].strip().lower())


def end_checker(text: str, arguments: Arguments) -> bool:
    """The text ends with this phrase, in any case, quotation marks or not."""
    return text.strip().strip('"').lower().endswith(arguments["end_phrase"].strip().lower())


def capital_word_frequency(text: str, arguments: Arguments) -> bool:
    """So many words are in capital letters."""
    return _compares(count_capital_words(text), arguments["capital_relation"], arguments["capital_frequency"])


def english_capital(text: str, arguments: Arguments) -> bool:  # noqa: ARG001 - as all checks
    """All letters are capitals, and the text is English, or its language cannot be told."""
    return text.isupper() and language(text) in ("en", None)


def english_lowercase(text: str, arguments: Arguments) -> bool:  # noqa: ARG001 - as all checks
    """No letter is a capital, and the text is English, or its language cannot be told."""
    return text.islower() and language(text) in ("en", None)


def no_comma(text: str, arguments: Arguments) -> bool:  # noqa: ARG001 - as all checks
    """There is no comma."""
    return "," not in text


def quotation(text: str, arguments: Arguments) -> bool:  # noqa: ARG001 - as all checks
    """The text stands between double quotation marks."""
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


class Check(NamedTuple):
    """A check, and the `kwargs` that it reads."""

    follows: Callable[[str, Arguments], bool]
    reads: tuple[str, ...] = ()


CHECKS: Mapping[str, Check] = {
    "keywords:existence": Check(keywords_existence, ("keywords",)),
    "keywords:frequency": Check(keywords_frequency, ("keyword", "frequency", "relation")),
    "keywords:forbidden_words": Check(forbidden_words, ("forbidden_words",)),
    "keywords:letter_frequency": Check(letter_frequency, ("letter", "let_frequency", "let_relation")),
    "language:response_language": Check(response_language, ("language",)),
    "length_constraints:number_sentences": Check(number_sentences, ("num_sentences", "relation")),
    "length_constraints:number_paragraphs": Check(number_paragraphs, ("num_paragraphs",)),
    "length_constraints:number_words": Check(number_words, ("num_words", "relation")),
    "length_constraints:nth_paragraph_first_word": Check(
        nth_paragraph_first_word, ("num_paragraphs", "nth_paragraph", "first_word")
    ),
    "detectable_content:number_placeholders": Check(number_placeholders, ("num_placeholders",)),
    "detectable_content:postscript": Check(postscript, ("postscript_marker",)),
    "detectable_format:number_bullet_lists": Check(number_bullet_lists, ("num_bullets",)),
    "detectable_format:constrained_response": Check(constrained_response),
    "detectable_format:number_highlighted_sections": Check(number_highlighted_sections, ("num_highlights",)),
    "detectable_format:multiple_sections": Check(multiple_sections, ("section_spliter", "num_sections")),
    "detectable_format:json_format": Check(json_format),
    "detectable_format:title": Check(title),
    "combination:two_responses": Check(two_responses),
    "combination:repeat_prompt": Check(repeat_prompt, ("prompt_to_repeat",)),
    "startend:end_checker": Check(end_checker, ("end_phrase",)),
    "startend:quotation": Check(quotation),
    "change_case:capital_word_frequency": Check(
        capital_word_frequency, ("capital_frequency", "capital_relation")
    ),
    "change_case:english_capital": Check(english_capital),
    "change_case:english_lowercase": Check(english_lowercase),
    "punctuation:no_comma": Check(no_comma),
}


def loose_variants(text: str) -> list[str]:
    """Returns the texts of which one has to pass a check that is applied loosely, each once.

    They are the text itself, it without its first line, without its last and without both, for an introduction and a closing remark; and each of
    these without asterisks, for words in bold.
    """
    lines = text.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    return list(
        dict.fromkeys(variant for whole in (text, *cut) for variant in (whole, whole.replace("*", "")))
    )
