"""What vLLM says when it cannot start, turned into one sentence with the setting that would help; the log has its own words."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from llmbench.config.schema import Config
from llmbench.engine.checkpoint import REFUSED_PICKLE, needs_code, pickle_refused
from llmbench.engine.vllm.internals import messages
from llmbench.engine.vllm.internals.engine import is_engine_dead
from llmbench.errors import EngineDiedError, EngineError, OutOfMemoryError, Shortage, first_line, shortened
from llmbench.system.log_capture import current_file

TORCH_EXTRAS = ("torchvision", "torchaudio", "torchcodec")
"""Packages whose ordinary builds cannot be imported beside the CPU build of torch, and then keep vLLM from importing."""


def explain_import(error: BaseException, package: str = "vLLM") -> str:
    """Why an engine's package could not be imported."""
    if any(name in str(error) for name in TORCH_EXTRAS):
        return (
            f"{package} cannot be imported because of torchvision, torchaudio or torchcodec; "
            f"run: pip uninstall -y {' '.join(TORCH_EXTRAS)}."
        )
    return (
        f"{package} cannot be imported ({type(error).__name__}: {first_line(error)}); run `make setup` again."
    )


def start_error(error: BaseException, config: Config) -> EngineError:
    """Why vLLM could not start, found in the error and everything that led to it; `OutOfMemoryError` where that was it."""
    causes = list(_chain(error))
    text = "\n".join(str(cause) for cause in causes)
    if re.search(messages.CORE_FAILED, text):
        text = f"{text}\n{_logged()}"
    sentence = known_cause(text, config)
    if sentence is not None:
        shortage = _shortage(text, causes)
        return OutOfMemoryError(sentence, shortage) if shortage else EngineError(sentence)
    if re.search(messages.CORE_KILLED, text):
        return EngineDiedError("vLLM's process was killed while it started; the log has more.")
    return EngineError(
        f"vLLM could not start: {_telling_line(text) or type(error).__name__}; the log has more."
    )


def known_cause(text: str, config: Config) -> str | None:
    """A sentence about the first known cause that vLLM's words name, None where they name none.

    A log's ordinary lines are left out: one of them names every setting, whatever went wrong.
    """
    text = messages.ORDINARY_LINE.sub("", text)
    model = config.model
    less = max(0.1, round(model.gpu_memory_utilization - 0.1, 2))
    found = ((re.search(pattern, text), sentence) for pattern, sentence in _CAUSES.items())
    return next((said.format(match=match, model=model, less=less) for match, said in found if match), None)


def _telling_line(text: str) -> str:
    """What vLLM's settings object says is wrong (pydantic's "Value error, …"), else the first line; shortened."""
    invalid = re.search(
        r"validation errors? for (\w+)\n([\w.]+)\n  (?!Value error)(.+?)(?: \[type=|\n|$)", text
    )
    if invalid:
        return shortened(f"{invalid[1]}.{invalid[2]}: {invalid[3]}")
    value_error = re.search(r"Value error, (.+?)(?: \[type=|\n|$)", text)
    return shortened((value_error[1] if value_error else text.strip().partition("\n")[0]).rstrip(". "))


def step_error(
    error: BaseException, since: int = 0, *, in_process: bool = True, running: tuple[str, ...] = ()
) -> EngineError:
    """Why vLLM stopped working; `OutOfMemoryError` where that was it.

    Args:
        error: What it raised.
        since: Where the log of the engine begins (`log_position`); from a process of its own the reason comes only there.
        in_process: Whether vLLM computes in this process.
        running: The ids of the requests that it worked on.
    """
    text = "\n".join(str(cause) for cause in _chain(error))
    if not in_process:
        text = f"{text}\n{_logged(since)}"
    if re.search(EXHAUSTED, text):
        return OutOfMemoryError(
            "The GPU ran out of memory while requests ran; end what else runs on it, or set a smaller batch_size.",
            Shortage("running", needs_new_process=True),
        )
    if is_engine_dead(error):
        return EngineDiedError("vLLM's engine died in its own process; the log has more.", running=running)
    return EngineDiedError(
        f"vLLM stopped working: {type(error).__name__}: {first_line(error)}; the log has more.",
        needs_new_process=in_process and spoils(error),
        running=running,
    )


