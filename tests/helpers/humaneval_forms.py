"""The forms in which models write the answer to a HumanEval problem."""

from collections.abc import Iterator

BEFORE, BEHIND = (
    "Here is the function. It's simple:\n\n",
    "\n\nExplanation: it returns the result (see above).\n\n- Done",
)


def forms(prompt: str, body: str) -> Iterator[tuple[str, str]]:
    """Names and texts of all forms of an answer with this body."""
    whole = {"whole": prompt + body, "body": body}
    for part, code in whole.items():
        for fence, opening, closing in (
            ("open", "", ""),
            ("python", "```python\n", "```"),
            ("fence", "```\n", "```"),
            ("closed", "", "```"),
        ):
            text = opening + code.rstrip("\n") + "\n" + closing
            yield f"{part}, {fence}", text
            if closing:
                yield f"{part}, {fence}, fence behind the last line", opening + code.rstrip("\n") + closing
            if opening:
                yield f"{part}, {fence}, prose", BEFORE + text + BEHIND
            yield f"{part}, {fence}, prose behind", text + BEHIND
            if fence in ("open", "closed"):
                yield f"{part}, {fence}, prose before", BEFORE + text
    repeated = f"```python\n{prompt.rstrip()}\n```\n\n"
    yield "prompt in a fence, then the whole function", repeated + prompt + body
    yield (
        "prompt in a fence, then the body in a fence",
        f"{repeated}The body:\n\n```python\n{body.rstrip()}\n```",
    )
    yield (
        "body, then the next task",
        f"{body}\n\ndef another(x):\n    return x\n\nprint(another(1))\nassert another(2) == 3\n",
    )
    yield "body without the indentation of its first line", body.strip()
    yield "body behind words in its first line", f"Sure! {body.strip()}"
    yield "body without the indentation of its first line, prose before", BEFORE + body.strip()
    quoted = {
        part: "".join(f"> {line}\n" for line in code.rstrip().split("\n")) for part, code in whole.items()
    }
    for part, text in quoted.items():
        yield f"{part}, quoted", text
        yield f"{part}, quoted, prose", BEFORE + text + BEHIND


ROW = {
    "task_id": "own/0",
    "prompt": 'from typing import List\n\n\ndef twice(x):\n    return 2 * x\n\n\ndef total(xs: List[int]) -> int:\n    """ Sum of the doubled numbers.\n    >>> total([1, 2])\n    6\n    """\n',
    "entry_point": "total",
    "canonical_solution": "    return sum(map(twice, xs))\n",
    "test": "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == 6\n    assert candidate([]) == twice(0) == total([])\n",
}
"""A problem of our own."""
