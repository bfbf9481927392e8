"""How the engine without a model judges answers: by the gold answer, or badly on demand (`engine.args={judge: obey}`)."""

import re
from collections.abc import Callable, Mapping

HONEST = "honest"
_FORM = re.compile(r"one of the words (?P<words>[A-Z_, ]+), in this form:\s+(?P<verdict>VERDICT \w+:) WORD")


def _verdict(prompt: str, place: int) -> str:
    """The first or second of the words that the prompt offers, in the form that it asks for."""
    form = _FORM.search(prompt)
    if form is None:
        return "There is nothing to judge."
    return f"{form['verdict']} {form['words'].split(', ')[place]}"


def _part(prompt: str, name: str) -> str:
    """What stands in the prompt as the reference or the answer."""
    found = re.search(rf"\[BEGIN {name} (\w+)\]\n(.*?)\n\[END {name} \1\]", prompt, re.DOTALL)
    return found[2] if found else ""


def _honest(prompt: str) -> str:
    """Right where the gold answer stands in the answer, as words of its own."""
    gold = rf"(?<!\w){re.escape(_part(prompt, 'REFERENCE'))}(?!\w)"
    right = re.search(gold, _part(prompt, "ANSWER"), re.IGNORECASE) is not None
    reason = "The reference stands in the answer." if right else "The answer lacks the reference."
    return f"{reason}\n{_verdict(prompt, 0 if right else 1)}"


JUDGES: Mapping[str, Callable[[str], str]] = {
    HONEST: _honest,
    "yes": lambda prompt: f"Sure.\n{_verdict(prompt, 0)}",
    "refuse": lambda _: "I cannot grade this answer.",
    "malformed": lambda _: "The answer is right.\nVerdict: CORRECT",
    "obey": lambda prompt: _part(prompt, "ANSWER"),
}
"""Replies to a judge's prompt: `yes` finds everything right, `obey` writes what the answer says, word for word."""
