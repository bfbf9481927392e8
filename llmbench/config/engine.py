"""The settings of what generates, `engine.`. The comments beside or above the fields are their reference."""

from dataclasses import asdict, dataclass, field
from typing import Any

from omegaconf import MISSING

from llmbench.config.choices import Api, Device, Startup


@dataclass
class StartSettings:
    """What makes a later start of vLLM shorter, of `engine.`."""

    # the KV cache gets the size that vLLM measured at an earlier start with the same settings
    remember_kv_cache: bool = True
    # weights that are quantised at load come from a copy that `llmbench.cache quantize` made, where there is one
    weights_copy: bool = True
    # all copies together; one that would take more is not made
    weights_copies_max_bytes: int = 64 << 30


@dataclass
class EngineConfig(StartSettings):
    """What generates. `args` goes to the engine untouched and wins over everything llmbench sets itself."""

    name: str = MISSING  # vllm, transformers, endpoint or fake
    device: Device = Device.auto  # auto: the GPU if there is one
    # eager, CUDA graphs, or graphs and compilation; auto: what the work is worth
    startup: Startup = Startup.auto
    deterministic: bool = False  # the same texts at every batch size (vllm on a GPU)
    tensor_parallel_size: int = 1  # GPUs that share each layer
    pipeline_parallel_size: int = 1  # GPUs that share the layers
    # copies of the engine, each on GPUs of its own (vllm and fake); auto: as many as are worth loading
    replicas: int | str = 1
    # a Ray cluster whose hosts have the replicas, such as auto or HOST:6379; None: this machine alone
    ray_address: str | None = None
    speculative: dict[str, Any] = field(default_factory=dict)  # vLLM's speculative_config; empty: off
    # tokens are drafted while at most so many requests run; None: always
    speculative_max_running: int | None = 16
    multiprocess: bool = False  # vLLM's engine in a process of its own
    # None: by utilisation on the GPU; on the CPU 1 GiB, less where memory is short
    kv_cache_memory_bytes: int | None = None
    args: dict[str, Any] = field(default_factory=dict)  # of vLLM's LLM, untouched
    # this and all below: of endpoint alone. The address of an OpenAI-compatible server, such as http://localhost:8000/v1;
    # None: that of a server of llmbench.serve on this machine
    base_url: str | None = None
    api: Api | None = None  # what is sent: messages or token ids; None: messages
    api_key_env: str | None = None  # the environment variable with the key; None: no key is sent
    served_model: str | None = None  # what the server calls the model; None: the only one that it lists
    extra_body: dict[str, Any] = field(default_factory=dict)  # goes into each request and wins
    headers_env: dict[str, str] = field(default_factory=dict)  # HTTP headers: the variables with their values
    retry_s: float | None = None  # how long a request is tried again after what may pass; None: 300
    price: dict[str, float] = field(default_factory=dict)  # per million tokens: input, output
    max_cost: float | None = None  # in the currency of `price`; the run ends before it costs more

    @property
    def in_force(self) -> dict[str, Any]:
        """The settings by name, without `speculative_max_running` where nothing is drafted."""
        settings = asdict(self)
        if not self.speculative:
            del settings["speculative_max_running"]
        return settings

    @property
    def gpus_each(self) -> int:
        """GPUs of one engine, or of each replica."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    @property
    def is_server(self) -> bool:
        """Whether a server has the model, so that no GPU and no library of this machine computes an answer."""
        return self.name == "endpoint"
