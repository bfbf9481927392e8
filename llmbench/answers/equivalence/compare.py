r"""The policies of equality.

| answers | equal where | source or reason |
|---|---|---|
| numbers | exactly, as rationals; mixed numbers, repeating decimals ("0.1666...": a period written twice), thousands' commas, scales ("5 million") and parts ("7 hundredths") are read | MATH asks for exact answers |
| rounded decimals | never below six decimals; from six on (and six digits) the exact value must round to it, or go on with its digits where "..." follows | math-verify's precision, without its blindness for small numbers |
| other constants | to hundreds of digits and relative to their size, so that 1/1999! and 1/2001! differ | symbolic.py |
| percent | 15%, 15 and 0.15 if at least one has the sign; 10 and 0.1 do not | the table of edge cases |
| units, degrees, currency | left out on one side: equal; different known units: not, nor a.m. and p.m., north and south, May and June, men and women; powers of units are not compared (cm for cm² is a slip of the pen); "5 scores", "5 quarters" are counts, "5 dozen", "5 tens" numbers | units.py |
| number bases | the digits; a base left out by the answer is that of the question, one that only the answer has differs | the same table |
| residues | the modulus may be left out; two must be the same | |
| qualifiers | "at least", "or more", "less than", "over", "not", "except" and the like must stand on both sides or on none | words.py |
| names | the case and primes of symbols count ($R$ and $r$, $f'$ and $f$), a point's name may be left out | |
| equations | of one with a value ("x = 5", 5) the last member counts, unless it equates different numbers; "x=1, x=2" is a list; two equations if one is a multiple of the other; a condition ("11a + c = 7") is not its side | |
| lists, sets | as sets, whatever the order; `\pm` is two values; braces without a backslash are nothing; where all values have labels ("A: 3, B: 4", "3 boys, 4 girls"), each belongs to its label; "A and B" is not "A or B" | math-verify |
| tuples, points | in order; parentheses may be missing, a column vector may be written as a tuple, "x=8, y=-2" is (8,-2), in that order or by name | |
| intervals | both ends and both brackets; unions in any order; set builders, "all real numbers" and $\mathbb{R} \setminus \{1\}$ are unions | reals.py |
| inequalities | with an interval if the gold is one or says "x \in"; a bare interval as gold asks for interval notation; "or" is a union, "and" an intersection, a comma an intersection where there is one | math-verify |
| ratios | 1:2:3 and 2:4:6; two numbers are a quotient too, unless they may be a time (10:30) | |
| matrices | cell by cell; the brackets' form says nothing; sums and products are worked out | |
| words | without case, articles, punctuation, but word for word ("I and II" is not "III"); a choice's letter with or without parentheses | |
| expressions | the same value at random points; the form (factored, expanded) is not graded; derivatives and gcd of symbols only as they are written | symbolic.py |
| angles | degrees inside a function are degrees: $\tan 20^\circ$ is $\cot 70^\circ$; 90° is 90, not $\frac{\pi}{2}$ | |

How other graders' tables compare, and what differs on purpose, is in docs/grading.md.
"""

import re
from collections.abc import Callable, Sequence
from itertools import combinations, product

from llmbench.answers.equivalence import structure
from llmbench.answers.equivalence.latex import clean, fold
from llmbench.answers.equivalence.rational import rational
from llmbench.answers.equivalence.reals import as_union
from llmbench.answers.equivalence.relations import Equal, relation, same_by_relation
from llmbench.answers.equivalence.structure import Bracketed
from llmbench.answers.equivalence.symbolic import same_expression
from llmbench.answers.equivalence.units import conflict, currency, label, split_unit
from llmbench.answers.equivalence.values import same_value
from llmbench.answers.equivalence.words import choice_letter, joint, qualifiers, same_text

MAX_LENGTH = 2_000
"""Characters. A longer answer is equal only to itself."""
_MAX_ITEMS = 40
_MAX_DEPTH = 8
_PAIR = 2


def math_equal(gold: str, answer: str) -> bool:
    """Whether an answer to a mathematics problem equals the gold one; the module's table gives the policies."""
    if gold.strip() == answer.strip():
        return bool(gold.strip())
    if len(gold) > MAX_LENGTH or len(answer) > MAX_LENGTH:
        return False
    if _qualifiers(gold) != _qualifiers(answer) and not choice_letter(clean(gold)):
        return False
    if conflict(_units(gold), _units(answer)):
        return False
    pairs = product(_readings(clean(gold)), _readings(clean(answer)))
    return any(_equal(one, other, 0) for one, other in pairs)


