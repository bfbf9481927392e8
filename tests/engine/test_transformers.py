"""The engine with static batches: SmolLM2's first layers in float32 on one thread, short outputs; and what it refuses, without a model."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmbench.config.schema import ModelConfig
from llmbench.engine.batching import Batching, batches
from llmbench.engine.checkpoint import Checkpoint, locate
from llmbench.engine.factory import find_checkpoint, open_engine
from llmbench.engine.tokenizer import HubTokenizer
from llmbench.engine.transformers import TransformersEngine, check_machine
from llmbench.engine.transformers.decoding import Decoder, Text, find_stop
from llmbench.engine.transformers.sampling import draw, penalised
from llmbench.engine.workload import Workload
from llmbench.errors import ConfigError, EngineDiedError, EngineError
from llmbench.records import Completion, FinishReason, Message, Request, Sampling
from llmbench.results.reader import load_run
from llmbench.run import elicitation, pipeline
from tests.helpers.asked import finish
from tests.helpers.installed import needs
from tests.helpers.settings import compose
from tests.helpers.small_models import first_layers

pytestmark = [needs("torch", "transformers"), pytest.mark.real_engine]
CONTEXT = 512
ON_CPU = ("engine=transformers", "engine.device=cpu", "model.dtype=float32", f"model.max_length={CONTEXT}")
WORK = Workload(requests=8, longest=16, output_tokens=128, batching=Batching.of(compose(ON_CPU), 4096))
STORY = "Tell me a story about a fox, a hen and a farmer. "


class Bench:
    """A loaded engine, its tokenizer, and a counter for request ids."""

    def __init__(self, engine: TransformersEngine, tokenizer: HubTokenizer) -> None:
        self.engine, self.tokenizer, self.count = engine, tokenizer, 0

    @property
    def decoder(self) -> Decoder:
        assert self.engine._decoder is not None
        return self.engine._decoder

    def request(self, question: str, **sampling: Any) -> Request:  # noqa: ANN401 - fields of Sampling
        text = self.tokenizer.chat([Message("user", question)], {})
        return self.of(self.tokenizer.encode(text, special=False), **sampling)

    def of(self, ids: Sequence[int], **sampling: Any) -> Request:  # noqa: ANN401 - fields of Sampling
        self.count += 1
        options = {"max_tokens": 8, **sampling}
        return Request(f"b/{self.count}/0", "b", str(self.count), 0, tuple(ids), Sampling(**options))

    def finish(self, *requests: Request) -> dict[str, Completion]:
        return finish(self.engine, *requests)

    def one(self, request: Request) -> Completion:
        return self.finish(request)[request.id]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(first_layers(smollm2, tmp_path_factory.mktemp("small") / "model"))


@pytest.fixture(scope="module")
def loaded(small: str) -> Iterator[Bench]:
    checkpoint = Checkpoint(small, None, local=True, folder=small)
    engine = open_engine(compose(ON_CPU), checkpoint)
    assert isinstance(engine, TransformersEngine)
    engine.prepare()
    notices: list[str] = []
    engine.load(WORK, notices.append)
    assert "batches of up to 8 sorted by length" in notices[0]
    yield Bench(engine, HubTokenizer(checkpoint, trust_remote_code=False))
    engine.close()


@pytest.fixture
def bench(loaded: Bench) -> Iterator[Bench]:
    loaded.engine.begin(loaded.tokenizer, WORK, loaded=True, notice=print)
    yield loaded
    loaded.engine.abort()


class Evil:
    """What a pickle may hold: a call, made by whoever loads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_that_calls_something_is_not_loaded(tmp_path: Path) -> None:
    import torch

    folder, mark = tmp_path / "model", tmp_path / "called"
    folder.mkdir()
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 8, **sizes}
    (folder / "config.json").write_text(json.dumps(config))
    torch.save({"model.norm.weight": Evil(mark)}, folder / "pytorch_model.bin")
    engine = open_engine(compose(ON_CPU), locate(ModelConfig(name="m", path=str(folder))))
    engine.prepare()
    with pytest.raises(EngineError, match="are a pickle that is broken or holds more than tensors"):
        engine.load(WORK, lambda _: None)
    assert not mark.exists()