def spoils(error: BaseException) -> bool:
    """Whether nothing can be computed on the GPU in this process any more: CUDA's errors stay for the life of a process."""
    return any(
        type(cause).__name__ == "AcceleratorError" or re.search(CUDA, str(cause)) for cause in _chain(error)
    )


def log_position() -> int:
    """Where what is logged from now on begins, in bytes."""
    path = current_file()
    return path.stat().st_size if path is not None else 0


NO_KERNELS = r"'_OpNamespace' '_C\w*' object has no attribute"
"""Torch's words where vLLM's compiled part could not be loaded, which vLLM only logs."""
CUDA = (
    r"CUDA error|CUDA driver error|device-side assert|CUBLAS_STATUS|CUDNN_STATUS|NCCL error|uncorrectable ECC"
)
EXHAUSTED = r"(?i)out of memory|can't allocate memory"
LOG_TAIL = 1 << 16
"""Bytes of the log's end that are searched."""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _logged(since: int = 0) -> str:
    """The end of this run's log, not before `since`."""
    path = current_file()
    return log_end(path, since) if path is not None else ""


def log_end(path: Path, since: int = 0) -> str:
    """The end of a log, as much of it as is searched, not before `since`."""
    with path.open("rb") as file:
        file.seek(max(since, path.stat().st_size - LOG_TAIL))
        return file.read().decode(errors="replace")


def _shortage(text: str, causes: Sequence[BaseException]) -> Shortage | None:
    """What was short; None where the error was about something else."""
    free = re.search(messages.FREE_SHARE, text)
    if free:
        return Shortage("free", free_share=float(free[1]) / float(free[2]))
    if re.search(messages.FREE_MEMORY, text):
        return Shortage("free")
    if re.search(messages.NO_CACHE_BLOCKS, text):
        return Shortage("kv_cache")
    fits = re.search(messages.FITTING_LENGTH, text)
    if fits:
        return Shortage("context", fits=int(fits[1]))
    if not re.search(EXHAUSTED, text):
        return None
    return Shortage(messages.call_under_way(text, causes), needs_new_process=True)


_CAUSES = {
    REFUSED_PICKLE: pickle_refused("{model.name}"),
    NO_KERNELS: "vLLM's compiled part cannot be loaded, perhaps for want of a system library: its build for CPUs needs libnuma "
    "(Debian: apt-get install libnuma1; Fedora: dnf install numactl-libs).",
    messages.FREE_MEMORY: "Less GPU memory is free than model.gpu_memory_utilization={model.gpu_memory_utilization} asks for; end what else "
    "runs on the GPU, or set model.gpu_memory_utilization={less}.",
    messages.NO_CACHE_BLOCKS: "The weights of {model.name} leave no memory for the KV cache; use model.quantization=bitsandbytes, a smaller "
    "model, or a higher model.gpu_memory_utilization.",
    messages.FITTING_LENGTH: "The KV cache has no room for one sequence of model.max_length={model.max_length}; set model.max_length={match[1]}.",
    EXHAUSTED: "The GPU ran out of memory while loading; set model.gpu_memory_utilization={less} or a smaller batch_size.",
    messages.DERIVED_LENGTH: "model.max_length={model.max_length} is more than the model's context; set model.max_length={match[1]}.",
    r"trust_remote_code|contains custom code": needs_code("{model.name}"),
    rf"{messages.UNKNOWN_ARCHITECTURE}|Transformers does not recognize this architecture|model type `\w+`": "This vLLM does not know the "
    "architecture of {model.name} ({match[0]}); use a newer vLLM, or engine=transformers where transformers knows it.",
    r"unexpected keyword argument '(\w+)'": "engine.args.{match[1]} is not an argument of this vLLM.",
    messages.UNFIT_BACKEND: "vLLM's attention backend {match[1]} does not fit this GPU and these settings ({match[2]}); set "
    "model.attention_backend=null, and vLLM chooses one that does.",
}
"""A sentence for each of vLLM's failures with a known way out, by what it writes, in the order in which they are looked for."""
