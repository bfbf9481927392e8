"""vllm_"""