def test_left_padding_changes_no_token(bench: Bench) -> None:
    """Prompts of very different lengths in one batch, each alone, and transformers' own `generate`."""
    import torch

    questions = ("Hi", "What is 3 + 4?", STORY * 3, STORY * 12)
    bench.engine._queue.batching = replace(bench.engine._queue.batching, dynamic=False)
    requests = [bench.request(question, ignore_eos=True) for question in questions]
    lengths = [len(request.prompt_ids) for request in requests]
    assert max(lengths) > 4 * min(lengths)
    together = bench.finish(*requests)
    assert len({c.timing.queued for c in together.values() if c.timing}) == 1  # it was one batch
    for request in requests:
        alone = bench.one(replace(request, id=request.id + "alone"))
        assert alone.output_ids == together[request.id].output_ids
        assert alone.text == together[request.id].text
    ids = torch.tensor([requests[2].prompt_ids])
    own = bench.decoder.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, min_new_tokens=8, do_sample=False
    )
    assert tuple(own[0, ids.shape[1] :].tolist()) == together[requests[2].id].output_ids


def test_ends_limits_and_stop_strings_are_distinguished(bench: Bench) -> None:
    question = "What is 3 + 4?"
    whole = bench.one(bench.request(question, max_tokens=16, ignore_eos=True))
    assert (whole.finish_reason, whole.output_tokens) == (FinishReason.LENGTH, 16)
    stop = whole.text.split()[1]
    stopped = bench.one(bench.request(question, max_tokens=16, stop=("never", stop)))
    assert (stopped.finish_reason, stopped.stop_string) == (FinishReason.STOP_STRING, stop)
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stop in bench.tokenizer.decode(stopped.output_ids)  # the ids are not cut
    assert stopped.output_ids == whole.output_ids[: stopped.output_tokens]
    assert stop not in bench.tokenizer.decode(
        stopped.output_ids[:-1]
    )  # found with the token that completes it


def test_a_stop_string_at_the_limit_counts_as_one(bench: Bench) -> None:
    first = bench.one(bench.request("What is 3 + 4?", max_tokens=1))
    assert first.finish_reason is FinishReason.LENGTH
    same = bench.one(bench.request("What is 3 + 4?", max_tokens=1, stop=(first.text,)))
    assert (same.finish_reason, same.text, same.output_tokens) == (FinishReason.STOP_STRING, "", 1)


def test_an_end_of_text_ends_a_row_unless_it_is_ignored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = bench.one(bench.request("What is 3 + 4?", ignore_eos=True))
    end = plain.output_ids[3]
    first = plain.output_ids.index(end)
    assert bench.tokenizer.hub.eos_token_id in bench.decoder.ends
    monkeypatch.setattr(bench.decoder, "ends", frozenset((end,)))
    ended = bench.one(bench.request("What is 3 + 4?"))
    assert (ended.finish_reason, ended.output_ids) == (FinishReason.STOP, plain.output_ids[: first + 1])
    assert ended.text == bench.tokenizer.decode(plain.output_ids[:first])  # the end itself is not text
    assert bench.one(bench.request("What is 3 + 4?", ignore_eos=True)).output_ids == plain.output_ids


def test_rows_come_back_when_they_end_and_the_others_continue(bench: Bench) -> None:
    long, short = bench.request(STORY, ignore_eos=True), bench.request(STORY, ignore_eos=True)
    text = bench.one(replace(long, id="probe")).text
    short = replace(short, sampling=replace(short.sampling, stop=(text[:3],)))
    bench.engine.submit(long)
    bench.engine.submit(short)
    order = []
    steps = 0
    while bench.engine.unfinished:
        steps += 1
        order += [(completion.request_id, steps) for completion in bench.engine.step()]
    assert [name for name, _ in order] == [short.id, long.id]
    assert order[0][1] < order[1][1] == steps == 8


def test_timing_follows_its_definitions(bench: Bench) -> None:
    requests = [bench.request(f"Tell me about the number {n}.") for n in range(10)]
    done = list(bench.finish(*requests).values())
    assert bench.engine.state().generated_tokens == sum(completion.output_tokens for completion in done)
    timings = [completion.timing for completion in done if completion.timing]
    for completion, timing in zip(done, timings, strict=True):
        assert timing.queue == 0
        assert timing.e2e == pytest.approx(timing.ttft + timing.decode)
        assert timing.finished - timing.queued == pytest.approx(timing.e2e)
        assert timing.inter_token == pytest.approx(timing.decode / (completion.output_tokens - 1))
    first, second = sorted({timing.queued for timing in timings})
    assert sum(timing.queued == first for timing in timings) == 8
    assert second >= max(timing.finished for timing in timings if timing.queued == first)


