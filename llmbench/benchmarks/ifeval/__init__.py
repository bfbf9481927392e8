r"""IFEval: prompts with instructions whose following a program can check (Zhou et al., 2023, https://arxiv.org/abs/2311.07911).

Data: google/IFEval, split train, 541 prompts with one to three instructions of 25 kinds. `kwargs` has an object for each instruction, in
which a field that the instruction does not use is null or missing.
A row: {"key": 1072, "prompt": "Write a blog post with 400 or more words about the benefits of sleeping in a hammock.",
"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"relation": "at least", "num_words": 400}]}
Protocol: the prompt as it stands, zero-shot, without a system prompt. The whole text is the answer, less the model's thinking; one that the
token limit cut off is graded as it stands, as the published checks do, and only an empty one is `no_answer` (`truncated` where the limit cut
it while the model was still thinking). The accuracy is prompt-level strict: all instructions of a prompt are followed to the letter. The
summary's `details` have the other three: `prompt_level_loose`, `inst_level_strict` and `inst_level_loose`, of single instructions; and the last
two for each kind of instruction and each group of kinds. Loose is a check that passes for the text or for one of seven others: without its
first line, its last or both, and each of them without asterisks.

Differences from the published code, google-research/instruction_following_eval, in what it leaves to chance or overlooks:

- `keywords:letter_frequency` with a character that is no letter (prompt 1122 asks for "#", 1129 for "!") counts it; there a random letter is counted.
- The language of a text is always the same; there langdetect has no seed.
- Keywords, section marks and postscripts are texts; there a dot in one stands for any character, and a bracket is an error.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from llmbench.answers import strip_thinking
from llmbench.benchmarks.base import OwnColumns
from llmbench.benchmarks.dataset import Row, check_text, text_of
from llmbench.benchmarks.ifeval.checks import AT_LEAST, CHECKS, LESS_THAN, loose_variants
from llmbench.errors import DataError
from llmbench.records import Outcome, Result, Sample, Score


class Followed(StrEnum):
    """How an instruction was followed: how a part of a score's explanation begins."""

    STRICTLY = "followed"
    LOOSELY = "only loosely"
    NOT = "not followed"


class IFEval(OwnColumns):
    """Instructions that a text follows or not."""

    name = "ifeval"
    columns = ("key", "instruction_id_list", "kwargs")
    preload = ("langdetect", "punkt")

    def sample(self, row: Row, index: int) -> Sample:
        """Named by `key`."""
        key = text_of(row, "key", index)
        check_text(row, "prompt", index)
        names, given = row["instruction_id_list"], row["kwargs"]
        if not _are_texts(names) or not isinstance(given, list) or len(given) != len(names):
            raise DataError(
                f"ifeval: row {index} ({key}) does not have a list of names under 'instruction_id_list' "
                "and as many objects under 'kwargs'; fix the row."
            )
        arguments = [_arguments(f"row {index} ({key})", *pair) for pair in zip(names, given, strict=True)]
        return Sample(key, {**row, "kwargs": arguments}, "")

    def question(self, sample: Sample) -> str:
        """The prompt as it stands."""
        return str(sample.fields["prompt"])

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The text without thinking, complete or not; its empty lines stay, since they count as first and last lines."""
        answer = strip_thinking(text)
        if answer == text.strip("\n"):
            answer = text
        return answer if answer.strip() else None

    def grade(self, sample: Sample, answer: str) -> Score:
        """Whether all instructions are followed strictly; the explanation names each by how it was followed."""
        found: dict[Followed, list[str]] = {}
        for name, arguments in _instructions(sample.fields):
            found.setdefault(followed(name, arguments, answer), []).append(name)
        explanation = "; ".join(f"{how}: {', '.join(found[how])}" for how in Followed if how in found)
        right = set(found) == {Followed.STRICTLY}
        return Score(float(right), answer, Outcome.CORRECT if right else Outcome.WRONG, explanation)

    def is_equal(self, sample: Sample, answer: str) -> bool:
        """Whether all instructions are followed strictly."""
        return self.grade(sample, answer).outcome is Outcome.CORRECT

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """The instructions, which grading and details need."""
        return {name: sample.fields[name] for name in ("instruction_id_list", "kwargs")}

    def details(self, results: Sequence[Result]) -> dict[str, Any]:
        """The three other scores, and the two of instructions by group and by kind: {"groups": {"keywords": {"n", "strict", "loose"}}}."""
        each = [instructions_followed(result) for result in results]
        kinds: dict[str, list[Followed]] = {}
        groups: dict[str, list[Followed]] = {}
        for name, how in (pair for of_one in each for pair in of_one):
            kinds.setdefault(name, []).append(how)
            groups.setdefault(name.partition(":")[0], []).append(how)
        every = _rates([how for hows in kinds.values() for how in hows])
        return {
            "accuracy_is": "prompt_level_strict",
            "prompt_level_loose": sum(all(how is not Followed.NOT for _, how in of_one) for of_one in each)
            / len(each),
            "inst_level_strict": every["strict"],
            "inst_level_loose": every["loose"],
            "groups": {name: _rates(hows) for name, hows in sorted(groups.items())},
            "instructions": {name: _rates(hows) for name, hows in sorted(kinds.items())},
        }


def followed(name: str, arguments: Mapping[str, Any], text: str) -> Followed:
    """Returns how a text follows an instruction of this name."""
    follows = CHECKS[name].follows
    if follows(text, arguments):
        return Followed.STRICTLY
    loosely = any(variant.strip() and follows(variant, arguments) for variant in loose_variants(text))
    return Followed.LOOSELY if loosely else Followed.NOT


def instructions_followed(result: Result) -> list[tuple[str, Followed]]:
    """Returns each instruction of a result's prompt, and how it was followed; without a graded text none was."""
    if result.score.outcome not in (Outcome.CORRECT, Outcome.WRONG):
        return [(name, Followed.NOT) for name in result.fields["instruction_id_list"]]
    parts = (part.partition(": ") for part in result.score.explanation.split("; "))
    return [(name, Followed(how)) for how, _, names in parts for name in names.split(", ")]


def _rates(hows: Sequence[Followed]) -> dict[str, Any]:
    strict, loose = hows.count(Followed.STRICTLY), len(hows) - hows.count(Followed.NOT)
    return {"n": len(hows), "strict": strict / len(hows), "loose": loose / len(hows)}


def _instructions(fields: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return zip(fields["instruction_id_list"], fields["kwargs"], strict=True)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_KINDS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("relation", "let_relation", "capital_relation"), (LESS_THAN, AT_LEAST).__contains__),
    **dict.fromkeys(("keywords", "forbidden_words"), _are_texts),
    **dict.fromkeys(("keyword", "letter", "language", "first_word", "postscript_marker"), _is_text),
    **dict.fromkeys(("section_spliter", "prompt_to_repeat", "end_phrase"), _is_text),
}
"""What a field of `kwargs` may be; the others are counts."""


def _arguments(where: str, name: str, given: object) -> dict[str, Any]:
    """What a check reads of an instruction's `kwargs`."""
    if name not in CHECKS:
        raise DataError(
            f"ifeval: {where} has the instruction {name!r}, which is none of the 25; fix the row."
        )
    if not isinstance(given, dict):
        raise DataError(f"ifeval: {where} has {given!r} as 'kwargs' of {name}, not an object; fix the row.")
    found = {field: given.get(field) for field in CHECKS[name].reads}
    for field, value in found.items():
        if not _KINDS.get(field, _is_count)(value):
            raise DataError(
                f"ifeval: {where} has {value!r} as the {field!r} of {name}; write what the check asks for."
            )
    return found
