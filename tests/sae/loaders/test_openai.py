"""OpenAI's autoencoders load from one torch file, with the activation that it names."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from saeval.errors import LoadError
from saeval.sae.loaders import load_folder

Write = Callable[..., Path]
Agrees = Callable[..., None]


def state(tiny: SimpleNamespace, **more: Any) -> dict[str, Any]:
    """A state dict as the library saves it."""
    return {
        "pre_bias": tiny.b_dec,
        "encoder.weight": tiny.W_enc.T,
        "latent_bias": tiny.b_enc,
        "decoder.weight": tiny.W_dec.T,
        "stats_last_nonzero": np.zeros(16, np.int64),
        "latents_activation_frequency": np.ones(16, np.float32),
        "latents_mean_square": np.zeros(16, np.float32),
        "activation": "TopK",
        "activation_state_dict": {"k": 3, "postact_fn": "ReLU"},
    } | more


def wide(tiny: SimpleNamespace) -> SimpleNamespace:
    """The weights in float64."""
    return SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})


def test_topk_is_layer_normalised(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """The k largest, then relu, of activations normalised token by token, which is undone."""
    w = wide(tiny)
    mean, std = w.x.mean(1, keepdims=True), w.x.std(1, ddof=1, keepdims=True)
    pre = ((w.x - mean) / (std + 1e-5) - w.b_dec) @ w.W_enc + w.b_enc
    f = np.maximum(np.where(pre >= np.sort(pre, 1)[:, -3][:, None], pre, 0), 0)
    x_hat = (f @ w.W_dec + w.b_dec) * std + mean
    folder = write(tmp_path, {"8.pt": state(tiny)})
    agrees(load_folder(folder), tiny.x, f, x_hat)
    agrees(load_folder(folder / "8.pt"), tiny.x, f, x_hat)


def test_settings_that_torch_repeats(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """The module's own k may stand twice, as torch saves it, but must be the same."""
    again = {"activation.k": 3, "activation.postact_fn": "ReLU"}
    folder = write(tmp_path / "a", {"8.pt": state(tiny, **again)})
    assert load_folder(folder).d_sae == 16
    for name, value in (("activation.k", 4), ("activation.slope", 1)):
        folder = write(tmp_path / name, {"8.pt": state(tiny, **{name: value})})
        with pytest.raises(LoadError, match="contradict"):
            load_folder(folder)


def test_relu_is_not_normalised(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """Only a TopK implies normalisation."""
    w = wide(tiny)
    f = np.maximum((w.x - w.b_dec) @ w.W_enc + w.b_enc, 0)
    content = state(tiny, activation="ReLU", activation_state_dict={})
    folder = write(tmp_path, {"8.pt": content})
    agrees(load_folder(folder), tiny.x, f, f @ w.W_dec + w.b_dec)


@pytest.mark.parametrize(
    "more, reason",
    [
        ({"activation": "Softplus"}, "activation.*'Softplus'"),
        ({"activation": "Identity"}, "activation.*'Identity'"),
        ({"activation_state_dict": {"k": 3, "postact_fn": "Identity"}}, "postact_fn"),
        ({"activation_state_dict": {"k": 3}}, "postact_fn"),
        ({"activation_state_dict": {"postact_fn": "ReLU"}}, "'k'"),
        ({"activation_state_dict": {"k": 17, "postact_fn": "ReLU"}}, "k is 17"),
        ({"activation_state_dict": None}, "as a mapping"),
        ({"gate": np.zeros(16, np.float32)}, "'gate', which has no meaning"),
    ],
)
def test_what_is_not_understood_is_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    """An unknown activation is never read as relu, nor a part left out."""
    with pytest.raises(LoadError, match=reason):
        load_folder(write(tmp_path, {"8.pt": state(tiny, **more)}))


def test_the_activation_must_be_named(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """A file without activation is not taken for a ReLU."""
    content = state(tiny)
    del content["activation"]
    with pytest.raises(LoadError, match="activation"):
        load_folder(write(tmp_path, {"8.pt": content}))


def test_several_files_are_several_saes(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """A folder of layers names them, so that one can be given."""
    with pytest.raises(LoadError, match=r"7\.pt, 8\.pt. Give one file"):
        load_folder(write(tmp_path, {"7.pt": state(tiny), "8.pt": state(tiny)}))
