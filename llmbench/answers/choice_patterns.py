"""The wordings in which a text states a choice's letter, or seems to; `choices.py` says how each counts."""

import re

from llmbench.answers import languages
from llmbench.answers.retractions import CORRECTS

QUALIFIER = (
    r"(?:correct|right|best|most\s+\w+|closest|nearest|appropriate|accurate|suitable|final|only|remaining|valid|matching|likely|true|my|our|proper|selected|chosen|"
    r"one\s+correct)"
)
OPTION_IS = re.compile(
    rf"\b{QUALIFIER}\s+(?:\w+\s+)?(?:options?|choices?|alternative|selection|pick|guess|match|letter|response|one|statement|candidate|description|explanation)\b"
    r"(?P<gap>[^\n.!?:]{0,80}?)\s*(?:\b(?:is|would\s+be|should\s+be|must\s+be|will\s+be|has\s+to\s+be|seems\s+to\s+be|appears\s+to\s+be)\b|:)",
    re.IGNORECASE,
)
# "C is correct, so the false one is A": the question asks for it, if the text concludes with it.
FALSE_IS = re.compile(
    r"\b(?:so|thus|hence|therefore)\b,?\s+the\s+(?:false|incorrect|wrong|untrue|invalid|odd)\s+(?:one|statement|option|choice|answer)\s+(?:out\s+)?(?:is|must\s+be)\b",
    re.IGNORECASE,
)
UNLIKELY = re.compile(
    r"\b(?:least|worst|less|unlikel\w*|implausible|improbable|(?<!so the )(?:false|wrong|incorrect))(?:\s+\w+)?\s*$"
    r"|^\W*(?:at\s+first|initially)\W+(?:\w+\s+){0,2}$|[.!?]\s+(?:at\s+first|initially)\W+(?:\w+\s+){0,2}$",
    re.IGNORECASE,
)
"""What stands before a noun that is not an answer: "the least likely answer", "At first the answer seems to be"."""
AT_FIRST = re.compile(
    r"\s*(?:(?:option|choice)\s+)?[(\[]?[A-Z][)\]]?\s+(?:at\s+first\b|initially\b|on\s+the\s+surface\b|at\s+a\s+glance\b)"
)
CLOSEST_IS = re.compile(
    r"\b(?:closest|nearest|best|most)\b[^\n.!?:]{0,60}?\bis\b(?=\s+(?:option|choice|answer|\())",
    re.IGNORECASE,
)
CHOOSE = re.compile(
    r"\b(?:i|we|i'd|i'll|we'll|would|will|should|must|to|so|therefore|thus|hence|and|let's|let\s+me|i\s+am|i'm|we\s+can|can)\s*,?\s+"
    r"(?:\w+\s+)?(?:choose|chose|select|pick|go\s+(?:with|for)|going\s+(?:with|for)|opt\s+for|lean\w*\s+towards?|settle\s+on|conclude\s+(?:that\s+it\s+is|with|it's))\b",
    re.IGNORECASE,
)
CHINESE = re.compile(
    r"(?<![不未别勿非可])(?<!不[应該该能要可])(?:选项(?=是|为)|選項(?=是|為)|[选選][择擇]?(?=[^项項]))\s*(?:是|为|為)?\s*:?\s*(?:选项|選項)?"
)
# "Final answer - B", "Ans. D", "答案 C", "सही उत्तर C है": nothing, or not a verb, between the noun and the letter.
BARE_ANSWER = re.compile(
    rf"(?:(?m:^)[#>* \t-]{{0,12}}(?:so\s*,?\s+)?(?:the\s+|my\s+)?(?:(?:final|correct|best)\s+)*(?P<english>answer|ans\b\.?|(?:correct|final|verdict)(?=\s*:))|(?P<noun>{languages.ANSWER}))"
    rf"[ \t]*(?:-+>?|[–—→⇒|>:\]]|=>|\.)?[ \t]*(?:(?:{languages.OPTION})\s*)?(?=[(\[\"'“‘*]?\s*[A-Za-z](?![A-Za-z]))",
    re.IGNORECASE,
)
NOT_BUT = re.compile(
    r"\b(?i:answer|option|choice|letter|it|this|that|one)\b[^\n.!?;:]{0,40}?(?:\bnot|n['’]t|\bneither)\s+(?:option\s+|choice\s+)?\(?[A-Z]\)?"
    r"(?:\s*(?:,\s*)?(?:or|nor|and|not)\s+(?:not\s+)?(?:option\s+|choice\s+)?\(?[A-Z]\)?)*\s*[,;:–—-]?\s*(?:but|rather|instead)\s*,?\s+(?:rather\s+)?(?:it\s+is\s+|it['’]s\s+)?"
)
NOT_BUT_ELSEWHERE = re.compile(
    rf"(?:{languages.ANSWER})[^\n.!?;:]{{0,40}}?(?<![A-Za-z])\(?(?P<denied>[A-Z])(?![A-Za-z])\)?\s*[,;]?\s*"
    rf"(?:(?:{languages.BUT})\s*,?\s*(?:que\s+)?|(?<=[,;] )(?={languages.IS}))(?:(?:{languages.IS})\s*)?(?:(?:{languages.OPTION})\s*)?(?=\(?[A-Z](?![A-Za-z]))",
    re.IGNORECASE,
)
TAG = re.compile(r"<(?:solution|output|result|response)>\s*", re.IGNORECASE)
BOX_TOKEN = re.compile(r"<\|begin_of_box\|>")
NOT_OPTIONS = re.compile(
    r"\b(?!(?:and|but|that|thus|therefore|hence|then|only|think|believe|conclude|find|means|shows|since|because|likely|say|sure|confident|clearly|so|as|is|option"
    r"|choice|answer|alternative|letter|confirms?|indeed|obviously|actually|case|while|where|which|with)\b)[A-Za-z]{3,}\s+\(?$",
    re.IGNORECASE,
)
INSTRUCTS = re.compile(
    r"\b(?:choose|select|pick|mark|provide|write|give|state|which\s+is|what\s+is)\s+(?:the\s+|an?\s+)?(?:(?:single|correct|best|right|final|one)\s+)*$",
    re.IGNORECASE,
)
LISTS_OPTIONS = re.compile(r"\s*(?:choices|options|format|template|candidates)\s*", re.IGNORECASE)
IS_CORRECT = re.compile(
    r"(?P<lead>\b(?:option|choice|answer|alternative)\s+)?(?P<open>[(\[])?(?<![A-Za-z0-9])(?P<letter>[A-Z])(?![A-Za-z0-9'’_^])(?P<close>[)\]])?"
    r"(?:\s*\([^()\n]{1,60}\)|\s*:\s*[^\n.!?,:]{1,60}?)?\s+(?:is|must\s+be|should\s+be|would\s+be|appears\s+to\s+be|seems\s+to\s+be)\s+"
    r"(?:(?:therefore|thus|hence|then|indeed|clearly|likely|most\s+likely|probably|definitely)\s+)?"
    r"(?:the\s+|our\s+|my\s+)?(?:(?:only|single|one|most|best)\s+)*(?:correct|right|best|better|answer|accurate|appropriate|plausible|likely)\b"
    r"\s*(?P<noun>answer|option|choice|one|statement|match|response)?(?P<after>[^\n]{0,12})",
)
CONCLUDE = re.compile(
    r"(?:\b(?:so|thus|therefore|hence|then|actually|consequently|accordingly)\b[,:]?\s+(?:i\s+(?:think|believe|guess)\s+)?(?:(?:it|this|that|which)(?:'s|\s+is|\s+must\s+be|\s+should\s+be|\s+would\s+be|\s+has\s+to\s+be)\s+)?"
    r"|\b(?:it|this|that)(?:'s|\s+is|\s+must\s+be|\s+should\s+be|\s+has\s+to\s+be)\s+(?=option|choice|\()"
    r"|\b(?:correct|right|best|final)\s+(?:option|choice|answer)\s+(?=\()"
    r"|\b(?:leaves|leaving)\s+(?:(?:us\s+)?(?:with\s+)?(?:only|just)\s+|us\s+with\s+|(?=option|choice|answer|\()|(?P<left>))"
    r"|\b(?:i\.\s?e\.|namely|that\s+is)\s*,?\s+(?=option|choice|answer|\()"
    r"|(?P<bare>\b(?:it|this|that)(?:['’]s|\s+(?:is|must\s+be|should\s+be|has\s+to\s+be|seems\s+to\s+be|appears\s+to\s+be))\s+)"
    r"|\b(?:only|just)\s+(?=(?:(?:option|choice|answer)\s+)?\(?[A-Z]\)?\s+(?:remains|is\s+left|survives|fits|works|is\s+possible|satisfies|matches|agrees)\b)"
    r"|\b(?:left\s+with|by\s+(?:(?:the\s+)?process\s+of\s+)?elimination\s*[,:]?|(?:i|we)\s+(?:think|believe|guess|suspect))\s+(?:only\s+)?"
    r"|\b(?:corresponds?|corresponding|leads?|points?|amounts?)\s+to\s+|\b(?:matches|matching|match|gives|yields|is)\s+(?=(?:with\s+)?(?:option|choice|answer)\b)(?:with\s+)?)",
    re.IGNORECASE,
)
TAKES_BACK = re.compile(
    rf"\b(?:wait|actually|correction|mistake|mistaken|however|hmm|reconsider\w*|sorry|on second thought|let me re|should instead|instead)\b|{CORRECTS.pattern}",
    re.IGNORECASE,
)
INSTEAD = re.compile(
    r"(?:\b(?:sorry|oops|no|nope|wait|hmm+|edit|correction|update|(?:scratch|strike)\s+that|on\s+second\s+thought)\s*[,:.;—–!-]+\s*"
    r"|\b(?:mean|meant|(?:change|correct|revise|update)\s+(?:that|this|it|my\s+\w+|the\s+answer)\s+to|(?:it|this|that)(?:['’]s|\s+is)|make\s+(?:that|it))\s+"
    r"|\b(?:matches|fits|corresponds\s+to|agrees\s+with|i\.e\.,?|is|that['’]s)\s+(?=(?:option\s+|choice\s+)?\(?[A-Z]\)?[.!]*\s*(?:$|\n)))"
    r"(?!(?:it|I|not)\b)",
    re.IGNORECASE,
)
"""What leads to another letter once an answer is taken back: "Sorry, I meant C", "Edit: C", "which matches C"."""
EITHER_CASE = re.compile(
    r"[^.!?\n]{0,40}?(?<![A-Za-z])(?P<one>[A-Z])\)?\s+(?:if|when|for|in)\b[^.!?\n]{0,120}?[\s,;(](?P<other>(?!(?P=one))[A-Z])\)?\s+(?:otherwise|if|when|for|in|else)\b"
)
DENIED_INSIDE = re.compile(r"\b(?:not|never|cannot)\b|n['’]t", re.IGNORECASE)
DENIED_BEFORE = re.compile(r"(?:\b(?:not|never|cannot)|n't)\s+(?:\w+\s+)?$", re.IGNORECASE)
DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|cannot|incorrect|wrong|eliminat\w*|rul(?:e|ed|es|ing)(?:\s+out)?|exclud\w*|discard\w*|reject\w*|false|unlikely|impossible|out|violat\w*|contradict\w*|fails?)\b|n['’]t",
    re.IGNORECASE,
)
# "5.2 eV → C", but not a reaction such as "B → C".
POINTED = re.compile(
    r"(?:^|(?<=[^A-Z\s])|(?<=\w\w))\s*(?:→|⇒|⟹|➡\ufe0f?|👉|=>|->)\s*(?:(?:option|choice)\s+)?[(\[]?(?P<letter>[A-Z])[)\]]?[.!\s]*$"
)
_ADVERB = r"(?:(?:also|therefore|thus|hence|then|indeed|clearly|likely|probably|definitely|certainly|most|very|best|far|much|by\s+far)\s+)*"
_QUALITY = (
    r"(?:(?:only|single|one|best|most\s+\w+|closest|nearest|right|correct|likeliest)\b|true\b|correct\b|right\b|consistent\s+with\b|close\s+to\b|in\s+agreement\b|left\b|possible\b"
    r"|plausible\b|accurate\b|valid\b|reasonable\b)"
)
SUBJECT = re.compile(
    r"\W*(?:(?:so|thus|therefore|hence|then|accordingly|consequently|and|overall|finally|in\s+conclusion)\s*,?\s+|(?:among|of)\s[^,\n]{1,40},\s+){0,3}(?:only\s+)?(?:option\s+|choice\s+|answer\s+)?"
    r"[(\[]?(?P<letter>[A-Z])[)\]]?\s+"
    rf"(?:(?:is|must\s+be|has\s+to\s+be|should\s+be|(?:seems|appears|looks)(?:\s+to\s+be)?|remains)\s+{_ADVERB}(?:the\s+)?{_QUALITY}"
    rf"|{_ADVERB}(?:matches|fits|agrees|satisfies|works|holds|remains|survives|explains|describes|reproduces|corresponds)\b)",
    re.IGNORECASE,
)
OTHER_LETTER = r"(?<![A-Za-z])(?!I\b|A\s+[a-z])[{}](?![A-Za-z'’])"
