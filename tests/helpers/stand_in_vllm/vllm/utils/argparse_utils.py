"""A parser that keeps the command line as it is."""

from argparse import ArgumentParser, Namespace


class FlexibleArgumentParser(ArgumentParser):
    """Stands for vLLM's."""

    def parse_args(self, args: list[str]) -> Namespace:  # type: ignore[override]
        """Keeps the words."""
        return Namespace(words=args)