@pytest.mark.parametrize("dynamic", [True, False])
def test_batches_are_formed_by_the_rule(bench: Bench, *, dynamic: bool) -> None:
    batching = Batching(dynamic, static_size=3, largest=4, smallest=2, context=CONTEXT)
    bench.engine._queue.batching = batching
    lengths = [12, 300, 14, 290, 60, 13, 280, 15, 11, 50]
    requests = [bench.of(range(100, 100 + n), max_tokens=1, ignore_eos=True) for n in lengths]
    places = {request.id: place for place, request in enumerate(requests)}
    formed: dict[float, list[int]] = {}
    for name, completion in bench.finish(*requests).items():
        assert completion.timing is not None
        formed.setdefault(completion.timing.queued, []).append(places[name])
    assert [formed[moment] for moment in sorted(formed)] == batches(lengths, batching)


def test_a_batch_holds_one_token_limit(bench: Bench) -> None:
    requests = [bench.request("Count.", max_tokens=n, ignore_eos=True) for n in (2, 3, 2, 3)]
    done = bench.finish(*requests)
    assert [done[request.id].output_tokens for request in requests] == [2, 3, 2, 3]
    assert list(done) == [requests[place].id for place in (0, 2, 1, 3)]


def test_batch_size_bounds_the_batches(bench: Bench) -> None:
    two = Batching.of(compose(["batch_size=2"]), 4096)
    bench.engine.begin(bench.tokenizer, replace(WORK, batching=two), loaded=False, notice=print)
    report = bench.engine.report()
    assert (report.batch_size, report.loads) == (2, 0)
    requests = [bench.request("Count.", max_tokens=1) for _ in range(5)]
    done = bench.finish(*requests).values()
    assert len({completion.timing.queued for completion in done if completion.timing}) == 3
    many = Batching.of(compose(["batch_size=64"]), 4096)
    assert bench.engine.preferred_batch_size(replace(WORK, batching=many)) <= bench.engine.capacity


def test_a_continuation_goes_first_and_equals_an_undisturbed_text(bench: Bench) -> None:
    whole = bench.one(bench.request(STORY, max_tokens=10, ignore_eos=True))
    begun = bench.request(STORY, max_tokens=5, ignore_eos=True)
    first = bench.one(begun)
    request = elicitation.continuation(begun, first, "", begun.sampling, bench.tokenizer)
    other = bench.request(STORY, max_tokens=5, ignore_eos=True)
    bench.engine.submit(other)
    bench.engine.submit(request, first=True)
    done: dict[str, Completion] = {}
    while bench.engine.unfinished:
        done |= {completion.request_id: completion for completion in bench.engine.step()}
    assert list(done) == [request.id, other.id]
    assert (*first.output_ids, *done[request.id].output_ids) == whole.output_ids


def test_what_is_aborted_does_not_run_on(bench: Bench) -> None:
    requests = [bench.request(STORY, max_tokens=16, ignore_eos=True) for _ in range(10)]
    for request in requests:
        bench.engine.submit(request)
    bench.engine.submit(bench.request(STORY), first=True)
    bench.engine.step()
    assert bench.engine.unfinished == 11
    dropped = bench.engine.abort()
    assert {c.finish_reason for c in dropped} == {FinishReason.ABORT}
    assert len({c.request_id for c in dropped}) == 11
    assert (bench.engine.unfinished, bench.engine.step(), bench.engine._batch) == (0, [], None)
    assert bench.one(bench.request("Hi", max_tokens=1)).output_tokens == 1


def test_a_prompt_that_fills_the_context_comes_back_as_an_error(bench: Bench) -> None:
    long, fine = bench.of([5] * CONTEXT), bench.of([5] * (CONTEXT - 2), ignore_eos=True)
    done = bench.finish(long, bench.of([]), fine)
    assert [c.finish_reason for c in done.values()] == ["abort", "abort", "length"]
    assert str(CONTEXT) in (done[long.id].error or "")
    assert done[fine.id].output_tokens == 2  # the context ends there


def test_a_seed_makes_a_row_repeatable_in_any_batch(bench: Bench) -> None:
    drawn = [bench.request(STORY, temperature=1.0, top_p=0.95, seed=seed) for seed in (1, 1, 2)]
    greedy = bench.request(STORY)
    done = bench.finish(*drawn, greedy)
    outputs = [done[request.id].output_ids for request in drawn]
    assert outputs[0] == outputs[1] != outputs[2]
    assert bench.one(replace(drawn[0], id="alone")).output_ids == outputs[0]
    assert bench.one(replace(greedy, id="greedy alone")).output_ids == done[greedy.id].output_ids
    narrow = bench.one(bench.request(STORY, temperature=1.0, top_k=1, seed=3))
    assert narrow.output_ids == done[greedy.id].output_ids


