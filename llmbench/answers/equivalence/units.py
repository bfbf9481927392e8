r"""Units behind a value: `15\mbox{ cm}^2`, `864 square inches`, `5.4\text{ cents}`, `6 hours`.

A unit is no part of the answer where one side leaves it out. Where both sides name known units of different kinds or sizes
(cents and dollars, hours and minutes), the answers differ; so they do where both name a time of day, a direction, a month or
the like, and not the same. Powers are not compared ("cm" for "cm^2" is a slip of the pen).
"""

import re

# Name of the unit: its spellings, in the singular.
_KNOWN = {
    "cm": "cm centimeter centimetre", "mm": "mm millimeter millimetre", "m": "m meter metre", "km": "km kilometer kilometre",
    "dm": "dm decimeter decimetre", "dam": "dam decameter decametre", "hm": "hm hectometer hectometre", "micrometer": "um micrometer micrometre micron",
    "inch": "in inch inche", "foot": "ft foot feet", "yard": "yd yard", "mile": "mi mile",
    "second": "s sec second", "minute": "min minute", "hour": "h hr hour", "day": "day", "week": "week", "month": "month", "year": "yr year",
    "decade": "decade", "century": "century centurie", "millennium": "millennium millennia",
    "cent": "cent penny pennie", "nickel": "nickel", "dime": "dime", "dollar": "dollar buck usd", "euro": "euro eur", "rupee": "rupee r", "yen": "yen jpy", "yuan": "yuan rmb",
    "gram": "g gram", "kilogram": "kg kilogram", "pound": "lb pound", "ounce": "oz ounce", "ton": "ton tonne",
    "degree": "degree deg", "radian": "rad radian",
    "liter": "l liter litre", "milliliter": "ml milliliter millilitre", "gallon": "gal gallon",
    "quart": "qt quart", "pint": "pt pint", "cup": "cup", "centiliter": "cl centiliter centilitre", "deciliter": "dl deciliter decilitre",
    "mph": "mph", "kmh": "kmh kph", "millisecond": "ms millisecond", "newton": "n newton", "volt": "v volt", "ampere": "amp ampere",
    "watt": "w watt", "kilowatt": "kw kilowatt", "megawatt": "mw megawatt", "joule": "j joule", "kilojoule": "kj kilojoule",
    "calorie": "cal calorie", "kilocalorie": "kcal kilocalorie", "hertz": "hz hertz", "kilohertz": "khz kilohertz", "megahertz": "mhz megahertz",
    "pascal": "pa pascal", "kilopascal": "kpa", "kelvin": "k kelvin", "mole": "mol mole", "milligram": "mg milligram", "nanometer": "nm nanometer",
}  # fmt: skip
_SPELLING = {spelling: name for name, spellings in _KNOWN.items() for spelling in spellings.split()}
# Words that are no units, though they stand behind a number as one does: of each row an answer names one or none.
_EXCLUSIVE = tuple(
    {word: name for name, words in row.items() for word in words.split()}
    for row in (
        {"am": "am", "pm": "pm"},
        {"noon": "noon midday", "midnight": "midnight"},
        {"celsius": "celsius c", "fahrenheit": "fahrenheit f", "kelvin": "kelvin k"},
        {"men": "men man", "women": "women woman"},
        {"boys": "boys boy", "girls": "girls girl"},
        {"red": "red", "blue": "blue", "green": "green", "yellow": "yellow", "black": "black", "white": "white", "orange": "orange", "purple": "purple", "brown": "brown", "pink": "pink"},
        {"north": "north northern n", "south": "south southern s", "northeast": "northeast", "northwest": "northwest", "southeast": "southeast", "southwest": "southwest", "east": "east eastern e", "west": "west western w"},
        {"left": "left", "right": "right"},
        {"up": "up upward upwards above", "down": "down downward downwards below"},
        {"jan": "january jan", "feb": "february feb", "mar": "march mar", "apr": "april apr", "may": "may", "jun": "june jun", "jul": "july jul", "aug": "august aug", "sep": "september sep sept", "oct": "october oct", "nov": "november nov", "dec": "december dec"},
        {"mon": "monday", "tue": "tuesday", "wed": "wednesday", "thu": "thursday", "fri": "friday", "sat": "saturday", "sun": "sunday"},
        {"bc": "bc bce", "ad": "ad ce"},
        {"clockwise": "clockwise", "counterclockwise": "counterclockwise anticlockwise"},
        {"gain": "gain profit increase more", "loss": "loss decrease less fewer"},
        {"heads": "heads head", "tails": "tails tail"},
        {"inside": "inside", "outside": "outside"},
        {"odd": "odd", "even": "even"},
    )
)  # fmt: skip
_COUNTED = """
    unit square cubic sq cu per people person child children student apple ball marble way time point coin ticket page number integer
    solution value term side digit card book piece item percent
"""
_SCALES = re.compile(
    r"\b(?:tenths|hundredths?|thousandths?|thirds|(?:four|fif|six|seven|eigh|nin)ths|(?:ten|thousand|million|billion|trillion|hundred|dozen|pair)s?"
    r"|half|halves|gross|quarter|squared|cubed|sqrt|pi|factorial|negative|minus|subtracted|added|multiplied|divided|raised)\b",
    re.IGNORECASE,
)
# Words before a number that change it.
_OPERATIONS = re.compile(
    r"\b(?:half|twice|double|triple|thirds?|quarters?|root|square|cube|negative|minus|reciprocal|inverse|opposite|sum|product|difference|log|all|no|without|base|modulo?)\b",
    re.IGNORECASE,
)
_NO_UNIT = re.compile(
    r"\b(?:none|(?:below|above) zero|wrong|incorrect|impossible|too|(?:west|east|north|south) of)\b",
    re.IGNORECASE,
)
"""Words behind a number that say more than what is counted."""
_ANNOUNCES = re.compile(r"(?:\bis|\bare|:|=)\s*:?\s*\}\s*$")
_STATEMENT = re.compile(r"\b(?:is|are)\b")
_MAX_LENGTH = 300
"""Characters; a longer answer is not a value with a unit."""
_WORD = 3
"""Letters; two are as often two variables."""
_POWER = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
_TRAILING_TEXT = re.compile(
    rf"(?P<value>.*[^\s=+\-*/<>(,^_{{])\s*\\text\{{(?P<unit>[^{{}}]*)\}}{_POWER}\s*/?\s*", re.DOTALL
)
_MONTHS = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?\s+\d"
_NUMBER_IN_TEXT = re.compile(
    r"\\text\{\s*(?!"
    + _MONTHS
    + r")(?P<prefix>[^{}\d]*?)(?P<number>-?[\d,.]*\d(?::\d\d)?)(?P<rest>[^{}\d]*)\}"
)
_LEADING_TEXT = re.compile(
    r"\\text\{(?P<words>[^{}]*?)(?:\bis|\bare|:|=|\bapproximately|\babout)?\s*:?\s*\}\s*(?=\S)"
)
_SEVERAL = re.compile(r"\d\s*(?:\\text\{[^{}]*[A-Za-z][^{}]*\}|[A-Za-z]{2,})\s*,(?=.*[A-Za-z}]$)", re.DOTALL)
"""Two values with words of their own."""
_PLAIN_WORDS = re.compile(
    r"(?P<value>.*(?:[\d})]|\\pi))(?P<gap>\s*-?\s*)(?P<unit>[A-Za-z]{2,}(?:[\s/.-]+[A-Za-z]+)*)"
    + _POWER
    + r"\.?",
    re.DOTALL,
)


