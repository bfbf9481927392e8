"""Stands for vLLM where a test starts `vllm serve`: its folder comes first in PYTHONPATH."""
