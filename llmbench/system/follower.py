"""The main module of the processes that vLLM spawns (`processes.followed`): they import it before anything else."""

from llmbench.system.processes import follow

if __name__ == "__mp_main__":
    follow()
