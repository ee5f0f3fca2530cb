"""A sound loader passes `check_loader`, and each of many faults is caught and named."""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from saeval.errors import LoadError, SaevalError
from saeval.sae import Origin
from saeval.sae.architectures import TopK, build
from saeval.sae.loaders.config import remaining, whole
from saeval.sae.loaders.files import read_json, read_safetensors
from saeval.sae.loaders.tensors import exactly
from saeval.testing import check_loader
from saeval.testing.other_formats import write_formats

D_IN, D_SAE = 6, 16
WEIGHTS, CONFIG = "tied.safetensors", "tied.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An SAE in a made-up format: a TopK whose decoder is its encoder, transposed."""
    draw = torch.Generator().manual_seed(0)
    tensors = {
        "dictionary": torch.randn(D_SAE, D_IN, generator=draw),
        "bias": torch.randn(D_SAE, generator=draw),
    }
    save_file(tensors, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text(json.dumps({"k": 4, "comment": "none"}))
    return tmp_path


def outputs(folder: Path) -> dict[str, np.ndarray]:
    """What the made-up library computes."""
    held = load_file(folder / WEIGHTS)
    W, b = held["dictionary"].numpy(), held["bias"].numpy()
    x = np.random.default_rng(1).normal(size=(9, D_IN)).astype(np.float32)
    pre = x @ W.T + b
    acts = np.where(pre >= np.sort(pre, axis=1)[:, [-4]], np.maximum(pre, 0), 0)
    return {"x": x, "acts": acts, "x_hat": acts @ W}


def matches(folder: Path) -> bool:
    """Whether the file is there."""
    return (folder / WEIGHTS).is_file()


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """The weights, checked."""
    path = folder / WEIGHTS
    return exactly(read_safetensors(path), path, ["dictionary", "bias"])


def k_of(folder: Path) -> int:
    """The number of latents, once the rest is understood."""
    config = read_json(folder / CONFIG)
    remaining(config, folder / CONFIG, ["k"], [])
    return whole(config, "k", folder / CONFIG)


def topk(tensors: dict[str, Tensor], k: int, origin: Origin | None = None) -> Any:
    """The SAE."""
    W = tensors["dictionary"]
    return build(
        TopK,
        W_enc=W.T.contiguous(),
        b_enc=tensors["bias"],
        W_dec=W,
        b_dec=torch.zeros(W.shape[1]),
        k=k,
        subtract_b_dec=True,
        origin=origin or Origin(loader="tied", architecture="topk"),
    )


def load(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """The SAE in a folder."""
    return topk(tensors_of(folder), k_of(folder))


def module(**changed: Any) -> ModuleType:
    """The sound loader with something else in its place."""
    made = ModuleType("tied_loader")
    parts = {"FORMAT": f"{WEIGHTS} (made up)", "matches": matches, "load": load, **changed}
    for name, value in parts.items():
        if value is not None:
            setattr(made, name, value)
    return made


@pytest.mark.parametrize("place", range(13))
def test_every_loader_passes(place: int, tmp_path: Path) -> None:
    """Each loader of saeval holds to the contract, for each variant of its format."""
    written = [(name, one) for name, some in write_formats(tmp_path).items() for one in some]
    assert len(written) == 13
    check_loader(*written[place])


def test_a_sound_loader_passes(folder: Path) -> None:
    """With what the library gave, and without; the folder stays as it was."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    check_loader(module(), folder)
    check_loader(module(), folder, outputs=outputs(folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_names_of_installed_loaders_will_do(folder: Path) -> None:
    """A name is looked up among what is installed, and a wrong one offers the nearest."""
    with pytest.raises(SaevalError, match=r"No loader is called 'saelens'.*sae_lens"):
        check_loader("saelens", folder)


@dataclass(frozen=True, eq=False)
class Own:
    """Arithmetic of a loader's own, with one fault or another."""

    inner: Any
    fault: str
    origin: Origin = field(default_factory=lambda: Origin(loader="tied"))

    @property
    def d_in(self) -> int:
        """Width."""
        return self.inner.d_in

    @property
    def d_sae(self) -> int:
        """Latents."""
        return self.inner.d_sae

    @property
    def W_dec(self) -> Tensor:  # noqa: N802, the papers' name
        """Directions."""
        return self.inner.W_dec.double() if self.fault == "double" else self.inner.W_dec

    def encode(self, x: Tensor) -> Tensor:
        """Acts."""
        acts = self.inner.encode(x.float())
        if self.fault == "transposed":
            return acts.T
        if self.fault == "nan":
            return acts * torch.nan
        if self.fault == "fixed":
            return acts.float()
        return acts - acts.mean(0) if self.fault == "beside" else acts

    def decode(self, acts: Tensor, x: Tensor) -> Tensor:
        """Reconstruction."""
        return self.inner.decode(acts.float(), x)


def own(fault: str) -> Callable[..., Any]:
    """A loader of SAEs with a fault."""
    return lambda folder, entry=None: Own(load(folder, entry), fault)


def remembering(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """An SAE that scales what it decodes by what it encoded last."""
    inner, last = load(folder), {}

    class Remembers(Own):
        def encode(self, x: Tensor) -> Tensor:
            last["scale"] = x.norm()
            return self.inner.encode(x)

        def decode(self, acts: Tensor, x: Tensor) -> Tensor:
            return self.inner.decode(acts, x) * last["scale"]

    return Remembers(inner, "")


def disagreeing(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """An SAE whose sparse form is of another number of latents."""
    inner = load(folder)

    class Disagrees(Own):
        def encode_codes(self, x: Tensor) -> Any:
            return topk(tensors_of(folder), 2).encode_codes(x)

    return Disagrees(inner, "")


def unpickling(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """Tries a pickle first."""
    try:
        return pickle.loads((folder / WEIGHTS).read_bytes())
    except Exception:  # noqa: BLE001  it is the fault
        return load(folder)


def letting_through(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """Reading errors as they come."""
    return topk(load_file(folder / WEIGHTS), k_of(folder))


def chatty(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """An error of several lines."""
    try:
        return load(folder)
    except LoadError as error:
        raise LoadError(f"{error}\nSorry.") from error


def leaving_out(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """Takes what it needs and leaves the rest."""
    return topk(read_safetensors(folder / WEIGHTS), k_of(folder))


def finite_or_not(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """Looks at names alone."""
    found = read_safetensors(folder / WEIGHTS)
    exactly({name: torch.zeros(1) for name in found}, folder / WEIGHTS, ["dictionary", "bias"])
    return topk(found, k_of(folder))


def careless(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """Takes one key of the configuration and leaves the rest."""
    return topk(tensors_of(folder), whole(read_json(folder / CONFIG), "k", folder / CONFIG))


def wrong_k(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """Another number of latents than the configuration's."""
    return topk(tensors_of(folder), k_of(folder) + 1)


def nameless(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """No word of where it comes from."""
    return topk(tensors_of(folder), k_of(folder), Origin())


def elsewhere(folder: Path, entry: Any = None) -> Any:  # noqa: ARG001
    """Reads nothing of the folder."""
    return topk({"dictionary": torch.ones(D_SAE, D_IN), "bias": torch.zeros(D_SAE)}, 4)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no format": ({"FORMAT": None}, "`FORMAT` must be one line"),
    "no load": ({"load": None}, r"lacks load\(folder, entry\)"),
    "never matches": ({"matches": lambda folder: not folder}, "does not recognise the folder"),
    "matches any": (
        {"matches": lambda folder: any(folder.rglob("*.safetensors"))},
        "also says yes to a folder of sae_lens",
    ),
    "raises on others": (
        {"matches": lambda folder: bool(read_json(folder / CONFIG))},
        "`matches` raises LoadError on a folder with",
    ),
    "answers a path": (
        {"matches": lambda folder: next(iter(sorted(folder.glob(WEIGHTS))), None)},
        "does not recognise the folder|answers",
    ),
    "shape": ({"load": own("transposed")}, r"encode\(x\) has shape \[16, 12\], but \[12, 16\]"),
    "not finite": ({"load": own("nan")}, "something else than a finite tensor"),
    "batch": ({"load": own("beside")}, "`encode` of a token changes with the tokens beside it"),
    "float64": ({"load": own("double")}, "gives weights in torch.float64"),
    "fixed dtype": ({"load": own("fixed")}, "the dtype of load_sae is not obeyed"),
    "state": ({"load": remembering}, "`decode` changes with what was encoded last"),
    "sparse form": ({"load": disagreeing}, "`encode_codes` and `decode_codes` give other numbers"),
    "no origin": ({"load": nameless}, "origin does not name its loader"),
    "pickle": ({"load": unpickling}, "code was run: 'tied.safetensors' is a pickle"),
    "other errors": ({"load": letting_through}, "`load` raises .*: .*traceback"),
    "two lines": ({"load": chatty}, "which is not one line"),
    "left over": ({"load": leaving_out}, "has a tensor 'b_unknown' of no meaning"),
    "nan in a file": ({"load": finite_or_not}, "in 'tied.safetensors' holds a NaN"),
    "unknown key": ({"load": careless}, "has the unknown key 'decoder_norm_scale'"),
    "wrong numbers": ({"load": wrong_k}, "`acts` differs from what the library gave by up to"),
    "reads nothing": ({"load": elsewhere}, "needs none of the files"),
}
"""Loaders with one fault each, and what of it the message must say."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, folder: Path) -> None:
    """A loader with one fault fails with a message that says which, and says what to do."""
    changed, says = FAULTS[fault]
    given = outputs(folder) if fault == "wrong numbers" else None
    with pytest.raises((AssertionError, SaevalError), match=says) as caught:
        check_loader(module(**changed), folder, outputs=given)
    assert "\n" not in str(caught.value)
