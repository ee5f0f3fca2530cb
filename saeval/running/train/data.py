"""What an SAE is trained on: texts through a model, the lab's own rows, or stored arrays."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saeval.activations import ModelSource, Store, TokenRows, array_source, model_source
from saeval.errors import DataError, ModelError, UsageError
from saeval.lab import part_of
from saeval.lab.synthetic import SITE, synthetic_world, world_model, world_name
from saeval.models import LoadedModel, load_model
from saeval.models.places import local_folder
from saeval.running.user_data import UserData, read_data
from saeval.sae import Origin
from saeval.sae.site import joined
from saeval.training import Recipe, Source
from saeval.training.site_stream import SiteStream
from saeval.training.texts import chunks, read_texts

CONTEXT = 128
"""Tokens a row, BOS included, where none are asked for and the model takes as many."""
CHARACTERS = 2**18
"""Text tokenized at a time."""
LEAST_BATCHES = 2
"""Data must fill so many batches, besides what is held out."""
LAB_SEED = 9
"""Of the lab's rows; its own models and SAEs read others."""
LAB_ROWS = 512
"""Of them made at a time."""

Chunks = Callable[[], Iterator[TokenRows]]
"""Rows from the first on, some at a time."""


@dataclass(frozen=True)
class Ask:
    """What the user says of model and data."""

    model: str | LoadedModel | None = None
    site: str | None = None
    write_site: str | None = None
    data: Any = None
    """File or list of texts; or file or array of activations, a pair of them for a transcoder."""
    context: int | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float32

    @property
    def transcoding(self) -> bool:
        """Whether another site is written than is read."""
        return self.write_site is not None or isinstance(self.data, tuple)


@dataclass(frozen=True)
class Material:
    """Activations ready to be streamed, and what an SAE's origin says of them."""

    source: Source
    d_in: int
    d_out: int
    recipe: Recipe
    """As asked, with less held out where there is little."""
    origin: Origin
    record: dict[str, Any] = field(default_factory=dict)
    """What was read, for the metadata."""


def open_material(ask: Ask, recipe: Recipe) -> Material:
    """Find model, site and data, and see that these suffice; nothing else is computed.

    Raises:
        UsageError: if there is no data, or model, site and data do not go together.
        ModelError: if the model cannot be loaded.
        DataError: if the data cannot be read, or is too little.
    """
    if isinstance(ask.data, tuple):
        return _arrays(ask, ask.data, recipe)
    data = _given(ask.data)
    if isinstance(data, UserData) and data.array is not None:
        return _arrays(ask, (data.array,), recipe)
    if ask.model is None:
        raise UsageError(
            "There is nothing to train on. Give --model and --site with --data of texts, or --data "
            "of activations (.npy, .safetensors, .parquet)."
        )
    world = world_name(ask.model) if isinstance(ask.model, str) else None
    return _world(ask, world, recipe) if world else _model(ask, data, recipe)


def _given(data: Any) -> UserData | Sequence[str] | None:
    """Files as `saeval run --data` takes them; texts in memory as they are.

    Raises:
        UsageError: if a file is missing or of no known kind.
        DataError: if it is no data at all.
    """
    if isinstance(data, Sequence) and not isinstance(data, str):
        if not data or not all(isinstance(text, str) and text.strip() for text in data):
            raise DataError("The list of texts is empty, or not all of it is text.")
        return data
    return None if data is None else read_data(data, Path())


