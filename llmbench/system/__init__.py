"""The operating system: files, locks, processes, signals, streams, hardware; and the texts that people see."""
