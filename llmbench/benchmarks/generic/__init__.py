r"""Benchmarks that need no Python: a YAML names one of these classes, and its options say which column holds what.

    module: llmbench.benchmarks.generic:MultipleChoice
    options: {question: "{passage}\n\n{q}", choices: [a, b, c, d], answer: label, subject: topic}

| class | an answer is right if |
|---|---|
| `MathAnswer` | it is mathematically the same as the gold answer: LaTeX, numbers, sets, intervals |
| `NumberAnswer` | it is the same number |
| `IntegerAnswer` | it is the same whole number |
| `MultipleChoice` | it is the letter of the right choice, or that choice's text |
| `ExactMatch` | it is the same text, but for capital letters, white space and marks around it |
| `ContainsMatch` | the gold answer stands somewhere in the text, as words of its own |
| `RegexMatch` | the gold answer, a regular expression, matches somewhere in the text |
| `JudgedAnswer` | a model, the judge, says that it means the same as the gold answer |

Data: a file (.jsonl, .json, .csv or .parquet) or a data set on the hub. The options:

| option | is |
|---|---|
| `question` | a column, or a template such as `{passage}\n\n{q}` with columns in braces |
| `answer` | a column with the gold answer; `#### {solution}` says where in the column `solution` it stands, and `{}` is the column `answer` |
| `choices` | of `MultipleChoice`: a column with a list of texts, or with their texts by letter, or a list of columns, one for each choice |
| `subject` | a column that reports group by, and worked examples with `fewshot_by=subject`; a list of texts in it counts as one text |
| `worked` | a column with worked answers, which examples show (`fewshot`) with the gold answer behind them where they do not state it |
| `tolerance` | of `MathAnswer`: how far a number may be from the gold one: a share of it, `1%`, or a column with a distance such as `0.01` for each row |
| `count_from` | 0 or 1: how the right choice is counted, where answers are numbers and the data leave it open |

A cell with a list of one text is that text. The gold answer of a choice may be its letter, its number or its text; the whole data set decides which. Where the right choice is one of the
listed columns, the choices are shuffled, with a generator of each question's own that the run's seed begins.
A question's id is its line in a .jsonl or .csv file, elsewhere its row, counted from 1.
"""

from llmbench.benchmarks.generic.math_answer import MathAnswer
from llmbench.benchmarks.generic.multiple_choice import MultipleChoice
from llmbench.benchmarks.generic.numbers import IntegerAnswer, NumberAnswer
from llmbench.benchmarks.generic.texts import ContainsMatch, ExactMatch, JudgedAnswer, RegexMatch

__all__ = [
    "ContainsMatch",
    "ExactMatch",
    "IntegerAnswer",
    "JudgedAnswer",
    "MathAnswer",
    "MultipleChoice",
    "NumberAnswer",
    "RegexMatch",
]