def test_a_repetition_penalty_counts_prompt_and_output(bench: Bench) -> None:
    request = bench.request("Say: one one one one one one", repetition_penalty=1e9, ignore_eos=True)
    output = bench.one(request).output_ids
    assert len(set(output)) == len(output)
    assert not set(output) & set(request.prompt_ids)


@pytest.mark.parametrize("penalty", ["presence_penalty", "frequency_penalty"])
def test_the_other_penalties_count_the_output_alone(bench: Bench, penalty: str) -> None:
    said = "Say: one one one one one one"
    plain = bench.one(bench.request(said, max_tokens=24, ignore_eos=True)).output_ids
    request = bench.request(said, max_tokens=24, ignore_eos=True, **{penalty: 1e9})
    output = bench.one(request).output_ids
    assert len(set(output)) == len(output)
    assert len(set(plain)) < len(plain)
    assert output[0] == plain[0]  # nothing is in the output yet


def test_the_report_says_how_the_model_was_loaded(bench: Bench) -> None:
    report = bench.engine.report()
    assert (report.name, report.device, report.dtype, report.quantization) == (
        "transformers",
        "cpu",
        "float32",
        None,
    )
    assert (report.attention_backend, report.batch_size, report.loads) == ("sdpa", 8, 1)
    parameters = 49152 * 576 + 4 * 3_540_096 + 576  # embedding, layers, norm
    assert report.weights_bytes == pytest.approx(4 * parameters, rel=0.001)
    assert {"import", "device", "weights", "warm_up"} <= set(report.load_parts)


def test_a_whole_run(tmp_path: Path, small: str) -> None:
    settings = (
        *ON_CPU,
        f"model.path={small}",
        "limit=4",
        "benchmarks.arithmetic.max_tokens=8",
        "benchmarks.arithmetic.cue_tokens=8",
    )
    found = pipeline.run(compose(settings), tmp_path)
    assert found.status == "finished"
    run = load_run(tmp_path)
    assert len(run.results) == run.summary["benchmarks"]["arithmetic"]["n"] == 4
    assert all(result.completions[0].output_tokens <= 8 for result in run.results)
    assert run.summary["engine"]["name"] == "transformers"
    assert run.summary["benchmarks"]["arithmetic"]["throughput"]["output_tokens_per_s"] > 0
    assert run.summary["time_s"]["first_token"] < run.summary["time_s"]["total"]


def logits(*values: float) -> Any:  # noqa: ANN401 - torch is optional
    import torch

    return torch.tensor(values)


@pytest.mark.parametrize(
    ("sampling", "possible"),
    [
        (Sampling(1, temperature=1.0), {0, 1, 2, 3}),
        (Sampling(1, temperature=1.0, top_k=2), {0, 1}),
        (Sampling(1, temperature=1.0, top_p=0.6), {0, 1}),  # 0.45 alone is not enough
        (Sampling(1, temperature=1.0, top_p=0.4), {0}),
        (Sampling(1, temperature=1.0, min_p=0.5), {0, 1}),  # at least half as likely as the likeliest
        (Sampling(1, temperature=1e-4), {0}),
        (Sampling(1, temperature=1.0, top_k=3, top_p=0.7), {0, 1}),
    ],
)
def test_only_allowed_tokens_are_drawn(sampling: Sampling, possible: set[int]) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    row = logits(0.45, 0.30, 0.15, 0.10).log()
    assert {draw(row, sampling, generator) for _ in range(200)} == possible


