"""The command line: Hydra composes settings, and runs, sweeps and resumed runs begin here."""