def _qualifiers(text: str) -> frozenset[str]:
    """Those of a value; of "all real numbers except 1" the words say the set."""
    found = qualifiers(text)
    return frozenset() if found and as_union(clean(text)) else found


def _units(text: str) -> frozenset[str]:
    cleaned = clean(text)
    percent = frozenset({"unit:percent"} if cleaned.endswith("%") else ())
    units = split_unit(cleaned)[1]
    kind = "degrees" if "unit:degree" in units else "plain"
    angle = frozenset({f"angle:{kind}"} if "\\pi" in cleaned else ())  # π/4 is no angle of π/4 degrees
    return currency(text) | units | percent | joint(text) | angle


def integer_equal(gold: str, answer: str) -> bool:
    """Whether both are the same integer: "025", "25" and "25.0" are."""
    if re.search(r"\d\s*:\s*\d", answer):
        return False  # a ratio
    one, other = rational(gold), rational(answer)
    if one is not None and other is not None:
        return one == other and one.denominator == 1
    return other is None and one is not None and one.denominator == 1 and math_equal(gold, answer)


def number_equal(gold: str, answer: str) -> bool:
    """Whether both are the same number, exactly: "5.00" and "5", "1,450" and "1450"; currency and percent signs are nothing."""
    one, other = (
        rational(re.sub(r"\\?[$%]|[€£¥]|\s", "", text)) if "/" not in text else rational(text)
        for text in (gold, answer)
    )
    return one is not None and one == other


def choice_equal(gold: str, answer: str) -> bool:
    """Whether both are the same letter, in whatever case or parentheses."""
    one, other = (text.strip().strip("()[].:* ").upper() for text in (gold, answer))
    return bool(one) and one == other


_COMMAS = re.compile(r"(?<![\d.,_^{\[(])-?\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+)(?![\d,])")


def _readings(text: str) -> list[str]:
    """`1,234` is a number or, less likely, a list; in brackets a tuple or, less likely, a number."""
    joined = _COMMAS.sub(lambda match: re.sub("[, ]", "", match[0]), text)
    return [text] if joined == text else [joined, text]


def _equal(gold: str, answer: str, depth: int) -> bool:
    one, other = fold(gold), fold(answer)
    if not one or not other or depth > _MAX_DEPTH:
        return False
    if one == other:
        return True

    def parts_equal(one: str, other: str) -> bool:
        return _equal(one, other, depth + 1)

    return any(compare(gold, answer, parts_equal) for compare in _COMPARISONS)


def _as_lists(gold: str, answer: str, equal: Equal) -> bool:
    r"""Lists and sets, whatever their order; `1 \pm 2` is a list."""
    one, other = _items(gold), _items(answer)
    if max(len(one), len(other)) == 1 and not (_is_set(gold) or _is_set(answer)):
        return False
    if [fold(text) for text in (gold, answer)].count("\\emptyset") == 1:
        return False  # a set of the empty set is not empty
    if structure.bracketed(gold) and not _is_set(gold) and not _is_set(answer):
        return False  # a tuple as gold has an order
    if [_has_several_names(text) for text in (gold, answer)].count(True) == 1:
        return False  # "x=1, y=2" has one too, though not against "y=2, x=1"
    inner = structure.bracketed(answer)
    if _is_set(gold) or inner is None or inner.is_set:
        return _same_set(one, other, equal)
    return not inner.is_interval and len(one) > 1 and _same_set(one, inner.items, equal)


def _is_set(text: str) -> bool:
    found = structure.bracketed(text)
    return found is not None and found.is_set


def _items(text: str) -> list[str]:
    """The values of a list or set, each without "x =" and with plus-minus written out."""
    related = relation(text)
    if (
        related
        and related.is_equation
        and structure.is_name(related.members[0])
        and "," in related.members[-1]
    ):
        parts = structure.split_top(text, ",")
        text = related.members[-1] if all("=" not in part for part in parts[1:]) else text
    found = structure.bracketed(text)
    parts = list(found.items) if found and found.is_set else structure.split_top(text, ",")
    return [value for part in parts if part for value in structure.expanded(part)]


