"""What runs inside the sandbox, with nothing but the standard library: `main` answers jobs, each of which becomes a `job`."""
