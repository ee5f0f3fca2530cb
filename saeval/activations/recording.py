"""Activations of a model for token rows: recorded on disk in one pass, read in batches."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval.activations import stored
from saeval.activations.memory import hand_back
from saeval.activations.rows import TokenRows
from saeval.activations.store import Store, digest
from saeval.activations.stored import Arrays, ArrayShape
from saeval.errors import ModelError
from saeval.models import LoadedModel
from saeval.sae import Site

TRIM_EVERY = 4
"""Passes of the model after which freed memory is returned. Each time costs some 10 ms; without it
a small model leaves 100 MB unused."""
_OPEN_SETS = 16
"""Recordings whose files stay open; others are opened again when needed."""


@dataclass(frozen=True, eq=False)
class Recorder:
    """Recordings of one model. Padding is not stored, and not run where that is possible."""

    model: LoadedModel
    store: Store
    batch_tokens: int
    _open: "OrderedDict[str, Arrays | None]" = field(default_factory=OrderedDict, repr=False)

    @property
    def key(self) -> dict[str, Any]:
        """Everything that determines the tensors, except rows and sites."""
        # Activations depend on the library's code as much as on the weights.
        from transformers import __version__

        return {
            "model": self.model.identity,
            "dtype": str(self.model.dtype),
            "transformers": __version__,
        }

    def activations(
        self, rows: TokenRows, group: slice, sites: Sequence[Site]
    ) -> dict[Site, Float[Tensor, "texts seq d"]]:
        """Activations of some rows at the sites, 0 at padding."""
        arrays = self._open_recording(rows, sites)
        if arrays is None:
            return self._compute(rows, group, sites)
        return {site: self._read_rows(rows, group, arrays, i) for i, site in enumerate(sites)}

    def at(
        self,
        rows: TokenRows,
        positions: Int[np.ndarray, " texts"],
        sites: Sequence[Site],
        recorded: Sequence[Site],
    ) -> dict[Site, Float[Tensor, "texts d"]]:
        """Activations at some sites, at one position of each row.

        If the rows are not recorded yet, only these positions are recorded.

        Args:
            rows: The rows, at least one.
            positions: One of each row, none of them padding.
            sites: The sites to return.
            recorded: The sites, these among them, that are recorded together when whole rows are
                read.
        """
        if self.store.holds(self._key_of(rows, recorded)):
            arrays = self._open_recording(rows, recorded)
            if arrays is not None:
                index = torch.from_numpy(rows.offsets[:-1] + positions)
                return {site: arrays.gather(recorded.index(site), index) for site in sites}
        return self._single_positions(rows, positions, sites)

    def _single_positions(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"], sites: Sequence[Site]
    ) -> dict[Site, Float[Tensor, "texts d"]]:
        """Activations at one position of each row, recorded without the other positions."""
        places = torch.from_numpy(positions)
        key = {
            **self.key,
            "kind": "activations at positions",
            "rows": rows.digest,
            "positions": hashlib.sha256(positions.astype(np.int64).tobytes()).hexdigest(),
            "sites": [str(site) for site in sites],
        }
        shapes = [ArrayShape(len(rows), self.model.width(site), self.model.dtype) for site in sites]

        def write(arrays: Arrays) -> None:
            for index in self._groups(rows):
                activations = self._run_model(rows.take(index), sites)
                for number, site in enumerate(sites):
                    vectors = activations[site][torch.arange(len(index)), places[index]].cpu()
                    for row, vector in zip(index, vectors, strict=True):
                        arrays.write(number, int(row), vector[None])

        arrays = self._open_arrays(key, shapes, write)
        if arrays is not None:
            return {site: arrays.read(i, 0, len(rows)) for i, site in enumerate(sites)}
        parts: dict[Site, list[Tensor]] = {site: [] for site in sites}
        for group in rows.groups(self.batch_tokens):
            for site, x in self._compute(rows, group, sites).items():
                parts[site].append(x[torch.arange(len(x)), places[group]].cpu())
        return {site: torch.cat(vectors) for site, vectors in parts.items()}

    def finals(
        self, rows: TokenRows, compute: Callable[[slice], Float[Tensor, "texts seq d_model"]]
    ) -> Iterator[Float[Tensor, "texts seq d_model"]]:
        """Final hidden states of each group of rows, computed once."""
        groups = rows.groups(self.batch_tokens)

        def write(arrays: Arrays) -> None:
            for group in groups:
                attention = torch.from_numpy(rows.attention[group])
                arrays.write(0, int(rows.offsets[group.start]), compute(group).cpu()[attention])

        key = {**self.key, "kind": "final hidden", "rows": rows.digest}
        shape = ArrayShape(int(rows.offsets[-1]), self.model.final_width, self.model.dtype)
        arrays = self._open_arrays(key, [shape], write)
        for group in groups:
            yield compute(group) if arrays is None else self._read_rows(rows, group, arrays, 0)

    def _key_of(self, rows: TokenRows, sites: Sequence[Site]) -> dict[str, Any]:
        names = [str(site) for site in sites]
        return {**self.key, "kind": "activations", "rows": rows.digest, "sites": names}

    def _open_recording(self, rows: TokenRows, sites: Sequence[Site]) -> Arrays | None:
        total = int(rows.offsets[-1])
        shapes = [ArrayShape(total, self.model.width(site), self.model.dtype) for site in sites]
        key = self._key_of(rows, sites)
        return self._open_arrays(
            key, shapes, lambda arrays: self._write_recording(rows, sites, arrays)
        )

    def _open_arrays(
        self, key: dict[str, Any], shapes: list[ArrayShape], write: Callable[[Arrays], None]
    ) -> Arrays | None:
        """Arrays of a key, written first if absent; None if they do not fit the store."""
        name = digest(key)
        if name not in self._open:

            def make(folder: Path) -> None:
                write(stored.create(folder, shapes))
                hand_back()

            size = sum(shape.bytes for shape in shapes)
            self._open[name] = self.store.get(key, make, stored.open_arrays, size)
        self._open.move_to_end(name)
        if len(self._open) > _OPEN_SETS:
            # Not closed here, since a caller may still read: files close once unused.
            self._open.popitem(last=False)
        return self._open[name]

    def _write_recording(self, rows: TokenRows, sites: Sequence[Site], arrays: Arrays) -> None:
        """Write the activations of one pass of the model."""
        lengths = rows.attention.sum(1)
        for index in self._groups(rows):
            activations = self._run_model(rows.take(index), sites)
            for i, site in enumerate(sites):
                for row, vectors, length in zip(
                    index, activations[site], lengths[index], strict=True
                ):
                    arrays.write(i, int(rows.offsets[row]), vectors[:length])

    def _groups(self, rows: TokenRows) -> Iterator[Int[np.ndarray, " some"]]:
        """Rows of similar length together, so that little is padding.

        The short ones come first, since later groups then use their memory again.
        """
        lengths = rows.attention.sum(1)
        order = np.argsort(-lengths, kind="stable")
        groups, start = [], 0
        while start < len(order):
            stop = start + max(1, self.batch_tokens // max(1, int(lengths[order[start]])))
            groups.append(order[start:stop])
            start = stop
        for number, index in enumerate(reversed(groups)):
            yield index
            if number % TRIM_EVERY == 0:
                hand_back()

    def _compute(self, rows: TokenRows, group: slice, sites: Sequence[Site]) -> dict[Site, Tensor]:
        """Activations of some rows straight from the model."""
        padding = torch.from_numpy(~rows.attention[group])[..., None].to(self.model.device)
        activations = self._run_model(rows.take(group), sites)
        return {
            site: pad_to_rows(x, rows).masked_fill(padding, 0) for site, x in activations.items()
        }

    def _run_model(self, rows: TokenRows, sites: Sequence[Site]) -> dict[Site, Tensor]:
        ids, attention = inputs(rows, slice(0, len(rows)))
        activations = self.model.run_to(sites, ids, attention)
        for site, x in activations.items():
            if not x.isfinite().all() and not x[attention.to(x.device)].isfinite().all():
                raise ModelError(
                    f"{self.model.name} gives NaN or infinity at '{site}' for a text of "
                    f"'{rows.name}', computing in {self.model.dtype}. Use --dtype float32, or "
                    "check the model's weights."
                )
        return activations

    def _read_rows(self, rows: TokenRows, group: slice, arrays: Arrays, number: int) -> Tensor:
        """Stored vectors of some rows [texts, seq, d], 0 at padding."""
        start, stop = rows.offsets[group.start], rows.offsets[group.stop]
        vectors = arrays.read(number, int(start), int(stop)).to(self.model.device)
        attention = torch.from_numpy(rows.attention[group]).to(self.model.device)
        if len(vectors) == attention.numel():
            return vectors.reshape(*attention.shape, -1)
        padded = vectors.new_zeros(*attention.shape, vectors.shape[1])
        padded[attention] = vectors
        return padded


def inputs(
    rows: TokenRows, group: slice
) -> tuple[Int[Tensor, "texts longest"], Bool[Tensor, "texts longest"]]:
    """Ids and attention of some rows, cut to the longest of them."""
    seq = int(rows.attention[group].sum(1).max())
    ids = torch.from_numpy(rows.ids[group, :seq].astype(np.int64))
    return ids, torch.from_numpy(rows.attention[group, :seq].copy())


def pad_to_rows(
    x: Float[Tensor, "texts longest d"], rows: TokenRows
) -> Float[Tensor, "texts seq d"]:
    """Pad with zeros on the right, up to the width of the rows."""
    return torch.nn.functional.pad(x, (0, 0, 0, rows.ids.shape[1] - x.shape[1]))