def _arrays(ask: Ask, arrays: tuple[Any, ...], recipe: Recipe) -> Material:
    """Stored activations."""
    if ask.model is not None or ask.site is not None or ask.write_site is not None:
        raise UsageError(
            "Stored activations take the place of a model: leave --model, --site and --write-site "
            "away, or give texts as --data."
        )
    _check_no_context(ask)
    if len(arrays) > 2:
        raise UsageError(f"{len(arrays)} arrays are too many: one, or what is read and written.")
    found = array_source(*[Path(one) if isinstance(one, str) else one for one in arrays])
    counted = slice(None) if found.mask.all() else found.mask.ravel()
    x = found.x[counted]
    y = x if found.y is found.x else found.y[counted]
    rows = len(x)
    held_out = min(recipe.held_out, rows // 10)
    _check_enough(rows - held_out, f"'{found.name}' holds {rows:,} activations", recipe)
    recipe = replace(recipe, held_out=max(1, held_out))
    record = {"name": found.name, "rows": rows}
    widths = found.widths
    return Material((x, y), widths.d_in, widths.d_out, recipe, Origin(), record)


def _world(ask: Ask, world: str, recipe: Recipe) -> Material:
    """A synthetic world, whose activations never end."""
    if ask.data is not None or ask.write_site or ask.site not in (None, SITE):
        raise UsageError(
            f"A synthetic world makes its own activations, at one site. Leave --data away, and "
            f"give no other site than '{SITE}'."
        )
    _check_no_context(ask)
    made = synthetic_world(world)
    origin = Origin(model=world_model(world), read_site=SITE)
    stream = made.stream(seed=LAB_SEED)
    return Material(stream, made.spec.d, made.spec.d, recipe, origin, {"name": world_model(world)})


def _model(ask: Ask, texts: Any, recipe: Recipe) -> Material:
    """A site of a model, on texts or on what the lab makes for it."""
    part = part_of(ask.model.name if isinstance(ask.model, LoadedModel) else str(ask.model))
    if texts is None and part is None:
        raise UsageError(
            "There is no text to train on. Give --data, a file of texts (.txt, .jsonl, .csv, "
            ".parquet)."
        )
    if ask.site is None:
        raise UsageError("There is no site to train at. Give --site, such as layers.2.")
    source = _opened(ask, ask.site)
    if ask.write_site is not None and source.sites.write == source.sites.read:
        raise UsageError(
            f"--write-site '{ask.write_site}' is the site that is read. Leave it away."
        )
    context = _context(ask.context, source)
    name, rows = _named_rows(texts, part, source, context)
    stream = SiteStream(source, rows)
    counted = stream.count_tokens(10 * recipe.held_out)
    held_out = min(recipe.held_out, counted // 10)
    _check_enough(counted - held_out, f"'{name}' holds {counted:,} tokens", recipe)
    first = next(rows())
    origin = Origin(
        model=_model_name(part, source.model),
        read_site=joined(source.sites.read),
        write_site=joined(source.sites.write) if source.sites.write != source.sites.read else None,
        prepend_bos=bool((first.ids[:, 0] == source.model.bos_id).all()),
        context_size=context,
    )
    recipe = replace(recipe, held_out=max(1, held_out))
    return Material(stream, source.widths.d_in, source.widths.d_out, recipe, origin, {"name": name})


def _opened(ask: Ask, site: str) -> ModelSource:
    """The source, which keeps nothing on disk: a stream is read once or a few times.

    Raises:
        UsageError: if the model has no such site.
    """
    model = (
        ask.model
        if isinstance(ask.model, LoadedModel)
        else load_model(str(ask.model), device=ask.device, dtype=ask.dtype)
    )
    try:
        return model_source(model, site, write_site=ask.write_site, store=Store(writable=False))
    except ModelError as error:
        raise UsageError(str(error)) from error


def _context(asked: int | None, source: ModelSource) -> int:
    """Tokens a row.

    Raises:
        UsageError: if the model cannot take as many as are asked for.
    """
    context = min(CONTEXT, source.context) if asked is None else asked
    if not 2 <= context <= source.context:
        raise UsageError(
            f"--context {context} does not suit {source.name}: it takes 2 to {source.context} "
            "tokens a row."
        )
    return context


def _named_rows(
    texts: UserData | Sequence[str] | None, part: str | None, source: ModelSource, context: int
) -> tuple[str, Chunks]:
    """Rows of the texts or, without any, those that part of the lab makes; with a name for them.

    Raises:
        UsageError: if that part of the lab makes none.
    """
    if texts is not None:
        name = Path(str(texts.texts)).name if isinstance(texts, UserData) else "texts in memory"
        return name, partial(_text_rows, source, texts, name, context)
    makers = {"world": _world_rows, "othello": _othello_rows}
    if part not in makers:
        raise UsageError(f"lab/{part} makes no data of its own. Give --data.")
    return f"lab/{part}", partial(makers[part], source, context)


def _text_rows(
    source: ModelSource, texts: UserData | Sequence[str], name: str, context: int
) -> Iterator[TokenRows]:
    """Packed rows of texts, those of `CHARACTERS` at a time."""
    found = read_texts(Path(str(texts.texts))) if isinstance(texts, UserData) else texts
    for part in chunks(found, CHARACTERS):
        yield source.tokenize(part, name=name, context=context, overflow="pack")


def _world_rows(source: ModelSource, context: int) -> Iterator[TokenRows]:
    """Rows of the split "train", without end."""
    from saeval.lab.world import World
    from saeval.lab.world.stream import token_rows

    world = World()
    for step in count():
        ids = token_rows(world, step, LAB_ROWS, seed=LAB_SEED, length=context, split="train")
        yield source.token_rows(ids.astype(np.int32), name="lab/world")


def _othello_rows(source: ModelSource, context: int) -> Iterator[TokenRows]:
    """Games of the split "train", without end."""
    from saeval.lab.othello.games import stream
    from saeval.lab.othello.model import TRAIN

    for games in stream(LAB_ROWS, 1_000 + LAB_SEED, TRAIN):
        yield source.token_rows(games.tokens[:, :context].astype(np.int32), name="lab/othello")


def _model_name(part: str | None, model: LoadedModel) -> str:
    """How the origin names the model, so that `saeval run` finds it from anywhere."""
    if part is not None:
        return f"lab://{part}/model"
    folder = local_folder(model.name)
    if folder is not None:
        return str(folder.absolute())
    name = model.name.partition("@")[0]
    return f"{name}@{model.revision}" if model.revision else name


def _check_no_context(ask: Ask) -> None:
    """No context is asked for where there are no rows of tokens.

    Raises:
        UsageError: if one is.
    """
    if ask.context is not None:
        raise UsageError(
            f"--context {ask.context} has no meaning for activations that come without tokens. "
            "Leave it away."
        )


def _check_enough(rows: int, what: str, recipe: Recipe) -> None:
    """There is enough besides what is held out.

    Raises:
        DataError: if not.
    """
    least = LEAST_BATCHES * recipe.batch_size
    if rows < least:
        raise DataError(
            f"{what}, too few to train on: besides the tenth that is held out, at least {least:,} "
            f"are needed, {LEAST_BATCHES} batches of {recipe.batch_size:,}. Give more, or a "
            "smaller --batch-size."
        )