@pytest.mark.parametrize(
    ("penalties", "expected"),
    [
        ({"repetition_penalty": 2.0}, [1.0, -4.0, 1.0]),  # divides above zero and multiplies below
        (
            {"presence_penalty": 0.5},
            [2.0, -2.5, 1.0],
        ),  # once for what is in the output; the prompt does not count
        ({"frequency_penalty": 0.5}, [2.0, -3.5, 1.0]),
        ({"frequency_penalty": 0.5, "presence_penalty": 1.0}, [2.0, -4.5, 1.0]),
        (
            {"repetition_penalty": 2.0, "presence_penalty": -1.0},
            [1.0, -3.0, 1.0],
        ),  # the repetition penalty first
    ],
)
def test_penalties(penalties: dict[str, Any], expected: list[float]) -> None:
    import torch

    seen, written = torch.tensor([True, True, False]), torch.tensor([0, 3, 0])
    found = penalised(logits(2.0, -2.0, 1.0), seen, written, Sampling(1, **penalties))
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("text", "stops", "new", "expected"),
    [
        ("so Therefore", ("Therefore",), 1, ("Therefore", 3)),
        ("so Therefore it", ("Therefore",), 2, None),  # it ended before
        ("abc", ("bc", "ab"), 3, ("ab", 0)),  # the one that ends first
        ("abc", ("c", "bc"), 1, ("c", 2)),  # of equal ends the one that is named first
        ("abc", ("c",), 0, None),
        ("c", ("abc",), 1, None),
    ],
)
def test_stop_strings_are_found_where_they_end(
    text: str, stops: tuple[str, ...], new: int, expected: tuple[str, int] | None
) -> None:
    assert find_stop(text, stops, new) == expected


def test_text_grows_by_whole_characters(loaded: Bench) -> None:
    for said in ("Hello, world! 3 + 4 = 7.", "naïve — 你好 🦊!", "  two  spaces\n\n\tand a tab", "🦊"):
        ids = loaded.tokenizer.encode(said, special=False)
        text = Text(loaded.tokenizer, list(loaded.tokenizer.encode("assistant\n", special=False)))
        pieces = []
        for token in ids:
            new = text.add(token)
            pieces.append(text.text[len(text.text) - new :])
        assert "".join(pieces) == text.text == said
        assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("model.quantization=fp8", "bitsandbytes or null"),
        ("engine.tensor_parallel_size=2", "engine.tensor_parallel_size"),
        ("engine.startup=full", "engine.startup"),
        ("engine.multiprocess=true", "engine.multiprocess"),
        ("engine.speculative={method: ngram}", "engine.speculative"),
        ("engine.kv_cache_memory_bytes=1000", "engine.kv_cache_memory_bytes"),
        ("model.attention_backend=FLASHINFER", "attn_implementation"),
        ("model.kv_cache_dtype=fp8", "model.kv_cache_dtype=fp8"),
    ],
)
def test_what_it_cannot_do_is_refused(setting: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        find_checkpoint(compose(["engine=transformers", setting]))


def test_a_large_model_is_not_taken_to_the_cpu_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmbench.system.hardware.gpus", tuple)
    settings = ["engine=transformers", "model=qwen14b", "model.quantization=null"]
    with pytest.raises(EngineError, match=r"14\.8 billion"):
        check_machine(compose(settings))
    check_machine(compose([*settings, "engine.device=cpu"]))
    with pytest.raises(EngineError, match="No NVIDIA GPU"):
        check_machine(compose([*settings, "engine.device=cuda"]))


def test_tensors_that_are_missing_are_not_made_up(small: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small, folder)
    with (folder / "model.safetensors").open("r+b") as file:  # as long a name: the header keeps its length
        header = file.read(1 << 20)
        place = header.index(b"model.norm.weight")
        file.seek(place)
        file.write(b"model.norx.weight")
    engine = TransformersEngine(
        compose([*ON_CPU]), Checkpoint(str(folder), None, local=True, folder=str(folder))
    )
    engine.prepare()
    with pytest.raises(
        EngineError, match=r"lack model\.norm\.weight; such a model would answer with random numbers"
    ):
        engine.load(WORK, lambda _: None)


def test_what_cannot_be_loaded_is_one_sentence(small: str) -> None:
    checkpoint = Checkpoint(small, None, local=True, folder=small)
    for setting, named in (
        ("model.max_length=9000", r"set model\.max_length=8192"),
        ("engine.args={attn_implementation: nonsense}", "nonsense"),
        ("+engine.args.no_such_argument=1", "no_such_argument"),
    ):
        engine = TransformersEngine(compose([*ON_CPU, setting]), checkpoint)
        engine.prepare()
        with pytest.raises(EngineError, match=named):
            engine.load(WORK, lambda _: None)


def test_what_it_worked_on_is_in_the_error_of_its_death(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(**_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    requests = [bench.request(f"Count from {n}.", max_tokens=n + 1) for n in range(3)]
    for request in requests:
        bench.engine.submit(request)
    monkeypatch.setattr(bench.decoder, "model", breaks)
    with pytest.raises(EngineDiedError) as died:
        bench.engine.step()
    assert died.value.needs_new_process
    assert died.value.running == (requests[0].id,)  # the others have other limits and wait for the next batch
