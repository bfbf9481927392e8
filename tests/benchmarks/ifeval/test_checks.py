"""Each of the 25 checks on texts that follow it, that follow it only loosely, and that do not."""

from typing import Any, NamedTuple

import pytest

from llmbench.benchmarks.ifeval import Followed, followed
from llmbench.benchmarks.ifeval.checks import CHECKS, loose_variants
from llmbench.benchmarks.ifeval.language import (
    count_capital_words,
    count_sentences,
    count_words,
    language,
)

GERMAN = "Der Zug fährt heute leider erst um acht Uhr ab, und der Speisewagen bleibt geschlossen."
ENGLISH = "the train leaves at eight this evening and there is nothing to eat on board until we arrive."
CAPITALS = (
    "THE TRAIN LEAVES AT EIGHT THIS EVENING AND THERE IS NOTHING TO EAT ON BOARD UNTIL WE ARRIVE THERE."
)
INTRODUCTION = "Sure, Here Is What You Asked For:\n"


class Case(NamedTuple):
    """Texts for a check with these arguments."""

    check: str
    arguments: dict[str, Any]
    strictly: tuple[str, ...]
    loosely: tuple[str, ...]
    fail: tuple[str, ...]


CASES = [
    Case(
        "keywords:existence",
        {"keywords": ["tide", "C++"]},
        ("The Tide runs high in c++.", "tidetables, C++"),
        ("The t*ide runs in C++.",),
        ("The tide runs in C.", "C++"),
    ),
    Case(
        "keywords:frequency",
        {"keyword": " sea ", "frequency": 2, "relation": "at least"},
        ("Sea after sea", "Seasick in the sea"),
        ("s*ea and sea",),
        ("One sea",),
    ),
    Case(
        "keywords:frequency",
        {"keyword": "a.b", "frequency": 1, "relation": "less than"},
        ("axb",),
        ("Here is a.b:\nnothing",),
        ("a.b and A.B",),
    ),
    Case(
        "keywords:forbidden_words",
        {"forbidden_words": ["sun", "moon (full)"]},
        ("Sunday is sunny.", "moon"),
        ("About the sun:\nIt shines.", "It shines.\nLike the sun."),
        ("The SUN shines.", "a sun, then"),
    ),
    Case(
        "keywords:letter_frequency",
        {"letter": "Q", "let_frequency": 2, "let_relation": "at least"},
        ("Quick quiz", "qQ"),
        (),
        ("quick",),
    ),
    Case(
        "keywords:letter_frequency",
        {"letter": "#", "let_frequency": 2, "let_relation": "less than"},
        ("one #tag", "none"),
        ("# Title\none #tag",),
        ("#one #two",),
    ),
    Case(
        "language:response_language",
        {"language": "de"},
        (GERMAN, "12 + 30 = 42"),
        (f"{ENGLISH * 2}\n{GERMAN}",),
        (ENGLISH,),
    ),
    Case(
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "at least"},
        ("It rains. It pours!", "Is it? It is."),
        (),
        ("Dr. Lee of Acme Corp. came at 5 p.m. today.", "one\n\ntwo"),
    ),
    Case(
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "less than"},
        ("It rains. It pours.",),
        ("Here you are!\nIt rains. It pours.",),
        ("It rains. It pours. It stops.",),
    ),
    Case(
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ("one\n***\ntwo", "***\none\n***\ntwo\n***", "one *** two"),
        ("one\n***\ntwo\n***\nthree",),
        ("one\n\ntwo", "one\n***\n***\ntwo", "one", "***"),
    ),
    Case(
        "length_constraints:number_words",
        {"num_words": 4, "relation": "less than"},
        ("one two three", "well-known fact"),
        ("Here it is:\none two three",),
        ("one two three four", "well-known facts here"),
    ),
    Case(
        "length_constraints:number_words",
        {"num_words": 4, "relation": "at least"},
        ("one two three four", "it's 3 o'clock"),
        (),
        ("one two three",),
    ),
    Case(
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Two"},
        ("one\n\ntwo, then", 'one\n\n\'"TWO" it is', "one\n\n  two."),
        ("Sure.\n\none\n\ntwo\n\nBye.", "one\n\n*two* it is"),
        ("one\n\nthree two", "one\ntwo", "one\n\ntwofold", "one\n\n\n\ntwo"),
    ),
    Case(
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ("[name] at [address]", "[[a] and ]b[c]"),
        (),
        ("[name", "[na\nme] [x]", "name] [x]"),
    ),
    Case(
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ("Bye.\nP.S. Write soon.", "bye p. s. soon"),
        ("Bye.\n*P.*S.",),
        ("Bye.\nPS: write soon.", "P.P.S"),
    ),
    Case(
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        ("P.P.S write", "p. p. s: write"),
        ("*P.*P.S",),
        ("P.S. write",),
    ),
    Case(
        "detectable_content:postscript",
        {"postscript_marker": "N.B."},
        ("n.b. this",),
        ("N*.B.",),
        ("nxbx this",),
    ),
    Case(
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ("* one\n* two", "- one\n   * two\nthree", "-one\n*two", "*\n* one\n\n* two\n*"),
        ("- To do:\n- one\n- two", "- one\n- two\n- three"),
        ("* one", "** one\n** two", "1. one\n2. two"),
    ),
    Case(
        "detectable_format:constrained_response",
        {},
        ("My answer is no.", "Well. My answer is yes. So be it."),
        ("My *answer* is no.",),
        ("my answer is no.", "No.", "My answer is no"),
    ),
    Case(
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ("*one* and *two*", "**one** *two*", "*a*b*c*"),
        (),
        ("*one* only", "**one** only", "*one\ntwo*", "** **\n*\n*"),
    ),
    Case(
        "detectable_format:multiple_sections",
        {"section_spliter": "Day", "num_sections": 2},
        ("Day 1\nrest\nDay 2\nrest", "Day1 Day2", "Day 1, Day 2, Day 3"),
        ("*Day* 1\n*Day* 2",),
        ("day 1\nday 2", "Day one\nDay two", "Day 1"),
    ),
    Case(
        "detectable_format:json_format",
        {},
        ('{"a": [1, null]}', '```json\n{"a": 1}\n```', "```\n[1]\n```", "7"),
        (f'{INTRODUCTION}{{"a": 1}}', '{"a": 1}\nGood luck!', "*7*"),
        ("{'a': 1}", '{"a": 1', "It is {}", "[" * 100_000),
    ),
    Case(
        "detectable_format:title",
        {},
        ("<<Rain>>\nIt rains.", "It is <<<Rain>>>", "<< >> <<Rain>>"),
        (),
        ("<Rain>", "<<>>", "<<Rain\n>>", "<<  >>", ">>Rain<<"),
    ),
    Case(
        "combination:two_responses",
        {},
        ("one\n******\ntwo", "******one******two******"),
        ("one\n******\ntwo\n******\nthree",),
        ("one", "one******one", "one\n***\ntwo", "one\n******\n******\ntwo"),
    ),
    Case(
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Name a bird. "},
        ("Name a bird.\nA wren.", "  name a BIRD. A wren."),
        ("Sure!\nName a bird.\nA wren.", "**Name a bird.**\nA wren."),
        ("A wren.", "Name a bird"),
    ),
    Case(
        "startend:end_checker",
        {"end_phrase": "That is all."},
        ("Wrens sing. THAT IS ALL.", '"Wrens. That is all."\n'),
        ("Wrens. That is all.\nAnything else?", "Wrens. **That is all.**"),
        ("That is all. Wrens.", "That is all"),
    ),
    Case(
        "startend:quotation",
        {},
        ('"Wrens sing."', ' "a" or "b" '),
        ('Here:\n"Wrens sing."', '**"Wrens sing."**'),
        ("'Wrens sing.'", '"Wrens sing.', '"', "“Wrens sing.”"),
    ),
    Case(
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ("ICE and SNOW", "DON'T", "**ICE** SNOW.", "I saw ICE"),
        (),
        ("ICE-COLD", "Ice and Snow", "U.S. ice"),
    ),
    Case(
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        ("ICE and snow", "mcDONALD 42"),
        ("ICE AND SNOW\nIce melts",),
        ("ICE and SNOW",),
    ),
    Case(
        "change_case:english_capital",
        {},
        (CAPITALS,),
        (f"Here it is:\n{CAPITALS}",),
        (ENGLISH, GERMAN.upper(), f"{CAPITALS} end", "42"),
    ),
    Case(
        "change_case:english_lowercase",
        {},
        (ENGLISH,),
        (INTRODUCTION + ENGLISH,),
        (CAPITALS, GERMAN.lower(), f"{ENGLISH} END", "42"),
    ),
    Case(
        "punctuation:no_comma",
        {},
        ("Wrens sing and larks too.", "one\ntwo"),
        ("Sure, here:\nWrens sing.",),
        ("Wrens, larks", "1,000"),
    ),
]


