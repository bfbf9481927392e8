"""What an engine is going to be asked, as far as its start depends on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from llmbench.config.choices import EarlyStopping
from llmbench.config.schema import Config, drawing
from llmbench.config.thinking import longest_text
from llmbench.engine.batching import Batching
from llmbench.records import Completion


@dataclass(frozen=True, slots=True)
class Workload:
    """What an engine is going to be asked, as far as its start depends on it.

    Attributes:
        requests: How many there are.
        longest: The largest token limit among them, the tokens for asking for the answer included.
        output_tokens: The sum of those limits.
        batch_size: Requests that are to run at once, 0 where that is left open.
        at_once: Where it is left open, the requests that may run at once, else 0.
        fixed_length: Every output runs to its limit.
        greedy: Nothing is drawn at random, and nothing is penalised.
        prompt_tokens: A generous guess at the longest prompt, before any is written; 0 where nothing is known.
        batching: How an engine with static batches forms them; None where nobody said.
        counts: The requests of each benchmark, where they are known.
        spent: What the run has cost before, by `engine.price`.
        answered: Whether requests of the run were answered before.
        jobs: The jobs that this is the sum of, one after another; empty for a single one.
    """

    requests: int
    longest: int
    output_tokens: int
    batch_size: int = 0
    at_once: int = 0
    fixed_length: bool = False
    greedy: bool = False
    prompt_tokens: int = 0
    batching: Batching | None = None
    counts: tuple[tuple[str, int], ...] = ()
    spent: float = 0.0
    answered: bool = False
    jobs: "tuple[Workload, ...]" = ()

    @classmethod
    def of(cls, config: Config, counts: Mapping[str, int]) -> Self:
        """The work of a run that asks each benchmark so many requests."""
        limits = {name: token_limit(config, name) for name in counts}
        requests = sum(counts.values())
        return cls(
            requests=requests,
            longest=max(limits.values(), default=0),
            output_tokens=sum(count * limits[name] for name, count in counts.items()),
            batch_size=config.batch_size or 0,
            at_once=0 if config.batch_size else requests,
            fixed_length=config.sampling.ignore_eos,
            greedy=all(_greedy(config, name) for name in counts),
            batching=Batching.of(config, config.model.max_length),
            counts=tuple(counts.items()),
        )


def token_limit(config: Config, benchmark: str) -> int:
    """Returns the tokens that an answer may have, those for asking for it included."""
    settings = config.benchmarks[benchmark]
    asks = config.early_stopping is EarlyStopping.answer
    return longest_text(config, benchmark) + (settings.cue_tokens if asks else 0)


def _greedy(config: Config, name: str) -> bool:
    drawn = drawing(config, name)
    unpenalised = drawn["repetition_penalty"] == 1 and not (
        drawn["presence_penalty"] or drawn["frequency_penalty"]
    )
    return unpenalised and drawn["temperature"] == 0


@dataclass(frozen=True, slots=True)
class Took:
    """What a run took that loaded its engine; the rest as in `HistoryEntry`.

    Attributes:
        outputs: Tokens that each request generated, continuations included.
    """

    outputs: Sequence[int]
    prompt_tokens: int
    load_s: float
    generate_s: float
    energy_j: float | None = None

    @classmethod
    def of(
        cls,
        made: Sequence[Sequence[Completion]],
        load_s: float,
        generate_s: float,
        energy_j: float | None,
    ) -> Self:
        """Returns what a run took that made these completions, one or two for each request."""
        outputs = [sum(completion.output_tokens for completion in each) for each in made]
        prompt_tokens = sum(completion.prompt_tokens for each in made for completion in each)
        return cls(outputs, prompt_tokens, load_s, generate_s, energy_j)
