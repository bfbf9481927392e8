"""Words behind a stated answer that correct or doubt it, so that what is concluded behind them counts instead.

Extractors of numbers and of letters share them: "The answer is 120. Wait, I forgot the cost of $20. So it is $100." is 100.
"""

import re

_BEGINS = r"(?:^|[.!?;,:\n*_)\]}—–-]\s{0,3})(?:(?:oh|but|so|ah|well)\b,?\s)?"
CORRECTS = re.compile(
    rf"{_BEGINS}(?:wait|hmm+|hm|hold\s+on|actually|on\s+(?:second|closer|further)\s+\w+|oops|whoops|sorry|apologies|nope|no(?=\s*[,.:;—–!-])|correction|edit|update|erratum|revised"
    r"|(?:looking|thinking|going)\s+(?:at|about|over|back)?\s*(?:this|that|it)\s+again|scratch\s+that|strike\s+that)\b"
    r"|\b(?:(?:is|are|was|were|should|['’]s)\s+actually|reconsider\w*|on\s+second\s+thought|mistake|mistaken|(?:an|my|the|some)\s+error|(?:a|my)\s+typo|erred|misread|mis\w*(?:counted|calculated|computed)"
    r"|(?:I|we)\s+(?:\w+\s+)?(?:forgot|missed|overlooked|mixed|swapped|confused|mean|meant)|(?:not|n['’]t)\s+(?:quite\s+)?(?:right|correct)|(?:is|was|['’]s)\s+(?:wrong|incorrect)"
    r"|(?:I|we)['’]?\s*(?:\w+\s+)?(?:take\s+(?:that|this|it)\s+back)|(?:change|correct|revise|fix|update|withdraw|disregard|ignore)\s+(?:that|this|it|my|the)"
    r"|let\s+me\s+re(?:do|count|calc\w*|comp\w*|think|work|vise)|should\s+(?:be|have\s+been)\s+instead)\b",
    re.IGNORECASE,
)
CONFIRMS = re.compile(
    r"\b(?:yes|matches|confirm\w*|checks?\s+out|consistent|indeed|as\s+expected|makes\s+sense|(?<!not )(?<!n['’]t )(?:is|are|was|looks?|['’]s)\s+(?:right|correct|fine)|stands|holds)\b|✓|✔",
    re.IGNORECASE,
)
_ADMITS = re.compile(
    r"\b(?:forg[eo]t|missed|overlooked|(?:need|have|had|ought)\s+to|must|should(?:n['’]t)?\s+(?!be\b)(?:\w+\s+)?\w+|ignored|left\s+out)\b(?:[^.!?:=\n]|\.(?=\d))*"
)


def corrected_part(text: str, start: int) -> str | None:
    """What follows the first words of correction behind `start`, less the admitted mistakes; None where nothing is corrected."""
    corrects = CORRECTS.search(text, start)
    if corrects is None or CONFIRMS.search(text, corrects.end()):
        return None
    return _ADMITS.sub(" ", text[corrects.start() :])
