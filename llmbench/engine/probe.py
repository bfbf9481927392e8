"""What only vLLM's worker knows, asked through `worker_extension_cls` and `collective_rpc`; mixed into its class."""

from typing import Any


class Probe:
    """Methods that vLLM's worker gains."""

    model_runner: Any

    def llmbench_facts(self) -> dict[str, Any]:
        """Attention backends by name, bytes of the weights, and the FlashAttention version where that is used."""
        runner = self.model_runner
        groups = [group for groups in getattr(runner, "attn_groups", []) for group in groups]
        backends = sorted({group.backend.get_name() for group in groups})
        return {
            "attention_backends": backends,
            "flash_attention": _flash_attention_version() if "FLASH_ATTN" in backends else None,
            "weights_bytes": _weights_bytes(runner),
        }


def _weights_bytes(runner: Any) -> int | None:  # noqa: ANN401 - vLLM's own class, without a stable type
    """What loading took, as the runner measured it; the CPU's runner does not, and its packed weights are no parameters."""
    used = getattr(runner, "model_memory_usage", None)
    return int(used) if used else None


def _flash_attention_version() -> int | None:
    try:
        from vllm.v1.attention.backends.fa_utils import get_flash_attn_version
    except ImportError:
        return None
    version = get_flash_attn_version()
    return None if version is None else int(version)
