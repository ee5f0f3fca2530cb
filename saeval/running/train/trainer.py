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
from saeval.running.lent import lent
from saeval.running.opening import as_model
from saeval.running.train.data import DataRequest, TrainingData, open_training_data
from saeval.training import Fit, TrainedSAE, train
from saeval.training.choice import TrainingSettings, check_settings, choose_method, choose_recipe
from saeval.training.folder import check_out, check_room, write_folder
from saeval.training.loop import Watch

__all__ = ["train_sae"]

logger = logging.getLogger(__name__)

L0_EXCESS = 1.5
"""Multiple of the target that L0 may reach in the last batches without a warning."""


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
        k: Target L0: latents per token, exactly or on average, as the architecture defines it.
        model: Hugging Face id, folder, lab model or synthetic world, LoadedModel, or (network,
            tokenizer); None for stored activations.
        site: Module path or alias.
        write_site: Site that a transcoder predicts; None: the site that is read.
        data: File or list of texts, or file or array of activations instead of a model (two of
            them for a transcoder). None: the lab's own data, for its models.
        out: Folder to create; None: nothing is written.
        tokens: Activations seen in training, repetitions included; None: 4,000,000.
        seed: Seed of the initial weights and of the order of activations.
        lr: Adam's learning rate; None: by the number of latents.
        batch_size: Activations per step; None: 1,024.
        context: Tokens per row, BOS included; None: 128, or as many as the model takes.
        device: `auto`, `cpu`, `cuda` or `mps`.
        dtype: Data type of the model; None: float32.
        snapshots: Shares of the training, above 0 and below 1, after which the SAE is kept too.
        settings: Fields of the recipe (`{"recipe": {"warmup": 0.05}}`) or the architecture.
        progress: Called about fifty times with early figures.

    Returns:
        The SAE, its figures, and snapshots.

    Raises:
        UsageError: if the request is invalid, before anything is computed.
        DataError: if the data cannot be read or is too little.
        ResultError: if the folder cannot be written.
        SaevalError: if the model or the site cannot be loaded.
    """
    settings = settings or {}
    if write_site is not None and write_site == site:
        raise UsageError(f"--write-site is '{site}', which is read too. Leave it away.")
    request = DataRequest(
        as_model(model), site, write_site, data, context, pick_device(device), _model_dtype(dtype)
    )
    check_settings(settings, arch)
    method = choose_method(arch, settings, transcoding=request.transcoding)
    options = {"d_sae": d_sae, "k": k, "tokens": tokens, "seed": seed, "lr": lr}
    recipe = choose_recipe({**options, "batch_size": batch_size}, settings)
    _check_snapshots(snapshots)
    if snapshots and isinstance(method, Fit):
        raise UsageError(
            f"'{arch}' is fitted at once and has no snapshots. Leave --snapshots away."
        )
    if out is not None:
        check_out(Path(out))
    with lent(model):
        training_data = open_training_data(request, recipe)
        if out is not None:
            check_room(
                Path(out), training_data.d_in, training_data.d_out, d_sae, 1 + len(snapshots)
            )
        trained = train(
            training_data.source,
            method,
            training_data.recipe,
            device=request.device,
            watch=progress or (lambda _: None),
            snapshots=tuple(sorted(snapshots)),
        )
    _warn_of_pruning(trained, k)
    trained = _with_origins(trained, arch, settings, training_data)
    if out is not None:
        write_folder(Path(out), trained.sae, trained.snapshots)
    return trained


def _warn_of_pruning(trained: TrainedSAE, k: int) -> None:
    """Warn if L0 was still above the target at the end, so that biases had to lower it."""
    if trained.log and trained.log[-1].l0 > L0_EXCESS * k:
        logger.warning(
            "L0 was still %.0f when training ended, and was brought down to %d by shifting all "
            "latents alike, which costs FVU. Train on more activations (--tokens), or with a "
            "higher --lr.",
            trained.log[-1].l0,
            k,
        )


def _with_origins(
    trained: TrainedSAE, arch: str, settings: TrainingSettings, training_data: TrainingData
) -> TrainedSAE:
    """Add origins that record where each SAE was trained and how."""
    final, recipe = trained.final, training_data.recipe
    metadata = {
        "method": arch,
        "settings": {name: dict(values) for name, values in settings.items()},
        "recipe": asdict(recipe),
        "data": training_data.record,
        "saeval": __version__,
        "torch": torch.__version__,
    }
    figures = {"fvu": final.fvu, "l0": final.l0, "dead": final.dead}
    held_out = {**figures, "activations": recipe.held_out}
    sae = _with_origin(
        trained.sae, training_data, {**metadata, "tokens": final.tokens, "held_out": held_out}
    )
    snapshots = tuple(
        (tokens, _with_origin(snapshot, training_data, {**metadata, "tokens": tokens}))
        for tokens, snapshot in trained.snapshots
    )
    return replace(trained, sae=sae, snapshots=snapshots)


def _with_origin(sae: Any, training_data: TrainingData, details: dict[str, Any]) -> Any:
    """Add an origin. Metadata of the method itself overrides these details: a null stays a null."""
    origin = replace(
        training_data.origin,
        architecture=sae.origin.architecture,
        metadata={**details, **sae.origin.metadata},
    )
    return replace(sae, origin=origin)


def _check_snapshots(shares: Sequence[float]) -> None:
    invalid = [share for share in shares if not 0 < share < 1]
    if invalid:
        raise UsageError(
            f"--snapshots are shares of the training, above 0 and below 1, not {invalid[0]}. The "
            "end is kept anyway."
        )


def _model_dtype(name: str | None) -> torch.dtype:
    if name is not None and name not in DTYPES:
        raise UsageError(f"--dtype '{name}' is none of {', '.join(DTYPES)}.")
    return getattr(torch, name or "float32")
