"""What a run leaves: its folder, journal, manifest and summary, the statistics, and how they are read back."""