_BARE_WORDS = frozenset(
    word + ending
    for word in (*_COUNTED.split(), *(spelling for spelling in _SPELLING if len(spelling) > 1))
    for ending in ("", "s", "es")
)
r"""Words that are left out without `\text` too; no single letters, which may be variables."""


def split_unit(text: str) -> tuple[str, frozenset[str]]:
    """A cleaned text as its value and the known units it names."""
    units: set[str] = set()
    if len(text) > _MAX_LENGTH:
        return text, frozenset()
    text = _NUMBER_IN_TEXT.sub(r"\\text{\g<prefix>}\g<number>\\text{\g<rest>}", text)
    text = re.sub(r"\\text\{\s*\}", "", text).strip()
    if _SEVERAL.search(text):
        return text, frozenset(unit for part in text.split(",") for unit in split_unit(part)[1])
    while (
        (match := _TRAILING_TEXT.fullmatch(text))
        and not _SCALES.search(match["unit"])
        and not re.search(r"\d", match["unit"])
        and not _NO_UNIT.search(match["unit"])
        and not (_STATEMENT.search(match["unit"]) and re.search(r"[a-z]", match["value"]))
    ):
        text = match["value"].strip()
        units |= _known(match["unit"])
    match = _PLAIN_WORDS.fullmatch(text)
    if match and _is_unit(match["value"], match["unit"], is_apart=bool(match["gap"])):
        text = match["value"].strip()
        units |= _known(match["unit"])
    leading = _LEADING_TEXT.match(text)
    if (
        leading
        and not re.search(r"\d", leading["words"])
        and (_ANNOUNCES.search(leading[0]) or not _OPERATIONS.search(leading["words"]))
        and re.search(r"\d|\\[a-z]", text[leading.end() :])
        and not re.search(r",\s*\\text", text[leading.end() :])  # one of several labels
    ):
        text = text[leading.end() :].strip()
        units |= {name for name in _known(leading["words"]) if not name.startswith("unit:")}
    return text, frozenset(units)


