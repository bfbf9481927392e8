"""SWE-bench beyond its questions: prompts that fit, patches judged in the sandbox, predictions, the official harness."""
