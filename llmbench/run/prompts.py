"""From samples to requests: in which words they are asked, and how their answers are drawn."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmbench.benchmarks.base import Benchmark, TextPrompt
from llmbench.config.choices import EarlyStopping
from llmbench.config.schema import Config, drawing
from llmbench.config.thinking import first_limit, longest_text
from llmbench.engine.messages import as_json
from llmbench.engine.tokenizer import Tokenizer
from llmbench.errors import ModelError
from llmbench.records import Choice, Message, Request, Sample, Sampling
from llmbench.system import thinking

END_OF_ANSWER = TextPrompt().end


@dataclass(frozen=True, slots=True)
class Asked:
    """A sample with its prompt.

    Attributes:
        text: The prompt as the model reads it; `ids` are its tokens, `messages` a chat's turns.
        choices: Those to be scored.
        end: What ends the answer of a base model.
        think_tag: What opens the model's think block; empty where there is none, or no thinking budget.
    """

    benchmark: str
    sample: Sample
    text: str
    ids: tuple[int, ...]
    messages: tuple[Message, ...] = ()
    choices: tuple[Choice, ...] = ()
    end: str = END_OF_ANSWER
    think_tag: str = ""


@dataclass(frozen=True, slots=True)
class PromptWriter:
    """Writes the prompts of one benchmark, which the settings know by `name`."""

    config: Config
    name: str
    benchmark: Benchmark
    tokenizer: Tokenizer

    def ask(self, sample: Sample, question: str, examples: Sequence[Sample] = ()) -> Asked:
        """Returns the prompt of one sample behind worked examples, through the chat template or as plain text; shortened where the benchmark can."""
        asked = self._asked(sample, question, examples)
        room = self.config.model.max_length - reserved(self.config, self.name)
        if len(asked.ids) <= room:
            return asked

        def written(other: Sample) -> Asked:
            return self._asked(other, self.benchmark.question(other), examples)

        shorter = self.benchmark.shorten(sample, lambda other: len(written(other).ids) <= room)
        return asked if shorter is sample else written(shorter)

    def _asked(self, sample: Sample, question: str, examples: Sequence[Sample]) -> Asked:
        model, user = self.config.model, self._user(question)
        shown = [
            (self._user(self.benchmark.question(example)), self.benchmark.worked_example(example))
            for example in examples
        ]
        system = system_prompt(self.config, self.name)
        chat = self.config.benchmarks[self.name].chat
        turns = turns_of(system, shown, user) if chat else []
        if chat:
            text = self.tokenizer.chat(turns, model.chat_template_kwargs, model.template_date)
        else:
            text = _plain(self.benchmark.text_prompt, system, shown, user)
        tag = self._think_tag(text, chat=chat)
        if tag and self.config.sampling.thinking_budget == 0:
            text += thinking.ending(thinking.opened(text), tag)
        ids = self.tokenizer.encode(text, special=not chat)
        return Asked(
            self.name, sample, text, ids, tuple(turns), end=self.benchmark.text_prompt.end, think_tag=tag
        )

    def _think_tag(self, text: str, *, chat: bool) -> str:
        """The tag of the think block that a prompt opens or the chat template names; nothing where there is no budget for one."""
        if self.config.sampling.thinking_budget is None or thinking.closed(text):
            return ""
        named = self.tokenizer.think_tag(self.config.model.chat_template_kwargs) if chat else ""
        return thinking.opened(text) or named

    def _user(self, question: str) -> str:
        """The question with the benchmark's instruction."""
        instruction = self.config.benchmarks[self.name].instruction
        return f"{question}\n\n{instruction}" if instruction else question


def turns_of(system: str | None, shown: Sequence[tuple[str, str]], user: str) -> list[Message]:
    """Returns a chat: system prompt, worked examples (question and answer each), question."""
    turns = [Message("system", system)] if system else []
    for question, answer in shown:
        turns += [Message("user", question), Message("assistant", answer)]
    return [*turns, Message("user", user)]


def _plain(form: TextPrompt, system: str | None, shown: Sequence[tuple[str, str]], user: str) -> str:
    """The same as a text that a base model continues."""
    head = [system] if system else []
    examples = [f"{form.before}{question}{form.behind}{form.space}{answer}" for question, answer in shown]
    return "\n\n".join([*head, *examples, f"{form.before}{user}{form.behind}"])


def system_prompt(config: Config, name: str) -> str | None:
    """The system prompt of a benchmark, for a model that takes one."""
    return (config.benchmarks[name].system_prompt or None) if config.model.system_prompt else None