def test_every_check_has_cases() -> None:
    assert len(CHECKS) == 25
    assert {case.check for case in CASES} == set(CHECKS)
    assert all(set(case.arguments) == set(CHECKS[case.check].reads) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.check}" for n, case in enumerate(CASES)])
def test_texts_are_told_apart(case: Case) -> None:
    expected = {
        **dict.fromkeys(case.strictly, Followed.STRICTLY),
        **dict.fromkeys(case.loosely, Followed.LOOSELY),
        **dict.fromkeys(case.fail, Followed.NOT),
    }
    assert {text: followed(case.check, case.arguments, text) for text in expected} == expected


def test_a_text_is_tried_without_its_first_and_last_line_and_without_asterisks() -> None:
    assert loose_variants("Sure:\n\n*one*\ntwo\nBye") == [
        "Sure:\n\n*one*\ntwo\nBye",
        "Sure:\n\none\ntwo\nBye",
        "*one*\ntwo\nBye",
        "one\ntwo\nBye",
        "Sure:\n\n*one*\ntwo",
        "Sure:\n\none\ntwo",
        "*one*\ntwo",
        "one\ntwo",
    ]
    assert loose_variants("one line") == ["one line", ""]


def test_an_empty_variant_follows_nothing() -> None:
    """Without its only line nothing is left, and in nothing there is no comma."""
    assert followed("punctuation:no_comma", {}, "one, two") is Followed.NOT


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("今天天气很好。我们去公园散步。", "zh-cn"),
        ("3 + 4 = 7", None),
        ("", None),
    ],
)
def test_a_language_is_told(text: str, code: str | None) -> None:
    assert language(text) == code


