"""What travels between the stages of a run: small, frozen and without behaviour.

    Sample → Request → Completion → Score, joined by ids into a Result (a line of the journal).

Times are seconds of the engine's monotonic clock; token counts are of the model's own tokenizer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class FinishReason(StrEnum):
    """Why a completion ended."""

    STOP = "stop"
    """The model ended its turn."""
    LENGTH = "length"
    """The token limit was reached."""
    STOP_STRING = "stop_string"
    """One of the stop strings was written."""
    SCORED = "scored"
    """Nothing was written: the log-likelihoods of the choices were asked for."""
    ABORT = "abort"
    """The run was interrupted, or the engine refused the request."""


class Outcome(StrEnum):
    """What became of a sample. "No answer" and "wrong" are never mixed up."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    """The text ended by itself and holds no answer."""
    TRUNCATED = "truncated"
    """The text was cut by the token limit before an answer."""
    TIMEOUT = "timeout"
    """Grading ran past its limit."""
    ERROR = "error"
    """The engine or the grader failed on this sample."""
    UNJUDGED = "unjudged"
    """There is an answer, and no verdict of the judge on it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One question.

    Attributes:
        id: Unique within its benchmark; the data set's own id where it has one.
        fields: The row under the data set's own field names, and what the loader derived from it.
        target: The gold answer as text.
    """

    id: str
    fields: Mapping[str, Any]
    target: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is drawn. `seed` None leaves it to the engine, as greedy decoding does (temperature 0)."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer to be scored: its letter, its text without the space before it, and the tokens that follow the prompt."""

    name: str
    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScoredChoice:
    """A choice with its log-likelihood, the sum of ln p over its `tokens`; `characters` and `bytes` (UTF-8) are its text's."""

    name: str
    text: str
    loglikelihood: float
    tokens: int
    characters: int
    bytes: int

    @classmethod
    def of(cls, choice: Choice, loglikelihood: float) -> Self:
        """Joins what was asked and what came back."""
        text = choice.text
        return cls(choice.name, text, loglikelihood, len(choice.ids), len(text), len(text.encode()))


CONTINUATION_SUFFIX = "+"
"""Stands behind the id of a request whose continuation this is."""
JUDGE_SUFFIX = "?"
"""Stands behind the id of a request whose answer a judge is asked about."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the engine gets.

    Attributes:
        id: Unique within a run: `benchmark/sample/repeat`, and `CONTINUATION_SUFFIX` behind it for a continuation.
        prompt_ids: The prompt's token ids, special tokens included; none where the engine is a server that takes messages.
        messages: The chat, where there are no token ids; a last turn of the assistant is continued.
        choices: Nothing is to be written: the log-likelihood of each of these behind the prompt is asked for.
    """

    id: str
    benchmark: str
    sample_id: str
    repeat: int
    prompt_ids: tuple[int, ...]
    sampling: Sampling
    messages: tuple[Message, ...] = ()
    choices: tuple[Choice, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """What a request and its result have in common: benchmark, sample and repeat."""
        return self.benchmark, self.sample_id, self.repeat


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a completion's time went, in seconds.

    queue = scheduled - queued, prefill = first token - scheduled, decode = last token - first token,
    ttft = first token - queued, which is queue and prefill, e2e = last token - queued, inter_token = decode / (tokens - 1), None for a single token.
    `queued` and `finished` are the monotonic stamps themselves.
    """

    queued: float
    finished: float
    queue: float
    ttft: float
    decode: float
    e2e: float
    inter_token: float | None

    @classmethod
    def of(cls, queued: float, scheduled: float, first: float, last: float, tokens: int) -> Self:
        """From an engine's stamps, on its monotonic clock, and the number of output tokens."""
        decode = last - first
        return cls(
            queued=queued,
            finished=last,
            queue=scheduled - queued,
            ttft=first - queued,
            decode=decode,
            e2e=last - queued,
            inter_token=decode / (tokens - 1) if tokens > 1 else None,
        )

    @property
    def prefill(self) -> float:
        """Seconds in which the prompt was read: from scheduling to the first token."""
        return self.ttft - self.queue


def well_formed(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which models and programs write and UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _make_well_formed(record: object, *names: str) -> None:
    for name in names:
        if isinstance(text := getattr(record, name), str):
            object.__setattr__(record, name, well_formed(text))  # the record is frozen and not used yet


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back for one request.

    Attributes:
        text: Decoded output up to the stop string; the stop string itself is not in it.
        output_ids: All generated token ids, those of a stop string included; not kept in the journal.
        output_tokens: How many tokens were generated.
        stop_string: The stop string that ended the text, if one did.
        cached_tokens: Prompt tokens served from the prefix cache.
        timing: None where nothing was generated (abort, or from the cache).
        error: Why the engine refused or dropped the request.
        from_cache: An earlier run's, given back by the response cache.
        choices: The request's choices with their log-likelihoods, in its order; the text is empty then.
    """

    request_id: str
    text: str
    output_ids: tuple[int, ...]
    output_tokens: int
    prompt_tokens: int
    cached_tokens: int
    finish_reason: FinishReason
    stop_string: str | None = None
    timing: Timing | None = None
    error: str | None = None
    from_cache: bool = False
    choices: tuple[ScoredChoice, ...] = ()

    def __post_init__(self) -> None:
        _make_well_formed(self, "text", "stop_string", "error")

    @property
    def failed(self) -> bool:
        """Whether the engine refused it, or died of it."""
        return self.finish_reason is FinishReason.ABORT and self.error is not None

    @classmethod
    def aborted(cls, request: Request, error: str | None) -> Self:
        """Of a request that gave nothing: refused for the reason `error`, or dropped without one."""
        return cls(request.id, "", (), 0, len(request.prompt_ids), 0, FinishReason.ABORT, error=error)


@dataclass(frozen=True, slots=True)
class Score:
    """A graded answer: `value` from 0 to 1, the extracted `answer` (None: none found) and the outcome."""

    value: float
    answer: str | None
    outcome: Outcome
    explanation: str = ""

    def __post_init__(self) -> None:
        _make_well_formed(self, "answer", "explanation")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge said of an answer: its `verdict` as the rubric calls it (None: it gave none), by which prompt; `completion` is its reply.

    The reason that it gives is the score's explanation.
    """

    judge: str
    verdict: str | None
    prompt_hash: str
    completion: Completion


@dataclass(frozen=True, slots=True)
class Thinking:
    """Output tokens of thinking, up to the end of the think block with its tags, and those behind it; `ended`: by the budget."""

    tokens: int
    answer_tokens: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Result:
    """A sample's completions and score: one line of the journal.

    Attributes:
        completions: The completion, and behind it the continuation where the thinking budget was used up, and that where the answer was elicited.
        text: What was graded: the completion, or with an elicited answer all that was written and put in the mouth.
        prompt: The prompt as text, special tokens included; `prompt_hash`: SHA-256 of its token ids, or of its messages, in hex.
        fields: What regrading needs of the sample beside its target.
        judgement: Of an answer that a judge was asked about; `thinking`: of one with a think block.
    """

    benchmark: str
    sample_id: str
    repeat: int
    target: str
    prompt: str
    prompt_hash: str
    text: str
    completions: tuple[Completion, ...]
    score: Score
    elicited: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    judgement: Judgement | None = None
    thinking: Thinking | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """What a request and its result have in common: benchmark, sample and repeat."""
        return self.benchmark, self.sample_id, self.repeat
