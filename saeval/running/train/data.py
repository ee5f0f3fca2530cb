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
from saeval.errors import DataError, ModelError, TooFewTokens, UsageError
from saeval.lab import DOCUMENT_PARTS, part_of
from saeval.lab.synthetic import SITE, synthetic_world, world_model, world_name
from saeval.models import LoadedModel, load_model
from saeval.models.places import local_folder
from saeval.running.memory_tables import (
    TEXT,
    holds_texts,
    rows_in_memory,
    vectors_in_memory,
)
from saeval.running.user_data import UserData, read_data
from saeval.sae import Origin
from saeval.sae.site import joined
from saeval.training import Recipe, Source
from saeval.training.site_stream import SiteStream
from saeval.training.texts import chunks, read_texts

CONTEXT = 128
"""Default number of tokens per row, BOS included, if the model takes as many."""
CHUNK_CHARACTERS = 2**18
"""Characters of text that are tokenized at a time."""
ROW_CHARACTERS = 32
"""Characters of text a token of a row, so that little of a chunk is left over behind its rows."""
MIN_BATCHES = 2
"""Number of batches that the data must fill, besides what is held out."""
LAB_SEED = 9
"""Seed of the lab's rows, which are other rows than its own models and SAEs were trained on."""
LAB_CHUNK_ROWS = 512
"""Number of the lab's rows that are made at a time."""

RowChunks = Callable[[], Iterator[TokenRows]]
"""Starts an iteration over all rows from the first on, some rows at a time."""


@dataclass(frozen=True)
class DataRequest:
    """The user's choice of model, sites and data, and how the model is run."""

    model: str | LoadedModel | None = None
    site: str | None = None
    write_site: str | None = None
    data: Any = None
    """File or list of texts; or file or array of activations, two of them for a transcoder."""
    context: int | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float32

    @property
    def transcoding(self) -> bool:
        """Whether the SAE writes at another site than it reads."""
        return self.write_site is not None or isinstance(self.data, tuple)


@dataclass(frozen=True)
class TrainingData:
    """Activations ready to be streamed, and their description for an SAE's origin."""

    source: Source
    d_in: int
    d_out: int
    recipe: Recipe
    """The user's recipe, with less held out if there is little data."""
    origin: Origin
    record: dict[str, Any] = field(default_factory=dict)
    """Description of the data for the SAE's metadata."""


def open_training_data(request: DataRequest, recipe: Recipe) -> TrainingData:
    """Find model, site and data, and check that they suffice; nothing else is computed.

    Raises:
        UsageError: if there is no data, or model, site and data do not go together.
        ModelError: if the model cannot be loaded.
        DataError: if the data cannot be read, or is too little.
    """
    if isinstance(request.data, tuple):
        return _array_data(request, request.data, recipe)
    data = _read_user_data(request.data)
    if isinstance(data, UserData) and data.array is not None:
        return _array_data(request, (data.array,), recipe)
    if request.model is None:
        raise UsageError(
            "There is nothing to train on. Give --model and --site with --data of texts, or --data "
            "of activations (.npy, .safetensors, .parquet)."
        )
    world = world_name(request.model) if isinstance(request.model, str) else None
    return _world_data(request, world, recipe) if world else _model_data(request, data, recipe)


def _read_user_data(data: Any) -> UserData | Sequence[str] | None:
    """Read files that `saeval run --data` takes; a list of texts is returned as it is.

    Raises:
        UsageError: if a file is missing or of an unknown kind.
        DataError: if there are no texts in it.
    """
    rows = None if isinstance(data, str | Path) else rows_in_memory(data)
    if rows is not None and not holds_texts(rows):
        return UserData(array=vectors_in_memory(data, rows))
    if rows is not None:
        data = [row.get(TEXT) for row in rows]
    if isinstance(data, Sequence) and not isinstance(data, str):
        if not data or not all(isinstance(text, str) and text.strip() for text in data):
            raise DataError("The list of texts is empty, or not all of it is text.")
        return data
    return None if data is None else read_data(data, Path())


