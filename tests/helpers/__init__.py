"""What several test modules share: commands, processes, runs, records, engines."""
