"""A cluster with no Slurm: the commands that submitit calls, which start the tasks of a job array on this machine."""

import stat
import sys
from pathlib import Path

JOB = "7"

SBATCH = f"""
import os, pathlib, re, subprocess, sys

text = open(sys.argv[-1]).read()
first, last = map(int, re.search(r"--array=(\\d+)-(\\d+)", text).groups())
for task in range(first, last + 1):
    job = dict(SLURM_JOB_ID=str(100 + task), SLURM_ARRAY_JOB_ID="{JOB}", SLURM_ARRAY_TASK_ID=str(task), SLURM_CPUS_PER_TASK="8")
    tasks = dict(SLURM_NTASKS="1", SLURM_JOB_NUM_NODES="1", SLURM_NODEID="0", SLURM_PROCID="0", SLURM_LOCALID="0")
    started = subprocess.Popen(
        ["bash", sys.argv[-1]], env=os.environ | job | tasks, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    pathlib.Path(__file__).with_name(f"task{{task}}").write_text(str(started.pid))
print("Submitted batch job {JOB}")
"""

SRUN = f"""
import os, sys

folder = sys.argv[-1].replace("%j", "{JOB}_" + os.environ["SLURM_ARRAY_TASK_ID"])
command = sys.argv[sys.argv.index(sys.executable) :]
os.execv(command[0], [*command[:-1], folder])
"""

SACCT = f"""
import pathlib

print("JobID|State|NodeList")
for path in pathlib.Path(__file__).parent.glob("task*"):
    process = pathlib.Path("/proc", path.read_text(), "stat")
    runs = process.is_file() and process.read_text().split(") ")[1][0] != "Z"
    print(f"{JOB}_{{path.name[4:]}}|{{'RUNNING' if runs else 'FAILED'}}|here")
"""


def install(folder: Path) -> Path:
    """Writes the commands into a new folder, which belongs at the front of PATH."""
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        command = folder / name
        command.write_text(f"#!{sys.executable}\n{text}")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return folder
