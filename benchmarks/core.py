"""What `core` costs for the first SAE on a site and for each further one: CPU, one thread.

    python benchmarks/core.py --model FOLDER --saes FOLDER... --tokens ROWS.npy --first 480

Without inputs it makes a small model and small SAEs of its own.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from peak import peak_megabytes
from saeval_tasks.core import Core

from saeval.activations import ModelSource, Store, model_source
from saeval.evidence import Evidence, summarise_all
from saeval.models import load_model
from saeval.sae import SAE, decode_codes, encode_codes
from saeval.sae.architectures import TopK
from saeval.sae.loaders import load_folder

PHASES: tuple[str, ...] = ("model", "encode", "decode")


class Meter:
    """CPU seconds of each phase."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((*PHASES, "all"), 0.0)

    def timed(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time counted under a phase."""

        def counted(*args: object, **kwargs: object) -> object:
            with self.during(phase):
                return call(*args, **kwargs)

        return counted

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Count the CPU time of the block inside."""
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[phase] += time.process_time() - start

    def take(self) -> dict[str, float]:
        """Seconds of each phase since the last call; `rest` is the time outside all phases."""
        seconds, self.seconds = self.seconds, dict.fromkeys(self.seconds, 0.0)
        rest = seconds["all"] - sum(seconds[phase] for phase in PHASES)
        return {**{phase: seconds[phase] for phase in PHASES}, "rest": rest, "all": seconds["all"]}


class TimedModel:
    """A model whose passes are counted."""

    def __init__(self, model: Any, meter: Meter) -> None:
        self._model, self._meter = model, meter

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._model, name)
        runs = ("run_to", "run_from", "clean", "logits")
        return self._meter.timed("model", value) if name in runs else value


def timed_sae(sae: SAE, meter: Meter) -> Any:
    """An SAE whose encode and decode are counted."""
    return SimpleNamespace(
        d_in=sae.d_in,
        d_sae=sae.d_sae,
        W_enc=getattr(sae, "W_enc", None),
        W_dec=sae.W_dec,
        encode=sae.encode,
        decode=sae.decode,
        encode_codes=meter.timed("encode", lambda x: encode_codes(sae, x)),
        decode_codes=meter.timed("decode", lambda codes, x: decode_codes(sae, codes, x)),
    )


def main() -> None:
    """Prepare once, score every SAE, print what each cost."""
    options = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        saes, model, tokens = _inputs(options, Path(folder))
        meter = Meter()
        with meter.during("all"):
            source = _source(model, saes[0], options.site, Path(folder), meter)
            task = Core(
                tokens=str(tokens),
                compat="saebench",
                compat_reconstruction_rows=options.first,
                ce_rows=options.first,
            )
            prepared = task.prepare(source, 0)
        print(
            " ".join(
                [f"{'CPU seconds':24}", *(f"{phase:>7}" for phase in (*PHASES, "rest", "all"))]
            )
        )
        for number, entry in enumerate(saes if len(saes) > 1 else saes * 2):
            with meter.during("all"):
                sae = load_folder(entry) if isinstance(entry, Path) else entry
                evidence = list(task.score(timed_sae(sae, meter), prepared, source, 0))
                summarise_all([item for item in evidence if isinstance(item, Evidence)])
            label = entry.name if isinstance(entry, Path) else "made here"
            _print_seconds(f"{'further' if number else 'first'}: {label}", meter.take())
    print(f"peak memory {peak_megabytes():.0f} MB")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--saes", nargs="+", type=Path, help="folders of SAEs")
    parser.add_argument("--model", type=Path, help="folder of a model")
    parser.add_argument("--tokens", type=Path, help=".npy of token rows")
    parser.add_argument("--site", help="site or alias, where the SAEs' files name none")
    parser.add_argument("--first", type=int, help="rows that serve CE and KL; a third of them")
    options = parser.parse_args()
    if (options.saes is None) != (options.model is None) or (options.model and not options.tokens):
        parser.error("--saes, --model and --tokens come together")
    return options


def _inputs(options: argparse.Namespace, folder: Path) -> tuple[list[Any], Path, Path]:
    saes, model, tokens = options.saes or _random_saes(), options.model, options.tokens
    if model is None:
        model, tokens = _random_model(folder / "model"), folder / "rows.npy"
        ids = np.random.default_rng(0).integers(1, 4096, size=(144, 128))
        np.save(tokens, ids)
    options.first = options.first or len(np.load(tokens, mmap_mode="r")) // 3
    return saes, model, tokens


def _random_saes() -> list[SAE]:
    generator = torch.Generator().manual_seed(0)
    saes: list[SAE] = []
    for _ in range(3):
        W_dec = torch.nn.functional.normalize(torch.randn(1024, 128, generator=generator))
        saes.append(TopK(W_dec.T.contiguous(), torch.zeros(1024), W_dec, torch.zeros(128), 32))
    return saes


def _random_model(folder: Path) -> Path:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    sizes: dict[str, Any] = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = GPTNeoXConfig(
        vocab_size=4096, intermediate_size=512, bos_token_id=0, eos_token_id=0, **sizes
    )
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


def _source(model: Path, sae: Any, site: str | None, folder: Path, meter: Meter) -> ModelSource:
    if site is None and isinstance(sae, Path):
        site = load_folder(sae).origin.read_site  # type: ignore[attr-defined]
    timed: Any = TimedModel(load_model(str(model)), meter)
    return model_source(timed, site or "layers.2", store=Store(folder / "store"))


def _print_seconds(name: str, seconds: dict[str, float]) -> None:
    print(" ".join([f"{name:24.24}", *(f"{value:7.2f}" for value in seconds.values())]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