def _is_unit(value: str, words: str, *, is_apart: bool) -> bool:
    """Behind a plain number and a space any words are a unit; behind a formula, or without a space, only known ones."""
    if _SCALES.search(words) or _NO_UNIT.search(words) or "\\text" in value:
        return False
    names = re.findall(r"[A-Za-z]+", words)
    is_number = re.fullmatch(r"[-+]?[\d.,\s]*\d(?:\s*/\s*\d+)?|-?\\frac\{\d+\}\{\d+\}", value.strip())
    if is_number and is_apart and max(map(len, names)) >= _WORD:
        return True
    return all(name.lower() in _BARE_WORDS or _known(name) for name in names)


_LABEL = re.compile(
    r"\\text\{(?P<before>[^{}\d]*[A-Za-z][^{}\d]*)\}.*|(?P<plain>[A-Za-z][A-Za-z ]*):.*|[^A-Za-z]*\d\s*(?:\\text\{)?\s*(?P<behind>[A-Za-z][A-Za-z ]*)\}?"
)


def label(text: str) -> str | None:
    r"""What words say that a value is: "alice" of `\text{Alice: }3`, "boys" of "3 boys"."""
    match = _LABEL.fullmatch(text.strip())
    words = next((group for group in match.groups() if group), "") if match else ""
    return " ".join(re.findall("[a-z]+", words.lower())) or None


_SPEEDS = tuple(
    (re.compile(rf"\b(?:{length})\s*(?:per|/)\s*(?:hour|hr|h)\b", re.IGNORECASE), name)
    for length, name in (("miles?|mi", "mph"), ("kilomet(?:er|re)s?|km", "kmh"))
)


def _known(words: str) -> set[str]:
    """The known units and exclusive words, each as "its kind:its name"."""
    found = set()
    for pattern, speed in _SPEEDS:
        words = pattern.sub(speed, words)
    for word in re.findall(r"[a-z]+", words.lower()):
        forms = (word, word.removesuffix("s"), word.removesuffix("es"))
        found |= {f"unit:{_SPELLING[form]}" for form in forms if form in _SPELLING}
        found |= {f"{row}:{names[word]}" for row, names in enumerate(_EXCLUSIVE) if word in names}
    return found


def conflict(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether both name units (or words of one row) and none in common."""
    kinds = {name.partition(":")[0] for name in one} & {name.partition(":")[0] for name in other}
    shared = {name.partition(":")[0] for name in one & other}
    return bool(kinds - shared)


def currency(text: str) -> frozenset[str]:
    """The currencies that a text names, by sign or word; a dollar sign may open and close mathematics, so pairs do not count."""
    signs = {"unit:dollar"} if "\\$" in text or text.replace("\\$", "").count("$") % 2 else set()
    signs |= {f"unit:{name}" for sign, name in _CURRENCY_SIGNS.items() if sign in text}
    words = " ".join(re.findall(r"(?<![\\A-Za-z])[A-Za-z]{3,}", text))
    return frozenset(signs | (_known(words) & _CURRENCIES))


_CURRENCY_SIGNS = {"€": "euro", "£": "pound sterling", "\\pounds": "pound sterling", "¥": "yen", "¢": "cent", "₹": "rupee", "₽": "ruble"}  # fmt: skip
_CURRENCIES = {f"unit:{name}" for name in ("cent", "dollar", "euro", "rupee", "yen", "pound sterling")}


def is_unit_symbol(name: str) -> bool:
    r"""Whether letters set upright may be a unit, as in `5\text{ m}`."""
    return any(found.startswith("unit:") for found in _known(name))
