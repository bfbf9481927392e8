"""The benchmarks: a class each, in the module that its YAML under `conf/benchmark/` names; the config group is the registry."""