def test_a_text_has_the_same_language_each_time() -> None:
    """Between two languages langdetect decides by chance, where it has no seed."""
    text = "no problem, la casa is a villa"
    assert len({language(text) for _ in range(20)}) == 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One. Two! Three?", 3),
        ("Mr. Hale paid $3.50 to the U.S. Treasury in Jan. 1990.", 1),
        ("No end", 1),
        ("First line\nsecond line", 1),
        ('"Go." He went.', 2),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert count_sentences(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("one two", 2), ("well-known", 2), ("it's", 2), ("snake_case 3.5", 3), ("—", 0)],
)
def test_words(text: str, count: int) -> None:
    assert count_words(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("I am", 1),
        ("I'm", 1),
        ("I'M DON'T TOM'S", 6),
        ("WELL-KNOWN U.S. R&D", 4),
        ("(NASA), [ESA]: JAXA;ISRO", 4),
        ("A--B C...D E/F", 5),
        ("**B**OLD, `CODE` A\u2013B 1:2 X:Y", 7),
        ("DON\u2019T", 2),
        ("CANNOT GONNA 'TIS", 5),
        ("B2B 42 IPv6", 1),
        ("ÄRGER ärger", 1),
    ],
)
def test_words_in_capitals(text: str, count: int) -> None:
    assert count_capital_words(text) == count
