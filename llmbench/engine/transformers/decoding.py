"""Decoding of a batch, a token for every row at each step."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmbench.config.choices import Device
from llmbench.config.schema import Config
from llmbench.engine.tokenizer import HubTokenizer, Tokenizer
from llmbench.engine.transformers.loading import Loaded
from llmbench.engine.transformers.sampling import GREEDY_BELOW, draw, penalised, penalises
from llmbench.records import Completion, FinishReason, Request, Timing

if TYPE_CHECKING:
    from torch import Generator, Tensor


PRIMER = 5
"""Tokens of the prompt that are decoded with the output, so that its first space is kept."""


@dataclass(slots=True)
class Text:
    """The output as text while it grows, decoded a few tokens at a time; half a character waits for its other half."""

    tokenizer: Tokenizer
    ids: list[int]  # the end of the prompt, then the output
    text: str = ""
    _before: int = 0  # `ids` from here to `_read` are decoded again with what follows, for the spaces between
    _read: int = field(init=False)

    def __post_init__(self) -> None:
        self._read = len(self.ids)

    def add(self, token: int) -> int:
        """Takes a token; returns how many characters came with it."""
        self.ids.append(token)
        return self.read(whole=False)

    def read(self, *, whole: bool = True) -> int:
        """Decodes what was not decoded yet, half characters only if `whole`; returns how many characters came."""
        known = len(self.tokenizer.decode(self.ids[self._before : self._read]))
        decoded = self.tokenizer.decode(self.ids[self._before :])
        if len(decoded) <= known or (decoded.endswith("\ufffd") and not whole):
            return 0
        self.text += decoded[known:]
        self._before, self._read = self._read, len(self.ids)
        return len(decoded) - known


def find_stop(text: str, stops: Sequence[str], new: int) -> tuple[str, int] | None:
    """The stop string that ends first among those that end in the last `new` characters, and where it begins."""
    found = []
    for order, stop in enumerate(stops):
        begin = text.find(stop, max(0, len(text) - new - len(stop) + 1)) if new else -1
        if begin >= 0:
            found.append((begin + len(stop), order, stop, begin))
    if not found:
        return None
    _, _, stop, begin = min(found)
    return stop, begin


@dataclass(slots=True)
class Row:
    """A request that is being decoded: `generator` None where it is greedy, `seen` and `written` None where nothing is penalised."""

    request: Request
    limit: int
    text: Text
    generator: "Generator | None"
    seen: "Tensor | None"
    written: "Tensor | None"
    output: list[int] = field(default_factory=list)
    first_token: float = 0.0
    ended: bool = False


@dataclass(slots=True)
class Batch:
    """Rows that are decoded together, and what the model reads next for them."""

    rows: list[Row]
    formed: float
    ids: "Tensor"
    mask: "Tensor"
    positions: "Tensor"
    cache: Any = None

    @property
    def running(self) -> list[Row]:
        """The rows that have not ended."""
        return [row for row in self.rows if not row.ended]


class Decoder:
    """Decodes batches with one model and one tokenizer.

    Attributes:
        model: transformers' own object.
        ends: The tokens that end a text: the tokenizer's and the model's own.
        tokens: How many were generated, without those of rows that had ended.
    """

    def __init__(
        self,
        torch: Any,  # noqa: ANN401 - a module
        loaded: Loaded,
        tokenizer: HubTokenizer,
        config: Config,
        device: Device,
    ) -> None:
        """Takes the model and its device; from the settings the tokens that a row may have, and the seed of requests without one."""
        self._torch, self._tokenizer, self._context = torch, tokenizer, config.model.max_length
        self.model, self._last_only = loaded.model, loaded.last_only
        self._device = device.value
        own = getattr(self.model.generation_config, "eos_token_id", None)
        ends = own if isinstance(own, list) else [own]
        self.ends = frozenset(end for end in (*ends, tokenizer.hub.eos_token_id) if end is not None)
        self._random = self._generator(config.seed)
        self.tokens = 0

    def _generator(self, seed: int) -> "Generator":
        return self._torch.Generator(device=self._device).manual_seed(seed)

    def batch(self, requests: Sequence[Request]) -> Batch:
        """The prompts beside each other, their ends aligned; positions count from each prompt's own beginning."""
        formed = time.monotonic()
        longest = max(len(request.prompt_ids) for request in requests)
        padding = [longest - len(request.prompt_ids) for request in requests]
        filler = min(self.ends, default=0)
        rows = list(zip(padding, requests, strict=True))
        tensor = self._tensor
        return Batch(
            rows=[self._row(request) for request in requests],
            formed=formed,
            ids=tensor([[filler] * pad + list(request.prompt_ids) for pad, request in rows]),
            mask=tensor([[0] * pad + [1] * (longest - pad) for pad, _ in rows]),
            positions=tensor([[0] * pad + list(range(longest - pad)) for pad, _ in rows]),
        )

    def _tensor(self, numbers: Sequence[Any]) -> "Tensor":
        return self._torch.tensor(numbers, device=self._device)

    def _row(self, request: Request) -> Row:
        sampling = request.sampling
        generator = None
        if sampling.temperature >= GREEDY_BELOW:
            generator = self._random if sampling.seed is None else self._generator(sampling.seed)
        seen = written = None
        if penalises(sampling):
            size = self.model.get_output_embeddings().weight.shape[0]
            seen = self._torch.zeros(size, dtype=self._torch.bool, device=self._device)
            seen[self._tensor(request.prompt_ids)] = True
            written = self._torch.zeros(size, dtype=self._torch.int32, device=self._device)
        return Row(
            request=request,
            limit=min(sampling.max_tokens, self._context - len(request.prompt_ids)),
            text=Text(self._tokenizer, list(request.prompt_ids[-PRIMER:])),
            generator=generator,
            seen=seen,
            written=written,
        )

    def step(self, batch: Batch) -> list[Completion]:
        """One pass through the model; rows that end with it come back."""
        with self._torch.inference_mode():
            output = self.model(
                input_ids=batch.ids,
                attention_mask=batch.mask,
                position_ids=batch.positions,
                past_key_values=batch.cache,
                use_cache=True,
                **self._last_only,
            )
            tokens = self._choose(output.logits[:, -1].float(), batch.rows)
            now = time.monotonic()
            finished = []
            for row, token in zip(batch.rows, tokens, strict=True):
                if not row.ended:
                    completion = self._advance(row, token, batch.formed, now)
                    finished += [completion] if completion else []
            if batch.running:
                batch.cache = output.past_key_values
                batch.ids = self._tensor(tokens)[:, None]
                batch.mask = self._torch.cat([batch.mask, self._torch.ones_like(batch.ids)], dim=1)
                batch.positions = batch.positions[:, -1:] + 1
        return finished

    def _choose(self, logits: "Tensor", rows: Sequence[Row]) -> list[int]:
        """The next token of every row; those that ended get one that nobody reads."""
        tokens: list[int] = logits.argmax(-1).tolist()
        for place, row in enumerate(rows):
            if row.ended or (row.generator is None and row.seen is None):
                continue
            own = logits[place]
            if row.seen is not None and row.written is not None:
                own = penalised(own, row.seen, row.written, row.request.sampling)
            greedy = row.generator is None
            tokens[place] = int(own.argmax()) if greedy else draw(own, row.request.sampling, row.generator)
            if row.seen is not None and row.written is not None:
                row.seen[tokens[place]] = True
                row.written[tokens[place]] += 1
        return tokens

    def _advance(self, row: Row, token: int, formed: float, now: float) -> Completion | None:
        """Adds a token to a row; its completion if it ends: by an end of text, else a stop string, else its limit."""
        sampling = row.request.sampling
        row.output.append(token)
        row.first_token = row.first_token or now
        self.tokens += 1
        reason, found = None, None
        if token in self.ends and not sampling.ignore_eos:
            reason = FinishReason.STOP
        else:
            found = self._stop(row, token)
            if found:
                reason = FinishReason.STOP_STRING
            elif len(row.output) >= row.limit:
                reason = FinishReason.LENGTH
        if reason is None:
            return None
        row.ended = True
        if not found:
            row.text.read()
        stop, end = found or (None, None)
        count = len(row.output)
        return Completion(
            request_id=row.request.id,
            text=row.text.text[:end],
            output_ids=tuple(row.output),
            output_tokens=count,
            prompt_tokens=len(row.request.prompt_ids),
            cached_tokens=0,
            finish_reason=reason,
            stop_string=stop,
            # a row runs from when its batch is formed
            timing=Timing.of(formed, formed, row.first_token, now, count),
        )

    def _stop(self, row: Row, token: int) -> tuple[str, int] | None:
        """The stop string that the token completes; without any, the text is decoded at the end alone."""
        stops = row.request.sampling.stop
        if not stops:
            row.text.ids.append(token)
            return None
        new = row.text.add(token)
        return find_stop(row.text.text, stops, new)
