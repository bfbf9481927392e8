"""What a complete text says without a box or cue: an expression, a list of solutions, or a closing sentence (rules 3 to 5 of `math.py`).

The answer of a closing sentence stands in its main clause, not in the conditions, places and reasons behind it. "The minimum is $42$, which
occurs when $x = 6$." says 42, and "There are $6$ pairs with $a + b = 13$." says 6. Where the main clause has not stated a value yet ("The
remainder when $N$ is divided by $100$ is $42$.") nothing is left out.
"""

import re
from collections.abc import Iterator

from llmbench.answers.equivalence.words import FRACTION
from llmbench.answers.expressions import bare_answer, closing_lines
from llmbench.answers.formulas import FORMULA, inlined, last_formulas, last_value, plain, whole
from llmbench.answers.retractions import without_remarks
from llmbench.answers.spoken import in_symbols
from llmbench.answers.text import CLOSERS, TAIL, affirmed, paragraphs, refuses, sentences, without_aside

MAX_WORDS = 4
"""A stated answer in plain words is at most this long; more is prose."""
DESCRIBED = re.compile(
    r"(?:the|an?)\s+(?:\w+\s+){0,2}(?:sum|number|product|average|mean|median|square|cube|power|digits?|count|difference|quotient|remainder|multiples?|divisors?|factors?|factorial|logarithm|percentage)"
    r"\s+of\b(?!.*(?:\b(?:is|are|equals|which|i\.e)\b|[=:;,]))",
    re.IGNORECASE,
)
NOT_ANSWERS = re.compile(
    r"\b(?:correct|incorrect|right|wrong|clear|clearly|helpful|valid|invalid|reasonable|follows?|following|below|above|obvious|unique"
    r"|same|given|found|also|not|to|we|let|let's|i|you|this|that|it|here|step|as|in|of|what|how|explanation|solution|unknown|verified"
    r"|consistent|determined|calculated|expressed|obtained|provided|needed|required|final|answer|independent|now|based)\b",
    re.IGNORECASE,
)
_CLOSERS = re.compile(
    rf"{CLOSERS.pattern}|^\W*$|\b(?:Q\.?E\.?D|this completes|is correct\.?$|\\blacksquare|\\square|✅|verified)\b|```",
    re.IGNORECASE,
)
_MAX_BLOCKS = 10
"""Paragraphs at a text's end whose lines may be one list."""
_BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
_NAMED = re.compile(
    r"^\*\*([A-Za-z][a-z]*(?: [a-z]+){0,2})\*\*\W*$|\b(?:is|are)\s+\*\*([A-Za-z][a-z]*(?: [a-z]+){0,2})\*\*\W*$"
    r"|^(?:So|Thus|Hence|Therefore)\b[^\d$*]*\*\*([A-Za-z][a-z]*(?: [a-z]+)?)\*\*[^\d$*]*$|^(?:So|Thus|Hence|Therefore)\b[^\d$*]*\s(?:is|are)\s+([A-Z][a-z]+)\.$"
)
"""An answer in words: in bold, or a name at the end of a conclusion."""
_CONCLUDES = re.compile(r"[.!)\]}$*|`✅✓\"']\s*$")
_APPROXIMATELY = re.compile(
    r",?\s*(?:\(|\bor\b|\bwhich is\b)\s*(?:approximately|about|roughly|≈|\$\\approx).*$|,\s*(?:approximately|about|roughly)\s.*$|(?<=[\dπ)}])\s*≈.*$",
    re.IGNORECASE,
)
_UNIT_BEHIND = r"(?:\s?(?:[€£¥%°]|[mc]{1,2}[²³]))?"
ENDS_IN_NUMBER = re.compile(
    rf"(?:\b(?:is|are|be|equals)|['’]s)\s+(?:\*\*)?[€£]?(-?\d[\d,]*(?:\.\d+)?(?:/\d+)?){_UNIT_BEHIND}(?:[.*]|!(?!\.))*$"
)