def requests(asked: Sequence[Asked], config: Config) -> list[Request]:
    """A request for every sample and repeat, in the samples' order; `run/order` decides when they are asked."""
    return [
        Request(
            id=f"{question.benchmark}/{question.sample.id}/{repeat}",
            benchmark=question.benchmark,
            sample_id=question.sample.id,
            repeat=repeat,
            prompt_ids=question.ids,
            sampling=_first_sampling(config, question, repeat),
            messages=() if question.ids else question.messages,
            choices=question.choices,
        )
        for question in asked
        for repeat in range(config.benchmarks[question.benchmark].repeats)
    ]


def _first_sampling(config: Config, asked: Asked, repeat: int) -> Sampling:
    """How the first completion is drawn, up to the thinking budget where the model thinks."""
    drawn = sampling(config, asked.benchmark, asked.sample.id, repeat, asked.end)
    return replace(drawn, max_tokens=first_limit(config, asked.benchmark)) if asked.think_tag else drawn


def prompt_size(request: Request) -> int:
    """A measure of a prompt's length, to compare with those of the same run."""
    return _with_choice(request) or sum(len(message.content) for message in request.messages)


def sampling(config: Config, name: str, sample_id: str, repeat: int, end: str = END_OF_ANSWER) -> Sampling:
    """How one completion is drawn.

    The seed is a function of run seed, benchmark, sample and repeat alone, so that every request can be repeated by
    itself; greedy decoding needs none.
    """
    benchmark = config.benchmarks[name]
    if benchmark.asks_likelihoods:
        return Sampling(max_tokens=benchmark.max_tokens)
    drawn = drawing(config, name)
    stop = tuple(benchmark.stop) if config.early_stopping is not EarlyStopping.off else ()
    if not benchmark.chat:
        stop = (*stop, end)
    return Sampling(
        max_tokens=benchmark.max_tokens,
        **drawn,
        stop=stop,
        seed=seed_of(config.sampling.seed, name, sample_id, repeat) if drawn["temperature"] > 0 else None,
        ignore_eos=config.sampling.ignore_eos,
    )


def seed_of(*parts: object) -> int:
    """A seed that is a function of its parts alone."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1  # 31 bits: every engine takes that


def prompt_hash(request: Request) -> str:
    """SHA-256 of a request's token ids with those of its choices, or of its messages where it has none, in hex."""
    if request.messages:
        return text_hash(as_json(request.messages))
    parts = (request.prompt_ids, *(choice.ids for choice in request.choices))
    return text_hash("|".join(" ".join(map(str, ids)) for ids in parts))


def text_hash(text: str) -> str:
    """SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def context_needed(name: str, requests: Sequence[Request], config: Config) -> int:
    """Tokens of a benchmark's longest prompt, its answer, and what asking for the answer may add."""
    return _longest(name, requests) + reserved(config, name)


def reserved(config: Config, name: str) -> int:
    """Tokens of the context that a benchmark's prompts must leave: for the answer, and for asking for it."""
    benchmark = config.benchmarks[name]
    asks = config.early_stopping is EarlyStopping.answer and benchmark.cue_tokens > 0
    return longest_text(config, name) + (benchmark.cue_tokens + len(benchmark.cue) if asks else 0)


def _longest(name: str, requests: Sequence[Request]) -> int:
    return max((_with_choice(r) for r in requests if r.benchmark == name), default=0)


def _with_choice(request: Request) -> int:
    """Tokens of a prompt with its longest choice."""
    return len(request.prompt_ids) + max((len(choice.ids) for choice in request.choices), default=0)


def check_lengths(requests: Sequence[Request], config: Config) -> None:
    """Refuses prompts that with their answer and its elicitation do not fit the context.

    Raises:
        ModelError: Names the longest one and the settings that would fit.
    """
    for name, benchmark in config.benchmarks.items():
        if benchmark.asks_likelihoods:  # whose prompts lose their beginning instead
            continue
        longest, extra = _longest(name, requests), reserved(config, name) - benchmark.max_tokens
        needed = context_needed(name, requests, config)
        if needed > config.model.max_length:
            raise ModelError(
                f"{name}: the longest prompt has {longest} tokens and its answer may have {benchmark.max_tokens}"
                f"{f' and {extra} more to ask for it' if extra else ''}, which is more than model.max_length="
                f"{config.model.max_length}; set model.max_length={needed} or benchmarks.{name}.max_tokens lower."
            )
