"""Options of the commands, with their help texts. Nothing slow is imported."""

import functools
from collections.abc import Callable
from typing import Any

import click

from saeval.config.options import Option, options

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def _click_option(option: Option) -> Callable[[Any], Any]:
    """The command-line form of an option of a run. Its value stays text, which is checked later."""
    if option.is_flag:
        return click.option(*option.flags, option.name, is_flag=True, help=option.about.doc)
    return click.option(
        *option.flags,
        option.name,
        metavar=option.metavar,
        multiple=option.is_repeatable,
        help=option.about.doc,
    )


OPTIONS_BY_NAME = {option.name: _click_option(option) for option in options()}
"""Options of a run by name."""
QUIET_OPTION = click.option(
    "--quiet", is_flag=True, help="Do not tell on stderr how far it is; warnings and errors stay."
)
DISPLAY_OPTIONS = (
    click.option(
        "--columns",
        metavar="all|NAME,NAME",
        help="Metrics in the tables, by name or glob; default: each task's headline.",
    ),
    click.option("--parts", is_flag=True, help="Figures of parts of the data in the tables too."),
    QUIET_OPTION,
)
"""Options that change only what is shown of a run."""
RUN_OPTIONS = (
    *OPTIONS_BY_NAME.values(),
    click.option("--config", metavar="FILE", help="Options as YAML, or a result.json to repeat."),
    click.option(
        "--set",
        "set_",
        multiple=True,
        metavar="TASK.FIELD=VALUE",
        help="Value as YAML. Repeatable.",
    ),
    JSON_OPTION,
)
"""Options of `run` and `plan`."""
TRAIN_OPTIONS = (
    click.option(
        "--arch",
        required=True,
        metavar="NAME",
        help="abstopk, batchtopk, gated, hierarchical-topk, itda, jumprelu, matryoshka, p-anneal, "
        "relu, topk, transcoder; nulls: frozen-decoder, frozen-encoder, neurons, pca, "
        "permuted-decoder, random, soft-frozen.",
    ),
    click.option(
        "--model", metavar="ID|FOLDER", help="Language model, one of the lab's, or lab/synthetic/X."
    ),
    click.option("--site", metavar="PATH", help="Module path or alias, such as layers.2."),
    click.option("--write-site", metavar="PATH", help="What a transcoder predicts."),
    click.option(
        "--data",
        metavar="FILE",
        help="Texts (.txt, .jsonl, .csv, .parquet), or activations in the place of a model "
        "(.npy, .safetensors, .parquet); default: what the lab makes for its own models.",
    ),
    click.option("--d-sae", type=int, required=True, help="Number of latents."),
    click.option("--k", type=int, required=True, help="Latents a token to aim for (L0)."),
    click.option("--out", required=True, metavar="FOLDER", help="Folder to be made."),
    click.option("--tokens", type=int, help="Activations seen in training; default: 4,000,000."),
    click.option("--seed", type=int, default=0, help="Of initial weights and order."),
    click.option("--lr", type=float, help="Adam's rate; default: by width."),
    click.option("--batch-size", type=int, help="Activations a step; default: 1,024."),
    click.option("--context", type=int, help="Tokens a row, BOS included; default: 128."),
    click.option(
        "--snapshots",
        metavar="0.1,0.5",
        help="Shares of the training after which to keep the SAE too.",
    ),
    click.option(
        "--set",
        "set_",
        multiple=True,
        metavar="recipe.FIELD=VALUE",
        help="Value as YAML, of the recipe or of the architecture (matryoshka.FIELD). Repeatable.",
    ),
    OPTIONS_BY_NAME["device"],
    click.option("--dtype", metavar="float32|bfloat16|float16", help="The model's."),
    JSON_OPTION,
)
"""Options of `train`."""


def with_options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Give a command these options, in this order."""

    def adopt(command: Any) -> Any:
        return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)

    return adopt
