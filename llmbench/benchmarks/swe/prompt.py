"""SWE-bench's prompt: the issue, code between `<code>` and `</code>`, what to write; and cutting it to a length.

The retrieval data sets bring it whole under `text` (swebench/inference/make_datasets/create_instance.py, style 3); other
rows get one of the same shape from the issue and from `files`, where they have them.

The rule of cutting: what asks for the patch stays whole. Of the code the last lines go first: READMEs before other files,
and of those the last file before the first; a file that loses its end says how many lines are left out, a file that loses
all of its lines is named no more. Only when no code is left is the issue cut, at its end.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

PREMISE = "Below are the report of an issue in a code base and a part of that code base."
REQUEST = """Fix the issue. Answer with one patch in the format that `git apply` takes: for every file that changes its old and \
new name, then hunks with the lines removed and added and some unchanged lines around them. New files come from /dev/null. \
Paths start at the root of the repository. An example of the format:

<patch>
diff --git a/shop/price.py b/shop/price.py
--- a/shop/price.py
+++ b/shop/price.py
@@ -4,5 +4,5 @@ from decimal import Decimal
 def total(items):
     result = Decimal(0)
-    for item in items[1:]:
+    for item in items:
         result += item.price
     return result
</patch>

Put your patch between <patch> and </patch>."""

_CODE = re.compile(r"\A(?P<head>.*?\n<code>\n)(?P<code>.*)(?P<tail>\n</code>\n.*)\Z", re.DOTALL)
_ISSUE = re.compile(r"\A(?P<before>.*?<issue>\n)(?P<issue>.*)(?P<after>\n</issue>\n.*)\Z", re.DOTALL)
_START = re.compile(r"\[start of (?P<name>[^\n]+)\]\n?")


@dataclass(frozen=True, slots=True)
class File:
    """A file as the prompt shows it; `lines` are without its `[start of …]` and `[end of …]`."""

    name: str
    lines: tuple[str, ...]

    def text(self, lines: int) -> str:
        """The first `lines` lines between their marks; nothing where none of them is kept."""
        left_out = len(self.lines) - lines
        if not lines and left_out:
            return ""
        mark = [f"[{left_out} more lines are left out]"] if left_out else []
        return "\n".join([f"[start of {self.name}]", *self.lines[:lines], *mark, f"[end of {self.name}]"])


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in its parts: `before`, issue, `between`, files, `after`."""

    before: str
    issue: str
    between: str
    files: tuple[File, ...]
    after: str

    @property
    def lines(self) -> int:
        """Lines of code."""
        return sum(len(file.lines) for file in self.files)

    def text(self, lines: int | None = None, characters: int | None = None) -> str:
        """The prompt with so many lines of its code and so many characters of its issue; by default with all."""
        kept = self._lines_of_each(self.lines if lines is None else lines)
        shown = [file.text(count) for file, count in zip(self.files, kept, strict=True)]
        return f"{self.before}{self.issue[:characters]}{self.between}{chr(10).join(filter(None, shown))}{self.after}"

    def _lines_of_each(self, lines: int) -> list[int]:
        """How many lines each file keeps of so many: READMEs come last, otherwise the order is the prompt's."""
        kept = [0] * len(self.files)
        are_readmes = [file.name.rpartition("/")[2].lower().startswith("readme") for file in self.files]
        for place in sorted(range(len(self.files)), key=lambda place: are_readmes[place]):
            kept[place] = min(lines, len(self.files[place].lines))
            lines -= kept[place]
        return kept


def compose(issue: str, files: Mapping[str, str]) -> str:
    """The prompt of a row without `text`."""
    shown = [File(name, tuple(content.rstrip("\n").split("\n"))) for name, content in sorted(files.items())]
    prompt = Prompt(
        f"{PREMISE}\n<issue>\n", issue.strip(), "\n</issue>\n<code>\n", tuple(shown), f"\n</code>\n{REQUEST}"
    )
    if not shown:
        prompt = replace(prompt, between="\n</issue>\n", after=REQUEST)
    return prompt.text()


def parse(text: str) -> Prompt | None:
    """The parts of a prompt; None where it has no issue in its marks."""
    code = _CODE.match(text)
    head, body, tail = (code["head"], code["code"], code["tail"]) if code else (text, "", "")
    issue = _ISSUE.match(head)
    if issue is None:
        return None
    return Prompt(issue["before"], issue["issue"], issue["after"], _files(body), tail)


def _files(code: str) -> tuple[File, ...]:
    """The files of the code; marks that a file's own text holds do not end it."""
    found, place = [], 0
    while start := _START.search(code, place):
        end = f"\n[end of {start['name']}]"
        stop = code.find(end, start.end() - 1)
        content = code[start.end() : max(stop, start.end())] if stop >= 0 else code[start.end() :]
        found.append(File(start["name"], tuple(content.split("\n")) if content else ()))
        place = stop + len(end) if stop >= 0 else len(code)
    return tuple(found)


def fit(text: str, fits: Callable[[str], bool]) -> tuple[str, dict[str, Any] | None]:
    """The longest prompt that fits by the rule above, and what was cut: None where nothing was.

    Args:
        text: A whole prompt.
        fits: Whether a prompt is short enough. Asked about 2·log2(lines) times, small prompts first, since it counts tokens.

    Returns:
        The text as it is where even an empty issue does not fit, or where it has no parts: refusing it is another's task.
    """
    if fits(text):
        return text, None
    prompt = parse(text)
    if prompt is None or not fits(prompt.text(0, 0)):
        return text, None
    if fits(prompt.text(0)):
        lines = _most(prompt.lines, lambda count: fits(prompt.text(count)))
        return prompt.text(lines), {"code_lines": lines, "code_lines_of": prompt.lines}
    length = len(prompt.issue)
    characters = _most(length, lambda count: fits(prompt.text(0, count)))
    cut = {"code_lines": 0, "code_lines_of": prompt.lines}
    return prompt.text(0, characters), {**cut, "issue_characters": characters, "issue_characters_of": length}


def _most(limit: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `limit` that holds, where 0 does and larger ones hold less; small ones are tried first.

    A file's last line may make a prompt shorter, since its mark goes, so that plain bisection finds other numbers.
    """
    low, step = 0, 1
    while low + step <= limit and holds(low + step):
        low, step = low + step, step * 2
    high = min(limit + 1, low + step)  # does not hold, or is out of reach
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def files_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The repository that a row brings: path to content; empty where it brings none.

    Raises:
        ValueError: `files` is not a JSON object of texts.
    """
    value = row.get("files")
    if value is None or value == "":
        return {}
    found = orjson.loads(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping) or not all(isinstance(content, str) for content in found.values()):
        raise ValueError("files is not a JSON object of texts")
    return {str(path): content for path, content in found.items()}
