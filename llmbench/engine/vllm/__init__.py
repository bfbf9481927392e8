"""vLLM's offline engine, and everything that touches vLLM's internals."""
