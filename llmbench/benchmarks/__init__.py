"""The benchmarks: one module each, named by `module` in its YAML under `conf/benchmark/`; the config group is the registry."""
