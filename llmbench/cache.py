"""`python -m llmbench.cache`: what the response cache holds and has spared, and the copies of quantised weights.

`--clear` empties the response cache, `--clear-copies` removes the copies, `quantize model=NAME` makes one.

Exit status: 0 done, 1 not, 130 interrupted.
"""

import sys
from collections.abc import Sequence

from llmbench.engine.cache.store import Answers, answers_file
from llmbench.engine.vllm import weights_copy
from llmbench.errors import ConfigError, EngineError
from llmbench.system.commandline import Parser, guarded, say
from llmbench.system.console import Terminal
from llmbench.system.log_capture import captured
from llmbench.system.number_format import memory
from llmbench.system.signals import as_interrupts

LOG = "quantize.log"


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.cache",
        description="Shows or empties the response cache (cache=on); shows, makes or removes copies of quantised weights, which later starts "
        "of vLLM load in place of quantising a checkpoint.",
    )
    parser.add_argument("--clear", action="store_true", help="drop every answer")
    parser.add_argument("--clear-copies", action="store_true", help="remove every copy of quantised weights")
    parser.add_argument("action", nargs="?", choices=["quantize"], help="make a copy of a model's weights")
    parser.add_argument(
        "settings",
        metavar="NAME=VALUE",
        nargs="*",
        help="of quantize: settings as for a run: model=, model.path=, model.quantization=, profile=",
    )
    chosen = parser.parse_args(arguments)
    if chosen.action is not None:
        _quantize(chosen.settings)
        return
    path = answers_file()
    if path.exists():
        with Answers(path) as answers:
            if chosen.clear:
                answers.clear()
            found = answers.statistics()
        say(
            f"{path}: {found.entries:,} answers, {memory(found.file_bytes)}, given back {found.hits:,} times, which spared "
            f"{found.output_tokens:,} output tokens."
        )
    else:
        say(f"{path}: nothing is kept yet; runs with cache=on keep their answers there.")
    if chosen.clear_copies:
        weights_copy.clear()
    for copy in weights_copy.copies():
        say(f"{copy.folder}: the quantised weights of {copy.source}, {memory(copy.size)}.")


def _quantize(typed: Sequence[str]) -> None:
    """Makes the copy of the model that settings of a run name, or says that it is there.

    Raises:
        ConfigError: The settings ask for nothing that a copy could stand for.
        ModelError: The checkpoint cannot be used.
        EngineError: The copy cannot be made.
    """
    from llmbench.cli.arguments import refuse_doubled
    from llmbench.cli.compose import compose  # all that a run needs, which the cache's figures do not
    from llmbench.engine.factory import complete, find_checkpoint
    from llmbench.engine.vllm.quantizing import make_copy, no_copy

    refuse_doubled(typed)
    if any(word.startswith("engine=") and word != "engine=vllm" for word in typed):
        raise ConfigError("Only engine=vllm starts from a copy of quantised weights; leave engine= out.")
    config, notices = complete(compose(typed))
    if not weights_copy.possible(config):  # before a checkpoint is fetched or converted
        raise no_copy(config.model.name)
    checkpoint = find_checkpoint(config)
    if checkpoint is None:
        raise RuntimeError("vLLM needs a checkpoint")
    folder = weights_copy.copies_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"The cache folder {folder} cannot be written ({error.strerror}); set LLMBENCH_CACHE to another."
        ) from error
    with as_interrupts(), captured(folder / LOG, config.log_level) as (out, err):
        terminal = Terminal(out, err)
        for sentence in notices:
            terminal.notice(sentence)
        made = make_copy(config, checkpoint, terminal.notice)
        terminal.say(
            f"{made.folder}: {memory(made.size)}, loaded from now on where {made.source} would be quantised with these settings and versions."
        )


if __name__ == "__main__":
    sys.exit(main(None))
