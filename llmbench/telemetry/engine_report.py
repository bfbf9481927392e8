"""What an engine was and did, as it says itself."""

from dataclasses import dataclass, field, fields
from typing import Self

from llmbench.system.number_format import count, listed


@dataclass(slots=True)
class ServerIdentity:
    """Which server it was and what it served, in the server's own words.

    Attributes:
        address: Without credentials.
        model: What the server calls it.
        api: `chat` or `completions`.
        root: What the server loaded it from, where it says so.
        vllm: Whether the server is vLLM's.
        version: The server's, where it says so.
        max_length: Tokens of prompt and answer together, where it says so.
        fingerprints: Each `system_fingerprint` that it gave.
    """

    address: str
    model: str
    api: str
    root: str | None = None
    vllm: bool = False
    version: str | None = None
    max_length: int | None = None
    fingerprints: list[str] = field(default_factory=list)

    def identity(self) -> "ServerIdentity":
        """Returns only what this class has."""
        return ServerIdentity(**{each.name: getattr(self, each.name) for each in fields(ServerIdentity)})


@dataclass(slots=True)
class ServerReport(ServerIdentity):
    """A server that an engine asked, and what asking it took; timings are as this client saw them.

    Attributes:
        retries: Requests that were asked again, each time counted.
        backoff_s: Seconds of failed tries and of the pauses behind them, of all requests together; in no timing.
        place_wait_s: Seconds that requests waited for a place among those in flight, together; in no timing.
        unknown_usage: Completions whose tokens the server did not count, or not all; they stand as 0.
        not_continued: Missing answers that were not asked for, since the server's chat template takes no begun answer.
        over_limit: Answers with more tokens than the request allowed.
        filtered: Answers that the server's content filter ended.
        cost: Of this process's requests by `engine.price`; None without prices.
    """

    retries: int = 0
    backoff_s: float = 0.0
    place_wait_s: float = 0.0
    unknown_usage: int = 0
    not_continued: int = 0
    over_limit: int = 0
    filtered: int = 0
    cost: float | None = None

    def warnings(self) -> list[str]:
        """Returns what makes the run's figures doubtful, one sentence each."""
        found = []
        if self.unknown_usage:
            found.append(
                f"The server did not count all tokens of {count(self.unknown_usage, 'completion')}; what it left out stands as 0, and "
                "speeds and cost may be wrong."
            )
        if self.not_continued:
            found.append(
                f"The server's chat template takes no begun answer, so {count(self.not_continued, 'missing answer')} could not be "
                "asked for; set engine.api=completions, or early_stopping=off with a higher max_tokens."
            )
        if self.over_limit:
            found.append(
                f"{count(self.over_limit, 'answer')} of the server had more tokens than were asked for; if it knows only max_tokens, "
                "set engine.extra_body={max_tokens: NUMBER}."
            )
        if self.filtered:
            found.append(
                f"The server's content filter ended {count(self.filtered, 'answer')}; they are graded as they are."
            )
        if len(self.fingerprints) > 1:
            found.append(
                f"The server changed while it was asked: its answers bear the fingerprints {listed(self.fingerprints)}."
            )
        return found


@dataclass(slots=True)
class ReplicaReport:
    """One copy of an engine, and what it did in a run.

    Attributes:
        host: The name of the host that it ran on last.
        gpus: The names of its GPUs; `gpu_bytes` their memory, `driver` their driver.
        versions: Of the packages there that decide a result.
        load_s: Seconds in which it loaded the model.
        requests: Completions that it gave; `output_tokens`: their tokens.
        deaths: Why its processes died, one sentence each.
        lost: Why it did not come back; None where it worked to the end.
    """

    host: str | None = None
    gpus: list[str] = field(default_factory=list)
    gpu_bytes: list[int] = field(default_factory=list)
    driver: str | None = None
    versions: dict[str, str | None] = field(default_factory=dict)
    load_s: float | None = None
    requests: int = 0
    output_tokens: int = 0
    deaths: list[str] = field(default_factory=list)
    lost: str | None = None


@dataclass(frozen=True, slots=True)
class Speculation:
    """What speculative decoding did, by the engine's counters.

    Attributes:
        drafts: How often tokens were drafted for a request; where nothing was, none was counted.
        draft_tokens: How many were.
        accepted_tokens: Those of them that the model would have written too.
        acceptance_rate: Accepted over drafted; None where nothing was drafted.
        steps: The engine's steps; None where they were not counted, as in an engine's process of its own.
        drafted_steps: Those of them that checked drafted tokens.
    """

    drafts: int
    draft_tokens: int
    accepted_tokens: int
    acceptance_rate: float | None = None
    steps: int | None = None
    drafted_steps: int | None = None

    @classmethod
    def of(
        cls,
        drafts: float,
        draft_tokens: float,
        accepted_tokens: float,
        steps: float | None = None,
        drafted_steps: float | None = None,
    ) -> Self:
        """From counters."""
        rate = accepted_tokens / draft_tokens if draft_tokens else None
        counted = (None if value is None else int(value) for value in (steps, drafted_steps))
        return cls(int(drafts), int(draft_tokens), int(accepted_tokens), rate, *counted)


