"""`saeval train`: a model's site and texts, or an array -> an SAE in a folder of its own."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from saeval import __version__
from saeval.config.options import DTYPES
from saeval.errors import UsageError
from saeval.models.loading import pick_device
from saeval.running.opening import as_model
from saeval.running.train.data import Ask, Material, open_material
from saeval.training import Fit, TrainedSAE, train
from saeval.training.choice import TrainingSettings, check_settings, choose_method, choose_recipe
from saeval.training.folder import check_out, check_room, write_folder
from saeval.training.loop import Watch

__all__ = ["train_sae"]

logger = logging.getLogger(__name__)

TOO_MANY = 1.5
"""Times the target that L0 may be in the last batches of training."""


def train_sae(  # noqa: PLR0913  the whole of the public API stands here
    arch: str,
    *,
    d_sae: int,
    k: int,
    model: Any = None,
    site: str | None = None,
    write_site: str | None = None,
    data: Any = None,
    out: str | Path | None = None,
    tokens: int | None = None,
    seed: int = 0,
    lr: float | None = None,
    batch_size: int | None = None,
    context: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    snapshots: Sequence[float] = (),
    settings: TrainingSettings | None = None,
    progress: Watch | None = None,
) -> TrainedSAE:
    """Train an SAE of any built-in architecture at a site of a model, or on stored activations.

    Activations stream from the model as they are needed, and none are kept on disk. A tenth of
    the data, at most 16,384 activations, is held out for the final figures. Data that ends before
    the training does is read again.

    Args:
        arch: A key of `saeval.training.METHODS`, such as "topk" or "matryoshka".
        d_sae: Number of latents.
        k: Target L0: latents a token, exactly or on average, as the architecture has it.
        model: Hugging Face id, folder, lab model or synthetic world, LoadedModel, or (network,
            tokenizer); None for stored activations.
        site: Module path or alias.
        write_site: What is predicted, for a transcoder; None: the site that is read.
        data: File or list of texts, or file or array of activations in the place of a model (a
            pair of them for a transcoder). None: the lab's own data, for its models.
        out: Folder to be made; None: nothing is written.
        tokens: Activations seen in training, repetitions included; None: 4,000,000.
        seed: Of the initial weights and of the order of activations.
        lr: Adam's rate; None: by width.
        batch_size: Activations a step; None: 1,024.
        context: Tokens a row, BOS included; None: 128, or as many as the model takes.
        device: `auto`, `cpu`, `cuda` or `mps`.
        dtype: The model's; None: float32.
        snapshots: Shares of the training, above 0 and below 1, after which the SAE is kept too.
        settings: Fields of the recipe (`{"recipe": {"warmup": 0.05}}`) or the architecture.
        progress: Told early figures about fifty times.

    Returns:
        The SAE, its figures, and snapshots.

    Raises:
        UsageError: if the request is off, before anything is computed.
        DataError: if the data cannot be read or is too little.
        ResultError: if the folder cannot be written.
        SaevalError: if model or site cannot be had.
    """
    settings = settings or {}
    if write_site is not None and write_site == site:
        raise UsageError(f"--write-site is '{site}', which is read too. Leave it away.")
    ask = Ask(as_model(model), site, write_site, data, context, pick_device(device), _dtype(dtype))
    check_settings(settings, arch)
    method = choose_method(arch, settings, transcoding=ask.transcoding)
    given = {"d_sae": d_sae, "k": k, "tokens": tokens, "seed": seed, "lr": lr}
    recipe = choose_recipe({**given, "batch_size": batch_size}, settings)
    _check_snapshots(snapshots)
    if snapshots and isinstance(method, Fit):
        raise UsageError(
            f"'{arch}' is fitted at once and has no snapshots. Leave --snapshots away."
        )
    if out is not None:
        check_out(Path(out))
    material = open_material(ask, recipe)
    if out is not None:
        check_room(Path(out), material.d_in, material.d_out, d_sae, 1 + len(snapshots))
    trained = train(
        material.source,
        method,
        material.recipe,
        device=ask.device,
        watch=progress or (lambda _: None),
        snapshots=tuple(sorted(snapshots)),
    )
    _warn_of_pruning(trained, k)
    trained = _signed(trained, arch, settings, material)
    if out is not None:
        write_folder(Path(out), trained.sae, trained.snapshots)
    return trained


def _warn_of_pruning(trained: TrainedSAE, k: int) -> None:
    """Say so where training ended before the L0 had come down, and biases had to do the rest."""
    if trained.log and trained.log[-1].l0 > TOO_MANY * k:
        logger.warning(
            "L0 was still %.0f when training ended, and was brought down to %d by shifting all "
            "latents alike, which costs FVU. Train on more activations (--tokens), or with a "
            "higher --lr.",
            trained.log[-1].l0,
            k,
        )


def _signed(
    trained: TrainedSAE, arch: str, settings: TrainingSettings, material: Material
) -> TrainedSAE:
    """With origins that say where each SAE comes from and how it was made."""
    final, recipe = trained.final, material.recipe
    told = {
        "method": arch,
        "settings": {name: dict(values) for name, values in settings.items()},
        "recipe": asdict(recipe),
        "data": material.record,
        "saeval": __version__,
        "torch": torch.__version__,
    }
    figures = {"fvu": final.fvu, "l0": final.l0, "dead": final.dead}
    held_out = {**figures, "activations": recipe.held_out}
    sae = _with_origin(
        trained.sae, material, {**told, "tokens": final.tokens, "held_out": held_out}
    )
    kept = tuple(
        (tokens, _with_origin(earlier, material, {**told, "tokens": tokens}))
        for tokens, earlier in trained.snapshots
    )
    return replace(trained, sae=sae, snapshots=kept)


def _with_origin(sae: Any, material: Material, told: dict[str, Any]) -> Any:
    """What a method itself says of its SAE goes first: a null stays one."""
    origin = replace(
        material.origin,
        architecture=sae.origin.architecture,
        metadata={**told, **sae.origin.metadata},
    )
    return replace(sae, origin=origin)


def _check_snapshots(shares: Sequence[float]) -> None:
    wrong = [share for share in shares if not 0 < share < 1]
    if wrong:
        raise UsageError(
            f"--snapshots are shares of the training, above 0 and below 1, not {wrong[0]}. The end "
            "is kept anyway."
        )


def _dtype(name: str | None) -> torch.dtype:
    if name is not None and name not in DTYPES:
        raise UsageError(f"--dtype '{name}' is none of {', '.join(DTYPES)}.")
    return getattr(torch, name or "float32")
