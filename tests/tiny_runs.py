"""What runs in tests are made of: small SAEs on disk, tasks of a few lines, a task on the path."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from saeval.activations import ActivationSource, TokenRows, read_codes
from saeval.errors import NotApplicable
from saeval.evidence import Evidence, units
from saeval.sae import SAE, Origin, decode_codes
from saeval.sae.architectures.topk import TopK
from saeval.sae.loaders import saeval_format
from saeval.task import Member, Prepared

WIDTH = 16
TEXTS = tuple(" ".join(f"w{(7 * i + j) % 60}" for j in range(8)) for i in range(12))


def topk(seed: int = 0, *, width: int = WIDTH, **origin: str | bool | None) -> TopK:
    """An untrained TopK SAE whose encoder is its decoder turned round."""
    directions = torch.randn(32, width, generator=torch.Generator().manual_seed(seed))
    directions /= directions.norm(dim=1, keepdim=True)
    return TopK(
        directions.T.contiguous(),
        torch.zeros(32),
        directions,
        torch.zeros(width),
        k=4,
        origin=Origin(loader="saeval", architecture="topk", **origin),  # type: ignore[arg-type]
    )


def sae_folder(folder: Path, seed: int = 0, *, width: int = WIDTH, **origin: str | None) -> Path:
    """A folder that holds an SAE; by default it says that it reads layer 1."""
    saeval_format.save(topk(seed, width=width, **{"read_site": "layers.1", **origin}), folder)
    return folder


def texts_file(folder: Path, texts: Sequence[str] = TEXTS) -> Path:
    """One text a line."""
    path = folder / "texts.txt"
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def _rows(source: ActivationSource, texts: Sequence[str]) -> TokenRows:
    if source.stored_rows is not None:
        return source.stored_rows
    return source.tokenize(texts, name="texts")


def _evidence(name: str, unit: str, error: np.ndarray) -> Evidence:
    return Evidence(
        metric=name,
        units=units(unit + "s", unit, {"error": error}),
        columns={"num": "error"},
        unit="squared activation",
        better="lower",
    )


@dataclass(frozen=True)
class Error:
    """Squared reconstruction error of each text. Counts how often it is asked."""

    name: ClassVar[str] = "error"
    version: ClassVar[int] = 1
    prepared: ClassVar[list[int]] = []
    scored: ClassVar[list[SAE]] = []

    texts: str | None = None
    scale: float = 1.0
    limit: int | None = None
    compat: str | None = None

    def inputs(self, model: str | None) -> None:
        """Nothing that no field names."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Token rows."""
        self.prepared.append(seed)
        texts = Path(self.texts).read_text().splitlines() if self.texts else TEXTS
        rows = _rows(source, [text for text in texts if text][: self.limit])
        return Prepared(facts={"digest": rows.digest}, rows=rows)

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence]:
        """One unit a text."""
        self.scored.append(sae)
        rows = prepared.required_rows
        error = np.zeros(len(rows))
        for batch, codes in read_codes(source, sae, rows):
            wrong = (decode_codes(sae, codes, batch.x_tokens) - batch.y_tokens).square().sum(1)
            np.add.at(error, batch.row_of_token.numpy(), wrong.numpy())
        yield _evidence("error", "text", self.scale * error)


@dataclass(frozen=True)
class Broken:
    """Raises what it is told to."""

    name: ClassVar[str] = "broken"
    version: ClassVar[int] = 1
    raises: ClassVar[BaseException | None] = None

    at: int | None = None
    """Raise only when so many SAEs were scored before; None: always."""
    scored: ClassVar[list[int]] = []

    def inputs(self, model: str | None) -> None:
        """Nothing that no field names."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Nothing."""
        return Prepared()

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterable[Evidence]:
        """One unit, or an error."""
        if self.raises is not None and self.at in (None, len(self.scored)):
            raise self.raises
        self.scored.append(seed)
        return [_evidence("fine", "run", np.ones(3))]


@dataclass(frozen=True)
class Together:
    """Mean distance between the decoders of a set."""

    name: ClassVar[str] = "together"
    version: ClassVar[int] = 1

    def inputs(self, model: str | None) -> None:
        """Nothing that no field names."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Nothing."""
        return Prepared()

    def score_group(self, members: Sequence[Member], seed: int) -> Iterable[Evidence]:
        """One unit an SAE after the first."""
        if len(members) < 2:
            raise NotApplicable("It takes two.")
        first, *others = (member.sae for member in members)
        apart = [float((sae.W_dec - first.W_dec).norm()) for sae in others]
        return [_evidence("apart", "member", np.array(apart))]


def plugin(folder: Path, name: str, source: str) -> Path:
    """A package with one task, as pip would leave it; put the folder on PYTHONPATH."""
    (folder / f"{name}_task.py").write_text(source, encoding="utf-8")
    about = folder / f"{name}_task-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-task\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[saeval.tasks]\n{name} = {name}_task:Task\n")
    return folder