def _array_data(request: DataRequest, arrays: tuple[Any, ...], recipe: Recipe) -> TrainingData:
    """Training data of stored activations: one array, or those that are read and written."""
    if request.model is not None or request.site is not None or request.write_site is not None:
        raise UsageError(
            "Stored activations take the place of a model: leave --model, --site and --write-site "
            "away, or give texts as --data."
        )
    _check_no_context(request)
    if len(arrays) > 2:
        raise UsageError(f"{len(arrays)} arrays are too many: one, or what is read and written.")
    source = array_source(*[Path(array) if isinstance(array, str) else array for array in arrays])
    mask = slice(None) if source.mask.all() else source.mask.ravel()
    x = source.x[mask]
    y = x if source.y is source.x else source.y[mask]
    rows = len(x)
    held_out = min(recipe.held_out, rows // 10)
    _check_amount(rows - held_out, f"'{source.name}' holds {rows:,} activations", recipe)
    recipe = replace(recipe, held_out=max(1, held_out))
    record = {"name": source.name, "rows": rows}
    widths = source.widths
    return TrainingData((x, y), widths.d_in, widths.d_out, recipe, Origin(), record)


def _world_data(request: DataRequest, world: str, recipe: Recipe) -> TrainingData:
    """Training data of a synthetic world, whose activations never end."""
    if request.data is not None or request.write_site or request.site not in (None, SITE):
        raise UsageError(
            f"A synthetic world makes its own activations, at one site. Leave --data away, and "
            f"give no other site than '{SITE}'."
        )
    _check_no_context(request)
    synthetic = synthetic_world(world)
    origin = Origin(model=world_model(world), read_site=SITE)
    stream = synthetic.stream(seed=LAB_SEED)
    return TrainingData(
        stream, synthetic.spec.d, synthetic.spec.d, recipe, origin, {"name": world_model(world)}
    )


def _model_data(request: DataRequest, texts: Any, recipe: Recipe) -> TrainingData:
    """Training data of a model's site, on texts or on rows that the lab makes for its models."""
    part = part_of(
        request.model.name if isinstance(request.model, LoadedModel) else str(request.model)
    )
    if texts is None and part is None:
        raise UsageError(
            "There is no text to train on. Give --data, a file of texts (.txt, .jsonl, .csv, "
            ".parquet)."
        )
    if request.site is None:
        raise UsageError("There is no site to train at. Give --site, such as layers.2.")
    source = _open_source(request, request.site)
    if request.write_site is not None and source.sites.write == source.sites.read:
        raise UsageError(
            f"--write-site '{request.write_site}' is the site that is read. Leave it away."
        )
    context = _row_length(request.context, source)
    name, rows = _rows_with_name(texts, part, source, context)
    stream = SiteStream(source, rows)
    # No more tokens are counted than decide whether the full number can be held out.
    tokens = stream.count_tokens(10 * recipe.held_out)
    held_out = min(recipe.held_out, tokens // 10)
    _check_amount(tokens - held_out, f"'{name}' holds {tokens:,} tokens", recipe)
    first = next(rows())
    origin = Origin(
        model=_model_name(part, source.model),
        read_site=joined(source.sites.read),
        write_site=joined(source.sites.write) if source.sites.write != source.sites.read else None,
        prepend_bos=bool((first.ids[:, 0] == source.model.bos_id).all()),
        context_size=context,
    )
    recipe = replace(recipe, held_out=max(1, held_out))
    return TrainingData(
        stream, source.widths.d_in, source.widths.d_out, recipe, origin, {"name": name}
    )


def _open_source(request: DataRequest, site: str) -> ModelSource:
    """The source, without a store on disk, since a stream is read only once or a few times.

    Raises:
        UsageError: if the model has no such site.
    """
    model = (
        request.model
        if isinstance(request.model, LoadedModel)
        else load_model(str(request.model), device=request.device, dtype=request.dtype)
    )
    try:
        return model_source(model, site, write_site=request.write_site, store=Store(writable=False))
    except ModelError as error:
        raise UsageError(str(error)) from error


def _row_length(requested: int | None, source: ModelSource) -> int:
    """Number of tokens per row.

    Raises:
        UsageError: if the model cannot take as many as the user requests.
    """
    length = min(CONTEXT, source.context) if requested is None else requested
    if not 2 <= length <= source.context:
        raise UsageError(
            f"--context {length} does not suit {source.name}: it takes 2 to {source.context} "
            "tokens a row."
        )
    return length


def _rows_with_name(
    texts: UserData | Sequence[str] | None, part: str | None, source: ModelSource, context: int
) -> tuple[str, RowChunks]:
    """Rows of the texts, or without texts those that a part of the lab makes; and their name.

    Raises:
        UsageError: if that part of the lab makes no rows.
    """
    if texts is not None:
        name = Path(str(texts.texts)).name if isinstance(texts, UserData) else "texts in memory"
        return name, partial(_text_rows, source, texts, name, context)
    makers = {
        **{part: partial(_document_rows, part) for part in DOCUMENT_PARTS},
        "othello": _othello_rows,
    }
    if part not in makers:
        raise UsageError(f"lab/{part} makes no data of its own. Give --data.")
    return f"lab/{part}", partial(makers[part], source, context)


def _text_rows(
    source: ModelSource, texts: UserData | Sequence[str], name: str, context: int
) -> Iterator[TokenRows]:
    """Packed rows of texts, from `CHUNK_CHARACTERS` of text at a time, or as many as fill a row.

    Raises:
        DataError: if all texts together do not fill one row.
    """
    documents = read_texts(Path(str(texts.texts))) if isinstance(texts, UserData) else texts
    is_filled, rest, too_few = False, [], None
    for part in chunks(documents, max(CHUNK_CHARACTERS, ROW_CHARACTERS * context)):
        try:
            rows = source.tokenize([*rest, *part], name=name, context=context, overflow="pack")
        except TooFewTokens as error:
            rest, too_few = [*rest, *part], error
        else:
            yield rows
            is_filled, rest = True, []
    # What is left over at the end is dropped, as an incomplete last row always is.
    if too_few is not None and not is_filled:
        raise too_few


def _document_rows(part: str, source: ModelSource, context: int) -> Iterator[TokenRows]:
    """Rows of a part's split "train", without end."""
    from saeval.lab.text_worlds import text_world
    from saeval.lab.world.stream import token_rows

    world = text_world(part)
    for step in count():
        ids = token_rows(world, step, LAB_CHUNK_ROWS, seed=LAB_SEED, length=context, split="train")
        yield source.token_rows(ids.astype(np.int32), name=f"lab/{part}")


def _othello_rows(source: ModelSource, context: int) -> Iterator[TokenRows]:
    """Games of the split "train", without end."""
    from saeval.lab.othello.games import stream
    from saeval.lab.othello.model import TRAIN

    for games in stream(LAB_CHUNK_ROWS, 1_000 + LAB_SEED, TRAIN):
        yield source.token_rows(games.tokens[:, :context].astype(np.int32), name="lab/othello")


def _model_name(part: str | None, model: LoadedModel) -> str:
    """The model's name for the origin, with which `saeval run` finds it from any folder."""
    if part is not None:
        return f"lab://{part}/model"
    folder = local_folder(model.name)
    if folder is not None:
        return str(folder.absolute())
    name = model.name.partition("@")[0]
    return f"{name}@{model.revision}" if model.revision else name


def _check_no_context(request: DataRequest) -> None:
    """Check that no context is requested for data without rows of tokens.

    Raises:
        UsageError: if one is requested.
    """
    if request.context is not None:
        raise UsageError(
            f"--context {request.context} has no meaning for activations that come without tokens. "
            "Leave it away."
        )


def _check_amount(rows: int, data: str, recipe: Recipe) -> None:
    """Check that there is enough data besides what is held out.

    Raises:
        DataError: if there is too little.
    """
    minimum = MIN_BATCHES * recipe.batch_size
    if rows < minimum:
        raise DataError(
            f"{data}, too few to train on: besides the tenth that is held out, at least "
            f"{minimum:,} are needed, {MIN_BATCHES} batches of {recipe.batch_size:,}. Give more, "
            "or a smaller --batch-size."
        )
