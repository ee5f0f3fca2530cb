"""What every loader must satisfy, checked on a folder of its format: `check_loader`."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.config import plugins
from saeval.config.plugins import Plugin, check_loader_module, load_loader
from saeval.errors import LoadError
from saeval.sae import SAE, d_out, decode_codes, encode_codes, origin_of
from saeval.sae.architectures import moved
from saeval.testing.other_formats import write_formats
from saeval.testing.tampering import spoil

TOKENS = 12
"""Random activations that an SAE is asked about."""
TOLERANCE = 1e-5
"""By how much two ways to the same number may differ, relative to the largest of a row."""


@dataclass(frozen=True)
class Trial:
    """A loader and a folder of its format. Failures begin with its name."""

    loader: ModuleType
    name: str
    folder: Path
    """A copy, which may be spoilt."""

    def fail(self, message: str) -> AssertionError:
        """A failure of this trial."""
        return AssertionError(f"The loader {self.name}: {message}")


def check_loader(
    loader: str | ModuleType, folder: str | Path, *, outputs: Mapping[str, Any] | None = None
) -> None:
    """Hold a loader to all that saeval takes for granted. One line of a test of yours.

    It must recognise its own folder and no other format's, give an SAE that encodes and decodes
    token by token in any dtype as its library does, and refuse what is incomplete, damaged, left
    over, unknown, or code, with one line.

    Args:
        loader: Name of an installed loader, or its module.
        folder: Files of one SAE in its format, and no others. It is copied, not changed.
        outputs: What the library that wrote the files gave: arrays `x` [tokens, d_in], and `acts`
            [tokens, d_sae] or `x_hat` [tokens, d_out] or both. The only proof that numbers are
            right.

    Raises:
        AssertionError: saying what is wrong, why that matters, and what to do.
        UsageError: if the module is no loader.
        LoadError: if the folder as it is does not load.
    """
    module = load_loader(loader) if isinstance(loader, str) else loader
    name = loader if isinstance(loader, str) else module.__name__
    check_loader_module(Plugin(name, name, "this test"), module)
    with tempfile.TemporaryDirectory(prefix="saeval-testing-") as work:
        copy = Path(work) / "copy" / Path(folder).name  # names of folders may tell something
        shutil.copytree(folder, copy)
        trial = Trial(module, name, copy)
        _check_recognition(trial, Path(work))
        sae = _loaded(trial)
        _check_sae(trial, sae)
        _check_dtype(trial, sae)
        if outputs is not None:
            _check_outputs(trial, sae, outputs)
        _check_refusals(trial, Path(work))


def _check_recognition(trial: Trial, work: Path) -> None:
    """Its own folder alone, by a plain yes or no whatever is there."""
    if _matches(trial, trial.folder) is not True:
        raise trial.fail(
            "`matches` does not recognise the folder, so that --sae FOLDER would not find the "
            "loader. Look for what FORMAT promises."
        )
    formats = {name: module.__name__ for name, module in plugins.loaders().items()}
    for other, folders in write_formats(work / "others").items():
        for folder in folders if formats.get(other) != trial.loader.__name__ else ():
            if _matches(trial, folder):
                raise trial.fail(
                    f"`matches` also says yes to a folder of {other}, so that saeval could read "
                    f"neither ({', '.join(sorted(_names(folder)))}). Ask for as much as tells "
                    "your format from others."
                )
    for other, module in plugins.loaders().items():
        if module.__name__ != trial.loader.__name__ and module.matches(trial.folder):
            raise trial.fail(
                f"the folder is also one of {other} ({module.FORMAT}), and saeval refuses to "
                "choose. Write a file that tells the two apart."
            )
    empty, junk = work / "empty", work / "junk"
    empty.mkdir()
    shutil.copytree(trial.folder, junk)
    for path in _files(junk):
        path.write_text("<!DOCTYPE html>")
    for folder in (work / "nowhere", empty, junk):
        _matches(trial, folder)


def _matches(trial: Trial, folder: Path) -> bool:
    try:
        found = trial.loader.matches(folder)
    except Exception as error:
        raise trial.fail(
            f"`matches` raises {type(error).__name__} on a folder with "
            f"{', '.join(sorted(_names(folder))) or 'nothing'}: {error}. It is asked about every "
            "folder that any user names; answer False to what is not yours."
        ) from error
    if not isinstance(found, bool):
        raise trial.fail(f"`matches` answers {found!r:.60}. Answer True or False.")
    return found


def _loaded(trial: Trial) -> SAE:
    """The SAE of the folder as it is."""
    try:
        sae = trial.loader.load(trial.folder, None)
    except LoadError:
        raise
    except Exception as error:
        raise trial.fail(
            f"`load` raises {type(error).__name__} on a good folder: {error}. Load it, or raise "
            "LoadError with the path, what is wrong, and what to do."
        ) from error
    for member in ("d_in", "d_sae", "W_dec", "encode", "decode", "origin"):
        if not hasattr(sae, member):
            raise trial.fail(
                f"`load` gives a {type(sae).__name__} without '{member}', which every task may ask "
                "for. Return an architecture of saeval's, or a frozen dataclass with all of "
                "saeval.SAE and a field `origin: Origin`."
            )
    return sae


def _check_sae(trial: Trial, sae: SAE) -> None:
    """Shapes, finite numbers, tokens one by one, nothing remembered."""
    x, others = _draw(sae, 0), _draw(sae, 1)
    _check_shape(trial, "W_dec", sae.W_dec, (sae.d_sae, d_out(sae)))
    acts = _encode(trial, sae, x)
    _check_shape(trial, "encode(x)", acts, (TOKENS, sae.d_sae))
    x_hat = _answer(trial, "decode", lambda: sae.decode(acts, x))
    _check_shape(trial, "decode(acts, x)", x_hat, (TOKENS, d_out(sae)))
    if sae.W_dec.dtype != torch.float32 or acts.dtype != torch.float32:
        raise trial.fail(
            f"`load` gives weights in {sae.W_dec.dtype} and acts in {acts.dtype}: SAEs come in "
            "float32, and `dtype` of load_sae changes that. Convert the tensors when they are read."
        )
    if not _close(_encode(trial, sae, x[:1]), acts[:1]):
        raise trial.fail(
            "`encode` of a token changes with the tokens beside it, as batch top-k does in "
            "training, so that --batch-size would change scores. Load the inference form, with a "
            "threshold."
        )
    _encode(trial, sae, others)
    if not _close(sae.decode(acts, x), x_hat):
        raise trial.fail(
            "`decode` changes with what was encoded last. Take all it needs from the x that it is "
            "given."
        )
    codes = encode_codes(sae, x)
    if not _close(codes.dense(), acts) or not _close(decode_codes(sae, codes, x), x_hat):
        raise trial.fail(
            "`encode_codes` and `decode_codes` give other numbers than `encode` and `decode`. "
            "Leave them out, or make them agree."
        )
    if origin_of(sae).loader == "object":
        raise trial.fail(
            "the SAE's origin does not name its loader, so that results would not say how it was "
            f"read. Give Origin(loader='{trial.name}', ...)."
        )


def _check_dtype(trial: Trial, sae: SAE) -> None:
    """All tensors follow a change of dtype, as `load_sae(..., dtype=...)` asks for."""
    try:
        wide = moved(sae, dtype=torch.float64)
        acts = wide.encode(_draw(sae, 0).double())
        x_hat = wide.decode(acts, _draw(sae, 0).double())
    except Exception as error:
        raise trial.fail(
            f"the SAE cannot compute in float64 ({type(error).__name__}: {error}), so the dtype of "
            "load_sae would fail. Keep tensors as fields of the dataclass, and make no others of a "
            "fixed dtype."
        ) from error
    if {wide.W_dec.dtype, acts.dtype, x_hat.dtype} != {torch.float64}:
        raise trial.fail(
            f"asked for float64, the SAE has W_dec in {wide.W_dec.dtype} and answers in "
            f"{acts.dtype} and {x_hat.dtype}: the dtype of load_sae is not obeyed. Keep tensors as "
            "fields of the dataclass, and make no others of a fixed dtype."
        )


def _check_outputs(trial: Trial, sae: SAE, outputs: Mapping[str, Any]) -> None:
    """Encode and decode give what the library gave that wrote the files."""
    unknown = set(outputs) - {"x", "acts", "x_hat"}
    if unknown or "x" not in outputs or len(outputs) < 2:
        raise trial.fail(
            f"outputs holds {', '.join(sorted(outputs)) or 'nothing'}. Give `x`, and `acts` or "
            "`x_hat` or both."
        )
    stored = {name: torch.as_tensor(value).float() for name, value in outputs.items()}
    acts = _encode(trial, sae, stored["x"])
    given = {"acts": acts, "x_hat": sae.decode(acts, stored["x"])}
    for name, expected in stored.items():
        if name == "x" or _close(given[name], expected):
            continue
        same_shape = given[name].shape == expected.shape
        off = float((given[name] - expected).abs().max()) if same_shape else None
        how = f"by up to {off:.3g}" if same_shape else "in shape"
        raise trial.fail(
            f"`{name}` differs from what the library gave {how}, so that another SAE than its "
            "author's would be scored. Look at the activation function, the order of bias and "
            "scale, and transposed weights."
        )


def _check_refusals(trial: Trial, work: Path) -> None:
    """Files that are needed: missing, cut, tampered with, or code."""
    mark = work / "code-was-run"
    needed = [path for path in _files(trial.folder) if _is_needed(trial, path)]
    if not needed:
        raise trial.fail(
            "`load` needs none of the files in the folder: it loads without any of them. Read the "
            "weights from the folder that is given."
        )
    for path in needed:
        for spoilt in spoil(path, str(path.relative_to(trial.folder)), mark):
            with suppress(Exception):  # a yes or no was asked for before; here only code matters
                trial.loader.matches(trial.folder)
            refused = _refused(trial, spoilt.what)
            if mark.exists():
                raise trial.fail(f"code was run: {spoilt.what}. {spoilt.why}")
            if not refused:
                raise trial.fail(f"the folder loads although {spoilt.what}. {spoilt.why}")


def _is_needed(trial: Trial, path: Path) -> bool:
    """Whether the folder does not load without a file, which it then says in one line."""
    aside = trial.folder.parent / "aside"
    path.rename(aside)
    try:
        return _refused(trial, f"'{path.relative_to(trial.folder)}' is missing")
    finally:
        aside.rename(path)


def _refused(trial: Trial, what: str) -> bool:
    """Whether the folder is refused, by a LoadError of one line."""
    try:
        trial.loader.load(trial.folder, None)
    except LoadError as error:
        if "\n" in str(error).strip() or not str(error).strip():
            raise trial.fail(
                f"where {what}, LoadError says {str(error)!r:.80}, which is not one line. Say with "
                "the path what is wrong and what to do."
            ) from error
        return True
    except Exception as error:
        raise trial.fail(
            f"where {what}, `load` raises {type(error).__name__}: {error}. A run of many SAEs "
            "would show a traceback; raise LoadError with the path, what is wrong, and what to do."
        ) from error
    return False


def _encode(trial: Trial, sae: SAE, x: Float[Tensor, "tokens d_in"]) -> Tensor:
    return _answer(trial, "encode", lambda: sae.encode(x))


def _answer(trial: Trial, method: str, ask: Callable[[], Any]) -> Tensor:
    """What a method of the SAE answers, if it is a finite tensor."""
    try:
        with torch.no_grad():
            answer = ask()
    except Exception as error:
        raise trial.fail(
            f"`{method}` of the SAE raises {type(error).__name__} on {TOKENS} random activations: "
            f"{error}. It must work on any number of tokens."
        ) from error
    if not isinstance(answer, Tensor) or not bool(answer.isfinite().all()):
        raise trial.fail(
            f"`{method}` of the SAE answers something else than a finite tensor. Every score would "
            "be undefined; look at the weights."
        )
    return answer


def _draw(sae: SAE, seed: int) -> Float[Tensor, "tokens d_in"]:
    return torch.randn(TOKENS, sae.d_in, generator=torch.Generator().manual_seed(seed))


def _check_shape(trial: Trial, what: str, tensor: Tensor, shape: tuple[int, int]) -> None:
    if tuple(tensor.shape) != shape:
        raise trial.fail(
            f"{what} has shape {list(tensor.shape)}, but {list(shape)} is needed for {TOKENS} "
            "tokens and the widths that the SAE gives. Transpose the weights, or correct the "
            "widths."
        )


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    scale = b.abs().amax(1, keepdim=True).clamp(min=1e-6) if b.numel() else 1.0
    return bool(((a - b).abs() <= TOLERANCE * scale).all())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in _files(folder)] if folder.is_dir() else []