@dataclass(slots=True)
class EngineReport:
    """What an engine was and did; what it cannot know is None.

    Attributes:
        batch_size: Requests that could run at once.
        weights_bytes: Memory of the weights as loaded.
        weights_copy: SHA-256 of the loaded weights where a copy stood for the checkpoint, which gives the same; else None.
        kv_cache_tokens: Tokens the KV cache holds.
        kv_cache_dtype: The type of the KV cache's numbers.
        kv_cache_remembered: Its size was remembered from an earlier start, and not measured.
        kv_bytes_per_token: Bytes that a token takes in it.
        step_weights_bytes: Bytes of the weights that one decode step reads; None where steps differ, and of several GPUs.
        batch_invariant: Whether it computed with batch-invariant kernels; None where the engine has none.
        loads: How often the model was loaded for this run: 0 where the engine of an earlier job served it.
        load_parts: Seconds of the parts of loading.
        free_bytes_before_load: Memory of the first GPU that was free when loading began.
        graph_sizes: Batch sizes that CUDA graphs were captured for.
        compile_cache: `filled` or `empty` before this start, where vLLM compiled; None where it did not.
        speculation: None where no tokens are drafted.
        server: Where the engine is one.
        replicas: The copies of the engine, where there are several; `batch_size` and what was loaded are each one's.
    """

    name: str
    version: str | None = None
    device: str | None = None
    quantization: str | None = None
    dtype: str | None = None
    attention_backend: str | None = None
    batch_invariant: bool | None = None
    startup: str | None = None
    startup_reason: str | None = None
    batch_size: int | None = None
    weights_bytes: int | None = None
    weights_copy: str | None = None
    kv_cache_tokens: int | None = None
    kv_cache_dtype: str | None = None
    kv_cache_remembered: bool = False
    kv_bytes_per_token: int | None = None
    step_weights_bytes: int | None = None
    preemptions: int | None = None
    prefix_cache_hit_rate: float | None = None
    loads: int = 1
    load_parts: dict[str, float | None] = field(default_factory=dict)
    free_bytes_before_load: int | None = None
    graph_sizes: list[int] | None = None
    compile_cache: str | None = None
    speculation: Speculation | None = None
    server: ServerReport | None = None
    replicas: list[ReplicaReport] = field(default_factory=list)

    def warnings(self) -> list[str]:
        """Returns what makes the run's figures doubtful, one sentence each."""
        found = self.server.warnings() if self.server is not None else []
        lost = sum(replica.lost is not None for replica in self.replicas)
        for number, replica in enumerate(self.replicas, 1):
            name = f"Replica {number} of {len(self.replicas)} on {replica.host}"
            if replica.lost is not None:
                others = " The others were asked its requests." if lost < len(self.replicas) else ""
                found.append(f"{name} did not come back: {replica.lost.rstrip('.')}.{others}")
            elif replica.deaths:
                found.append(
                    f"{name} was started again {count(len(replica.deaths), 'time')}: {replica.deaths[-1].rstrip('.')}. What it "
                    "worked on was asked again."
                )
        if self.preemptions:
            found.append(
                f"vLLM interrupted running requests {self.preemptions} times because the KV cache was full; "
                "a smaller batch_size, or more engine.kv_cache_memory_bytes, is faster."
            )
        return found


@dataclass(frozen=True, slots=True)
class Restart:
    """One death of an engine, a row of the manifest.

    Attributes:
        running: Requests that it worked on; `kept`: results by then; `fresh`: only a new process could go on.
    """

    error: str
    running: int
    kept: int
    fresh: bool

    def sentence(self) -> str:
        """The message for the user."""
        parts = [f"A new engine goes on{' in a new process' if self.fresh else ''}"]
        if self.running:
            were = "was" if self.running == 1 else "were"
            parts.append(
                f"the {count(self.running, 'request')} that {were} running will be asked apart from the rest"
            )
        if self.kept:
            parts.append(f"{count(self.kept, 'finished result')} {'is' if self.kept == 1 else 'are'} kept")
        return f"{' '.join(self.error.split()).rstrip('.')}. {'; '.join(parts)}."
