"""The pipeline: from settings and samples to a run folder with its summary."""