def _same_set(one: Sequence[str], other: Sequence[str], equal: Equal) -> bool:
    """Every value of each side has an equal on the other."""
    if not one or not other or max(len(one), len(other)) > _MAX_ITEMS:
        return not one and not other
    labelled, others = _by_label(one), _by_label(other)
    if labelled.keys() & others.keys():
        return labelled.keys() == others.keys() and all(
            equal(item, others[name]) for name, item in labelled.items()
        )
    rows = [[equal(gold, answer) for answer in other] for gold in one]
    return all(any(row) for row in rows) and all(any(column) for column in zip(*rows, strict=True))


def _by_label(items: Sequence[str]) -> dict[str, str]:
    r"""The items by what each is said to be, as in `\text{A: }3, \text{B: }4`; empty unless all have labels of their own."""
    found = {name: item for item in items if (name := label(item))}
    return found if len(found) == len(items) > 1 else {}


def _as_tuples(gold: str, answer: str, equal: Equal) -> bool:
    """Points, intervals and vectors: in order, and intervals with the same brackets."""
    if structure.matrix(gold) and structure.matrix(answer):
        return False  # a row is no column
    names = structure.point_name(gold), structure.point_name(answer)
    if all(names) and names[0] != names[1]:
        return False
    return any(_same_tuple(*pair, equal) for pair in product(_tuples(gold), _tuples(answer)))


def _same_tuple(one: Bracketed, other: Bracketed, equal: Equal) -> bool:
    if one.is_set or other.is_set or len(one.items) != len(other.items):
        return False
    if (one.is_interval or other.is_interval) and one.opening + one.closing != other.opening + other.closing:
        return False
    return len(one.items) <= _MAX_ITEMS and _all_equal(one.items, other.items, equal)


def _tuples(text: str) -> list[Bracketed]:
    """Values in order; without parentheses those of the list, and of "y=-2, x=8" the values as named or by name."""
    found = structure.bracketed(text)
    if found:
        return [found]
    cells = structure.flat_vector(text)
    if cells and len(cells) > 1:
        return [Bracketed("(", tuple(cells), ")")]
    parts = structure.split_top(text, ",")
    if len(parts) == 1:
        return []
    named = _named(parts)
    if not named:
        return [Bracketed("(", tuple(parts), ")")]
    is_alphabetic = all(re.fullmatch("[a-z]", name) for name, _ in named)
    orders = [named, sorted(named)] if is_alphabetic and sorted(named) != named else [named]
    return [Bracketed("(", tuple(value for _, value in order), ")") for order in orders]


def _named(parts: Sequence[str]) -> list[tuple[str, str]] | None:
    """Name and value of each part, where all of them are equations such as `x = 8`."""
    relations = [relation(part) for part in parts]
    if not all(found and found.is_equation and structure.is_name(found.members[0]) for found in relations):
        return None
    return [(found.members[0], found.value) for found in relations if found]


def _has_several_names(text: str) -> bool:
    named = _named(structure.split_top(text, ","))
    return named is not None and len({name for name, _ in named}) > 1


def _all_equal(one: Sequence[str], other: Sequence[str], equal: Equal) -> bool:
    return all(equal(gold, answer) for gold, answer in zip(one, other, strict=True))


def _as_unions(gold: str, answer: str, equal: Equal) -> bool:
    one, other = (structure.split_top(text, "\\cup") for text in (gold, answer))
    return max(len(one), len(other)) > 1 and len(one) == len(other) and _same_set(one, other, equal)


def _as_real_sets(gold: str, answer: str, equal: Equal) -> bool:
    """Set builders, "all real numbers" and the line less points, as unions of intervals."""
    one, other = as_union(gold), as_union(answer)
    return (one is not None or other is not None) and equal(one or gold, other or answer)


