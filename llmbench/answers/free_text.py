r"""The text that a model gives as its answer, where that may be any words.

| tier | statement | for example |
|---|---|---|
| first | what follows the last `Answer:` on its line, or on the next where that is empty | `**Answer:** New York` |
| second | what the last box holds | `\boxed{\text{New York}}` |
| third | the only line of a complete text | `New York.` |

Emphasis, quotation marks and a final full stop are no part of it. In an incomplete text a statement at the very end is none:
"New" may have become "New York".
"""

import re
import unicodedata

from llmbench.answers.statements import boxes
from llmbench.answers.text import prepare, prepare_cut, strip_thinking

_CUE = re.compile(
    r"(?:^|(?<=[\s*_(>]))(?:the\s+)?(?:final\s+|correct\s+)?answer[ \t]*(?:is[ \t]*)?[*_]*:[*_]*(?P<rest>[^\n]*)(?P<next>\n+[^\n]+)?",
    re.IGNORECASE,
)
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_AROUND = " \t\n*_`\"'“”‘’«»„$"


def stated_text(text: str, *, complete: bool = True) -> str | None:
    """The text that is stated as the answer, or None; the module's table gives the order.

    Args:
        text: A model's whole output.
        complete: The text ended by itself, so that its end may count.
    """
    prepared = prepare(text) if complete else prepare_cut(text)
    stated = list(_CUE.finditer(prepared))
    if stated:
        rest = stated[-1]["rest"].strip() and stated[-1]["rest"]
        found, end = (rest, stated[-1].end("rest")) if rest else (stated[-1]["next"] or "", stated[-1].end())
        at_end = end == len(prepared)
        return None if at_end and not complete else _bare(found) or None
    if boxed := boxes(prepared):
        return _bare(_WRAPPER.sub(r"\1", boxed[-1].content)) or None
    lines = [line for line in prepared.splitlines() if line.strip()]
    return _bare(lines[0]) or None if complete and len(lines) == 1 else None


def same_text(gold: str, answer: str) -> bool:
    """Whether two texts are the same but for capital letters, white space, forms of one character, and marks around them."""
    return _key(gold) == _key(answer)


def whole_text(text: str) -> str:
    """What a model says, without its thinking."""
    return strip_thinking(text).strip()


def _bare(text: str) -> str:
    """The text without what is set around it, and without a full stop behind words or behind such marks."""
    text = _WRAPPER.sub(r"\1", text).strip(_AROUND)
    return re.sub(rf"(?<=[\w{re.escape(_AROUND.strip())}])\.\Z", "", text).strip(_AROUND)


def _key(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _bare(plain).strip("。.") or plain