_FRACTION = re.compile(
    rf"(?:\b(?:is|are|be|equals)\s+|^)(?:(?:exactly|therefore|thus|simply|just|then)\s+)*\**(?P<words>{FRACTION})\**[\s.!*]*$",
    re.IGNORECASE,
)
"""A fraction in words at a sentence's end."""


def concluded(text: str) -> str | None:
    """What a complete text says without a box or cue: rules 3 to 5."""
    body = without_remarks(text)
    bare = bare_answer(body)
    return (whole(bare) if bare else None) or conclusion(body)


def conclusion(text: str) -> str | None:
    """The last lines' list, or the value of the closing sentence (rules 4 and 5)."""
    if refuses(text):
        return None
    blocks = paragraphs(text[-TAIL:])
    while blocks and all(_CLOSERS.search(sentence) for sentence in sentences(blocks[-1])):
        blocks.pop()
    if not blocks:
        return None
    block = blocks[-1]
    display = [match for match in FORMULA.finditer(block) if match["display"] or match["bracket"]]
    if display and not re.search(r"\w", block[display[-1].end() :]):
        return whole(last_formulas(block) or "")
    if lines := closing_lines(inlined("\n".join(blocks[-_MAX_BLOCKS:]))):
        return whole(lines)
    said = next((part for part in reversed(sentences(block)) if not _CLOSERS.search(part)), None)
    return said and _concluding(main_clause(without_aside(affirmed(said.strip()))))


def _concluding(clause: str) -> str | None:
    if is_qualified(clause):
        return None if is_denied(clause) or "=" in clause else _statement(clause)
    described = re.search(r"\b(?:is|are|equals)\s+(?=the|an?\b)", clause)
    if not is_denied(clause) and described and DESCRIBED.match(clause, described.end()):
        return plain(inlined(clause[described.end() :]))
    return None if is_denied(clause) else _closing_value(clause)


def _closing_value(sentence: str) -> str | None:
    if "$" not in sentence.replace("\\$", ""):
        sentence = sentence.replace("\\$", "")
    if fraction := _FRACTION.search(sentence):
        return fraction["words"]
    if named := _NAMED.search(sentence):
        words = next(group for group in named.groups() if group)
        return None if NOT_ANSWERS.search(words) else words
    is_bare = len(sentence.split()) <= MAX_WORDS
    if sentence.endswith("?") or not (
        _CONCLUDES.search(sentence) or ENDS_IN_NUMBER.search(sentence) or is_bare
    ):
        return None
    value = next((value for value in _closing_values(sentence) if value), None)
    is_said = _CONCLUDES.search(sentence) and re.search(r"(?<![A-Za-z])\d", sentence)
    return value or (_statement(sentence) if is_said else None)


def _statement(sentence: str) -> str | None:
    """What the sentence says of its subject, where its number is but a part of that: "less than 4"."""
    return plain(re.split(r"\b(?:is|are|be|equals?)\s", inlined(sentence))[-1])


def _closing_values(sentence: str) -> Iterator[str | None]:
    bold = [match[1] for match in _BOLD.finditer(sentence) if re.search(r"\d|\\", match[1])]
    sources = [bold[-1]] if len(bold) == 1 else []
    sentence = in_symbols(sentence)
    for source in [*sources, _APPROXIMATELY.sub("", sentence), sentence]:
        if number := ENDS_IN_NUMBER.search(source):
            yield number[1]
        if found := list(FORMULA.finditer(source)):
            if re.fullmatch(r"\W*[A-Za-z]\W*", found[-1][0]) and re.search(r"\d", source[found[-1].end() :]):
                yield last_value(inlined(source))
            yield whole(last_formulas(source) or "")
        else:
            yield last_value(source)