def _as_ratios(gold: str, answer: str, equal: Equal) -> bool:
    """`1:2:3` and `2:4:6`; two numbers that may be a time, such as 10:30, are not reduced."""
    one, other = structure.ratio(gold), structure.ratio(answer)
    if one is None or other is None or len(one) != len(other):
        return False
    if any(all(rational(part) == 0 for part in parts) for parts in (one, other)):
        return False
    if structure.is_time(one) or structure.is_time(other):
        return [rational(part) for part in one] == [rational(part) for part in other]
    pairs = list(zip(one, other, strict=True))
    return all(
        equal(f"({one_left}) \\cdot ({other_right})", f"({other_left}) \\cdot ({one_right})")
        for (one_left, other_left), (one_right, other_right) in combinations(pairs, 2)
    )


_RESIDUE = re.compile(
    r"(?P<value>.*?)\s*(?:\\pmod\s*|(?:\\text\{\s*)?\(\s*(?:\\text\{\s*)?\\?mod\b\s*\}?)\s*\{?\s*(?P<modulus>\w+)\s*\}?\s*\)?"
)


def _as_residues(gold: str, answer: str, equal: Equal) -> bool:
    r"""`3 \pmod{7}` and 3; two moduli must be the same."""
    one, other = _RESIDUE.fullmatch(gold), _RESIDUE.fullmatch(answer)
    if (one is None and other is None) or (one and other and one["modulus"] != other["modulus"]):
        return False
    return equal(one["value"] if one else gold, other["value"] if other else answer)


def _as_matrices(gold: str, answer: str, equal: Equal) -> bool:
    one, other = structure.matrix(gold), structure.matrix(answer)
    if (one is None) != (other is None) and min(text.count("\\begin{") for text in (gold, answer)) > 0:
        return same_expression(gold, answer)  # a sum or product of matrices
    if one is None or other is None or [len(row) for row in one] != [len(row) for row in other]:
        return False
    return all(_all_equal(row, others, equal) for row, others in zip(one, other, strict=True))


def _as_single_values(gold: str, answer: str, equal: Equal) -> bool:
    """A choice's letter, numbers of a base, other values less their units and parentheses."""
    if choice_letter(gold):
        return same_text(gold, answer)
    chosen = _CHOSEN.fullmatch(answer)
    if chosen and structure.bracketed(gold) is None:
        return equal(gold, f"\\binom{{{chosen[1]}}}{{{chosen[2]}}}")
    (digits, base), (other_digits, other_base) = structure.based(gold), structure.based(answer)
    if base or other_base:
        return digits == other_digits and other_base in {base, None}
    return _as_bare_values(gold, answer, equal)


_CHOSEN = re.compile(r"C\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)")
"""10 choose 3 as `C(10, 3)`, which may be a point too."""


def _as_bare_values(gold: str, answer: str, equal: Equal) -> bool:
    (one, one_unit), (other, other_unit) = split_unit(gold), split_unit(answer)
    if conflict(one_unit, other_unit):
        return False
    one, other = structure.unparenthesized(one), structure.unparenthesized(other)
    if (one, other) != (gold, answer):
        return equal(one, other)
    if _is_plural(one) or _is_plural(other):
        return False
    if one.endswith("%") or other.endswith("%"):
        return _same_percentage(one, other, equal)
    return same_value(one, other)


def _is_plural(text: str) -> bool:
    return (
        structure.bracketed(text) is not None
        or relation(text) is not None
        or len(structure.split_top(text, ",")) > 1
        or _is_no_quotient(text)
        or "\\begin{" in text
        or "\\cup" in text
        or "\\pm" in text
    )


def _is_no_quotient(text: str) -> bool:
    """Whether it is a ratio of three, or a time: two numbers with a colon are a quotient only in lowest terms."""
    parts = structure.ratio(text)
    return parts is not None and (len(parts) > _PAIR or structure.is_time(parts))


def _same_percentage(one: str, other: str, equal: Equal) -> bool:
    values = [text.removesuffix("%").strip() for text in (one, other)]
    if equal(*values):
        return True
    if one.endswith("%") and other.endswith("%"):
        return False
    parts = [
        f"\\frac{{{value}}}{{100}}" if text.endswith("%") else value
        for text, value in zip((one, other), values, strict=True)
    ]
    return equal(*parts)


_COMPARISONS: tuple[Callable[[str, str, Equal], bool], ...] = (
    _as_lists,
    _as_tuples,
    _as_unions,
    _as_real_sets,
    _as_ratios,
    _as_residues,
    _as_matrices,
    same_by_relation,
    _as_single_values,
)
"""Each says yes, or leaves it to the next."""
