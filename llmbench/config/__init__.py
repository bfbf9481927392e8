"""The settings: their schema, what is checked of them, how they are written, and where the YAML files are."""
