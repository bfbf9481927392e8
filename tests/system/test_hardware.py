import subprocess
import sys
import time

import pynvml
import pytest

from llmbench.system.hardware import Gpu, compute_capability, visible

GPUS = [Gpu(index, "H100", 80 << 30, "580", f"GPU-{index}abc") for index in range(3)]


def indices(chosen: str | None) -> list[int]:
    return [gpu.index for gpu in visible(GPUS, chosen)]


def test_cuda_visible_devices_chooses_and_orders() -> None:
    assert indices(None) == [0, 1, 2]
    assert indices("1,0") == [1, 0]
    assert indices("GPU-2a") == [2]
    assert indices("0, 7, 1") == [0]  # CUDA stops at the first that does not exist
    assert indices("") == []


def test_time_runs_from_the_start_of_the_process() -> None:
    code = "import time; time.sleep(0.5); from llmbench.system import clock; print(clock.since_start())"
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.5 <= float(done.stdout) <= time.monotonic() - begun + 0.02


@pytest.mark.parametrize(("known", "capability"), [(True, (9, 0)), (False, None)])
def test_a_gpu_has_a_compute_capability_where_nvml_says_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None, *, known: bool
) -> None:
    def asked(handle: int) -> tuple[int, int]:
        assert handle == 3
        if not known:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return 9, 0

    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCudaComputeCapability", asked)
    assert compute_capability(Gpu(3, "NVIDIA H100", 80 << 30, "580")) == capability
