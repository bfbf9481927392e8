"""Another process on the GPU: takes all of its memory but a little, at once or when others use so much. Ends when killed.

python -m tests.bench.take_gpu_memory LEAVE_MIB [AFTER_MIB]
"""

import sys
import time

import torch

STEP_S = 0.01


def main() -> None:
    """Waits, takes, and stays."""
    leave = int(sys.argv[1]) << 20
    after = int(sys.argv[2]) << 20 if len(sys.argv) > 2 else 0
    torch.zeros(1, device="cuda")
    at_first, _ = torch.cuda.mem_get_info()
    while at_first - torch.cuda.mem_get_info()[0] < after:
        time.sleep(STEP_S)
    kept = []
    while (want := torch.cuda.mem_get_info()[0] - leave) > 4 << 20:
        kept.append(torch.empty(want, dtype=torch.uint8, device="cuda"))
    print(f"taken; {torch.cuda.mem_get_info()[0] >> 20} MiB left", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
