"""Settings of a checkpoint given by hand, with `model.path` or `model.hub_id`: its name, and what its own files say.

Without `model=` such a checkpoint gets the neutral settings of conf/model/checkpoint.yaml, never those of the default model.
`with_checkpoint` sees to that before Hydra composes, so that run folders and `--cfg job` show what holds. `complete` takes
the number of parameters, the context length and the sampling from the checkpoint once it is found.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmbench.config.schema import DRAWN_BY, Config, SamplingColumn
from llmbench.engine.checkpoint import Checkpoint, context_length, settings
from llmbench.engine.checkpoint_tensors import parameters
from llmbench.errors import ConfigError, LlmbenchError
from llmbench.system import decoding, files

PLACES = ("model.path", "model.hub_id")
FROM_CHECKPOINT = {"model.parameters_b": "parameters_b", "model.max_length": "max_length"} | {
    f"sampling.{name}": name for name in DRAWN_BY
}
"""Settings that are the checkpoint's own unless typed, and their names in `model.from_checkpoint`."""
CONTEXT_ARGS = {"max_model_len", "hf_overrides", "rope_scaling"}
"""Of `engine.args`: they say how long a context may be, so that config.json no longer does."""
NAME = "'${llmbench.checkpoint:${model.path},${model.hub_id}}'"
UNTELLING = re.compile(
    r"(checkpoint|step|epoch|iter|global_step)?[-_]?\d*|final|best|last|latest|model|hf|weights",
    re.IGNORECASE,
)
"""Names of folders that many checkpoints share; the folder above then becomes part of the name."""
SNAPSHOT = re.compile(r"models--(.+)/snapshots/[0-9a-f]+$")
"""A model in the hub's local cache."""
ALIKE = 1.25
"""Two numbers of parameters within this factor are the same model's: files give rounded ones, some without embeddings."""


def with_checkpoint(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with what `model.path` or `model.hub_id` among them implies, or an endpoint without a model."""
    values = dict(_setting(argument) for argument in arguments if "=" in argument)
    given = [key for key in PLACES if values.get(key) not in (None, "", "null")]
    chosen = next((a for a in arguments if a.startswith("model=")), None)
    if not given:
        served = chosen is None and "engine=endpoint" in arguments
        return [*arguments, *(["model=served"] if served else [])]
    implied = {"model.name": NAME, "model.embedded": "null"}
    if given == ["model.hub_id"]:
        implied["model.path"] = "null"
    if chosen in (None, "model=checkpoint"):
        own = [name for key, name in FROM_CHECKPOINT.items() if key not in values]
        implied["model.from_checkpoint"] = f"[{','.join(own)}]"
    added = [f"{key}={value}" for key, value in implied.items() if key not in values]
    return [*arguments, *(["model=checkpoint"] if chosen is None else []), *added]


def implied(arguments: Sequence[str]) -> set[str]:
    """Returns the keys that `with_checkpoint` adds to these arguments."""
    typed = {_setting(argument)[0] for argument in arguments}
    return {_setting(argument)[0] for argument in with_checkpoint(arguments)} - typed


def _setting(argument: str) -> tuple[str, str]:
    key, _, value = argument.partition("=")
    return key.lstrip("+"), value


def name_of(path: str | None, hub_id: str | None) -> str:
    """Names a checkpoint after its folder or, without one, after its hub id; the name can be a folder's.

    >>> name_of("/out/run-7/checkpoint-500", None), name_of(None, "Qwen/Qwen3-8B")
    ('run-7-checkpoint-500', 'Qwen--Qwen3-8B')
    """
    name = hub_id or ""
    if path:
        folder = Path(path).expanduser().absolute()
        cached = SNAPSHOT.search(str(folder))
        name = cached[1] if cached else folder.name
        if UNTELLING.fullmatch(name):
            name = f"{folder.parent.name}-{name}"
    return re.sub(r"[^\w.+-]+", "-", name.replace("/", "--")).strip("-.") or "checkpoint"


def complete(
    config: Config, find_checkpoint: Callable[[Config], Checkpoint | None]
) -> tuple[Config, list[str]]:
    """Returns the settings with what the checkpoint's own files say, and sentences about what that changed.

    A checkpoint that cannot be found changes nothing; the run says why when it looks for it.

    Raises:
        ConfigError: The settings contradict the checkpoint.
    """
    if config.model.embedded is not None and config.model.path is None:
        return config, []
    try:
        checkpoint = find_checkpoint(config)
    except LlmbenchError:
        return config, []
    if checkpoint is None:
        return config, []
    own, model, said = config.model.from_checkpoint, config.model, []
    counted = parameters(checkpoint)
    if counted is not None and (model.parameters_b is None or "parameters_b" in own):
        model = replace(model, parameters_b=round(counted / 1e9, 3))
    elif counted is not None:
        _check_size(config, checkpoint, counted / 1e9)
    typed = CONTEXT_ARGS & config.engine.args.keys()
    limit = None if typed else context_length(settings(checkpoint))
    if limit is not None and model.max_length > limit:
        if "max_length" not in own:
            raise ConfigError(
                f"model.max_length={model.max_length} is more than the {limit} tokens that the config.json of "
                f"{checkpoint.name} allows; set model.max_length={limit} or lower."
            )
        said.append(f"model.max_length is {limit}, all that {model.name} was made for (config.json).")
        model = replace(model, max_length=limit)
    config = replace(config, model=model)
    return (_with_sampling(config, checkpoint) if own else config), said


def _check_size(config: Config, checkpoint: Checkpoint, counted_b: float) -> None:
    stated_b = config.model.parameters_b or 0.0
    if not counted_b / ALIKE <= stated_b <= counted_b * ALIKE:
        raise ConfigError(
            f"model.parameters_b={stated_b:g} is refused: {checkpoint.name} holds {counted_b:.3g} billion parameters, so it is "
            f"another model than the one whose settings were chosen; leave model= out, or set model.parameters_b={counted_b:.3g}."
        )


def _with_sampling(config: Config, checkpoint: Checkpoint) -> Config:
    """Takes generation_config.json for the model's own sampling; without one it stays greedy."""
    stated = generation_config(Path(checkpoint.folder)) if checkpoint.folder else {}
    column = replace(config.model.sampling.get("own", SamplingColumn()), **stated)
    columns = {**config.model.sampling, "own": column}
    run = config.sampling
    if config.profile.sampling == "own":
        taken = [name for name in DRAWN_BY if name in config.model.from_checkpoint]
        run = replace(run, **{name: getattr(column, name) for name in taken})
    return replace(config, model=replace(config.model, sampling=columns), sampling=run)


def generation_config(folder: Path) -> dict[str, Any]:
    """How a checkpoint's generation_config.json asks for sampling, by llmbench's names; what it leaves open is left out."""
    own = files.json_object(folder / "generation_config.json")
    stated: dict[str, Any] = {name: decoding.finite(own.get(name)) for name in DRAWN_BY}
    if own.get("do_sample") is False:
        stated["temperature"] = 0.0
    elif own.get("do_sample") is True and stated["temperature"] is None:
        stated["temperature"] = 1.0
    if (top_k := stated["top_k"]) is not None:
        stated["top_k"] = max(int(top_k), 0)  # -1 is off, as 0 is
    return {name: value for name, value in stated.items() if value is not None}