_MAX_LENGTH = 1_500
"""Characters; a longer sentence has no clauses to speak of, and repeated words would take long."""
_FORMULA = r"(?:(?<!\\)\$\$?[^$]+\$\$?|\\\(.+?\\\)|\\\[.+?\\\])"
_VALUE = rf"(?:{_FORMULA}|[-+]?\\?\$?-?\d[\d,.]*(?:/\d+)?(?!\w)%?)"
_CLAUSAL = (
    r"which(?!,|\s+(?:solves?|gives?|yields?|equals?|(?:is|are)\s+(?:[-\d$]|equal|simply|just)|means?|impl\w+|simplif\w+|reduces?|leads?|becomes?|ha(?:s|ve)|evaluates?|makes?|leaves?|results?)(?!\w))"
    r"|when(?:ever)?|once|(?:note|notice|recall|observe)\s+that|where(?!as)|because|since|if|unless|provided|given|such\s+that|(?:that\s+is|i\.e)(?=[^$=]*\bof\b)|(?<=,\s)as(?!\s+(?:well|an?)\b)|(?<=\$\s)as(?=\s\$)"
)
_PHRASAL = (
    r"(?:instead|in\s+place)\s+of|rather\s+than|including|excluding|twice\s+the|in\s+contrast\s+to|for\s+(?:all|any|every|each|some|real|(?:positive\s+|non-?negative\s+)?integers?|\$)|with(?![^.]*\sbeing\s)|inside|outside|within|upon|on\s+divi\w+|compared"
    r"|(?:when\s+)?divided\s+by(?=\s)|(?:in|on|over)\s+(?:the|this|that|our)\s+(?:\w+\s+)?(?:interval|range|set|domain|region|circle|disk|square|plane|given)"
    r"|(?:attained|achieved|reached|occurring|obtained|taken|assumed)\b|at\s+(?:the\s+\w+|\$|[a-z]\s*=)|(?:due|thanks)\s+to|using|by\s+(?:the\b|[A-Z][a-z])"
    r"|between|among|(?:after|during|per|every)\s+\d+|in\s+(?:\d+(?=\s+[a-z])|\d{4})|(?:on|over)\s+\d+(?=\s+[a-z])|to\s+(?!(?:the|be|her|his|its|their|our|your|each|all|both)\b)[a-z]{3,}\s"
)
_PREDICATE = r"(?:is|are)\s+(?:the|an?|our)\s+[a-z]|is\s+divisible\b|divides\b|works\b|satisfies\b"
_JOINT = re.compile(
    rf"[,;]?\s\(?(?:(?P<clausal>(?i:{_CLAUSAL}))\b|(?:{_PHRASAL})(?:(?<=\$)|\b)|(?<=\$\s)(?:{_PREDICATE}))"
)
_VERB = r"(?:is|are|be|was|equals?|get|gets|obtain|find|have|has|gives?|yields?|contains?|needs?|takes?|makes?|measures?|leaves?|costs?|becomes|(?:comes|amounts)\s+to|reach(?:es)?|(?:intersects?|meets?|lies?|located|cross(?:es)?)\s+at)"
_PREPOSITION = r"(?:in|of|for|at|by|with|from|to|after|before|the|these|those|than|and|or|when|if|where|least|most|between|through|over|within|under|step|case|part|radius|side|sides|length|base|day|grade|room|page|exactly|about)"
_COUNTED = rf"(?<![-\w$.])(?!(?i:{_PREPOSITION})\s)[A-Za-z]+\s+(?:exactly\s+|about\s+|only\s+)?\d[\d,.]*\s+(?!{_PREPOSITION}\b)[a-z]{{3,}}"
"""A number of things behind a verb, whichever it is: "drove 12 miles"."""
_STATES = re.compile(
    rf"\b{_VERB}\s+(?:an?\s+(?:\w+\s+){{1,2}}of|(?:a\s+)?(?:remainder|total|sum|value))\s+{_VALUE}|\b{_VERB}\s+(?:(?:exactly|only|just|simply|therefore|thus|then|also|approximately|about|equal\s+to)\s+)*(?:\*\*)?{_VALUE}"
)
_COUNTS = re.compile(_COUNTED)
_VERBS = re.compile(r"\b(?:is|are|was|equals?|has|have)\b|(?<![<>!\\])=|\\equiv|[<>]|\\[lg]eq?\b")
_EQUATED = re.compile(
    r"(?:^|[,:;]|\b(?:so|thus|hence|therefore|then|that|have|get|obtain|find|conclude|is|are))[,\s]*(?:\*\*)?(?:\$|\\\()[^$]*?(?:(?<![<>!\\])=|\\equiv)[^$]*?(?:\$|\\\))[^$]*$",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"^\W*(?:(?:so|thus|hence|therefore|now|and|but)\b,?\s*)?(?:since|because|if|when|as|for|with|given|where)\b[^,]*,\s*(?:then\s+)?",
    re.IGNORECASE,
)
_CONCLUSION = re.compile(
    r"(?:[,;]\s*\$?\s*(?:and\s+)?|\s(?=(?-i:[STH])))(?:so|thus|hence|therefore|then)\b(?!\s+that)|\sso\s+(?=the\b|we\b|our\b|its?\b|\$)",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\b(?:total|altogether|giving|making|yielding|finally)\b|,?\s(?:and|but|then)\s+(?:the|we|this|our|its|there)\b"
    rf"|,\s+(?:or|leaving)\s+{_VALUE}|,\s+(?:we|the\s+(?:answer|total|sum|desired|required))\b|\bwhich\s+(?:is|are|equals?|gives?|yields?)\s+{_VALUE}",
    re.IGNORECASE,
)
"""What begins another main clause behind a subordinate one."""
_NOUN = r"(?:\*\*)?(?:\s+(?!(?:and|or|times|plus|which|that|where|when|so|if|as|since|because|implies)\b)[a-z-]+){1,3}"
_THERE_ARE = re.compile(
    rf"\bthere\s+(?:are|is|(?:must|will)\s+be)\s+(?:exactly\s+|only\s+|a\s+total\s+of\s+)?(?:\*\*)?{_VALUE}{_NOUN}"
    rf"|\b(?:get|have|find|obtain|count)\s+(?:\*\*)?{_VALUE}{_NOUN}(?=\s+\$)",
    re.IGNORECASE,
)
_NUMBER = (
    r"(?:\*\*)?(?:\$-?\d[^$a-zA-Z]*\$|\\\(-?\d[^a-zA-Z]*?\\\)|-?\d[\d,]*(?:\.\d+)?(?!\w|\s?[/%]))(?:\*\*)?"
)
_FIRST = re.compile(
    rf"(?:(?P<part>(?<![/\w.]){_NUMBER})\s+of\s+(?:the|these|those|his|her|their|our|all)\b(?=.*\d)"
    rf"|^[\W_]*(?:(?:so|thus|hence|therefore|then|consequently)\b,?\s*)?(?P<subject>{_NUMBER})\s+(?:is|are)\s+(?:indeed\s+)?(?:the|an?|our)\s)",
    re.IGNORECASE,
)
"""A number that is a part of others ("5 of the 6 coins"), or what the sentence is about ("42 is the smallest …")."""
_LISTS_SOLUTIONS = re.compile(r"\b(?:solutions?|roots?|zeros?|values?)\W*$", re.IGNORECASE)
_CONTRASTED = re.compile(
    rf"\d[^.]*,?\s(?:(?i:while|whereas))\s.*{_VALUE}|=[^=]*\bbut\s+(?:\$|\\\()?[A-Za-z]\s*="
    rf"|(?:\b[A-Z][a-z]+\s+[a-z]+\s+{_VALUE}[^.]*?\s(?:and|but)\s+[A-Z][a-z]+\s+(?:[a-z]+\s+)?|\bfrom\s+{_VALUE}\s+[a-z]+\s+to\s+){_VALUE}(?:\s+[a-z]+){{0,3}}\W*$"
)
_DENIES = re.compile(
    r"(?:\bno\s+(?:such\s+)?(?:[a-z]+\s+){1,3}(?:with(?:\s+\w+)?|for|below|above|when|where|in)|\bno\s+[a-z]+\s+\w+s\b[^.]*?|\bimpossible\s+(?:that|for)\b[^.]*?|\b(?:does|do|can|could|need)\s*(?:not|n['’]t)\s+[a-z]+|\bcannot\s+[a-z]+|\bnever"
    r"|\bdivisible\s+by|\b(?:multiple|divisor|factor)s?\s+of|\bdivides?|(?:co|relatively\s+)prime\s+to|\bdiffers?\s+from|\bclose\s+to|\bcompared\s+(?:to|with)|\bexceeds?|(?:undefined|not\s+defined|discontinuous)\s+(?:at|for)|\bundefined\s+(?:at|for|when)|\bfails?\s+(?:at|for|when)"
    rf"|\binfinitely\s+many\b[^.]*?|\bdepends?\s+on\b[^.]*?)\s+{_VALUE}\W*$"
    r"|\b(?:(?:is|are)\s+(?:wrong|incorrect|false|impossible|invalid|not\s+\w+|too\s+\w+)|fails?|(?:do|does)(?:\s+not|n['’]t)\s+(?:work|hold|exist))\W*$"
    r"|^\W*(?:(?:so|thus|hence|therefore)\b,?\s*)?no\s+(?!more|other|fewer|less)[a-z]+\b|\bcontradict|\bnot\s+(?:true|possible|the\s+case)\s+that\b"
    rf"|\b(?:every|all|any|each)\b[^.]*?\bexcept\s+{_VALUE}\s+\w",
    re.IGNORECASE,
)
_QUALIFIES = re.compile(
    rf"\b(?:except(?:\s+(?:for|at|when|if))?|other\s+than|(?:everything|anything|all|none)\s+but|(?<!be\s)at\s+(?:least|most)|up\s+to|from\s+{_VALUE}[^.]{{0,40}}?\sto)\s+{_VALUE}\W*$",
    re.IGNORECASE,
)


