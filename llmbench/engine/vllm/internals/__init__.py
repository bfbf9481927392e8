"""All that llmbench relies on of vLLM beyond its documented interface; no other module names vLLM's internals.

Each function says what it relies on and since which version; 0.26 is the oldest that is supported, and the oldest that was read.
tests/engine/test_vllm_internals.py checks each against the installed vLLM, so that a new version's failing test names what to change.
"""