def main_clause(sentence: str) -> str:
    """The sentence up to what only qualifies the value that it has stated, with its punctuation."""
    end = _end(sentence) if len(sentence) <= _MAX_LENGTH else None
    if end is None:
        return sentence
    closing = re.search(r"[.!*]*\s*$", sentence)
    return sentence[:end].rstrip(" ,") + (closing[0] if closing and closing[0] else ".")


def _end(sentence: str) -> int | None:
    start = max((match.end() for match in _CONCLUSION.finditer(sentence)), default=0)
    if lead := _LEADING.match(sentence[start:]):
        start += lead.end()
    if first := _first_value(sentence, start):
        return first
    there = _THERE_ARE.search(sentence, start)
    if there and not _GOES_ON.search(sentence, there.end()) and not _LISTS_SOLUTIONS.search(there[0]):
        return there.end()
    clauses = 0
    # "when" in a formula is no joint.
    outside = re.sub(_FORMULA, lambda formula: "$" * len(formula[0]), sentence)
    for joint in _JOINT.finditer(outside, start):
        said = sentence[start : joint.start()]
        states = _STATES.search(said) or _EQUATED.search(said)
        if states is None and (joint["clausal"] or not _VERBS.search(outside, joint.start())):
            states = _COUNTS.search(said)
        if states and (not clauses or len(_VERBS.findall(said)) > clauses):
            return None if _GOES_ON.search(sentence, start + states.end()) else joint.start()
        clauses += joint["clausal"] is not None
    return None


def _first_value(sentence: str, start: int) -> int | None:
    """The end of a number that the sentence begins with, where the numbers behind it only say of what it is a part."""
    first = _FIRST.search(sentence[start:])
    if first is None or re.search(r"\d", sentence[start : start + first.start()]):
        return None
    behind = sentence[start + first.end() :]
    if _GOES_ON.search(behind) or re.search(r"=|\d\s+(?:is|are)\s+\d", behind):
        return None
    return start + first.end("part" if first["part"] else "subject")


def is_denied(clause: str) -> bool:
    """Whether a clause denies its last value, or sets two values against each other, so that neither is the answer."""
    clause = clause[-_MAX_LENGTH:]
    return bool(_DENIES.search(clause) or _CONTRASTED.search(clause))


def is_qualified(clause: str) -> bool:
    """Whether a clause excludes its last value from others or bounds by it: "all real numbers except 6", "at least 6"."""
    return bool(_QUALIFIES.search(clause[-_MAX_LENGTH:]))
