"""Any Hugging Face transformer: named sites, runs up to a site, runs from a site on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval.errors import ModelError
from saeval.models import execution, head, sites
from saeval.models.anatomy import Anatomy, dissect
from saeval.models.execution import Restart
from saeval.models.loading import (
    fetch_network,
    identity_of,
    is_quantised,
    move_network,
    pick_device,
    tokenizer_identity,
)
from saeval.models.places import locate
from saeval.models.quantised import compute_dtype
from saeval.registry.model_names import canonical_name
from saeval.sae import Site

__all__ = ["LoadedModel", "canonical_name", "load_model"]


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode, and what saeval needs to know about it."""

    name: str
    """The name as the user wrote it."""
    revision: str | None
    """Commit of the files, if it is known."""
    net: Any = field(repr=False)
    """The transformers network: with its head for decoders, without for encoders."""
    tokenizer: Any = field(repr=False)
    """None if the files have none."""
    device: str
    dtype: torch.dtype
    identity: str
    """`id@commit` at the hub, or `local:` and a hash of configuration and weights."""
    parts: Anatomy
    _measured: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """Cached properties of the network: widths, restarts, the head. They never change a result."""

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.parts.width

    @property
    def config(self) -> Any:
        """The (text) configuration of the network."""
        return self.net.config.get_text_config()

    @property
    def context(self) -> int | None:
        """Most tokens per row; None if the configuration sets no limit."""
        for name in ("max_position_embeddings", "max_seq_len"):
            if isinstance(limit := getattr(self.config, name, None), int):
                return limit - self._reserved_positions(limit)
        return None

    @property
    def has_logits(self) -> bool:
        """Whether there is an output head: True for decoders, False for encoders."""
        return self.parts.base != "" and self.net.get_output_embeddings() is not None

    @property
    def vocab_size(self) -> int:
        """Rows of the token embedding: ids run from 0 to one less."""
        return self.parts.vocab_size

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return self.parts.n_layers

    @property
    def is_local(self) -> bool:
        """Whether the files came from a local folder."""
        return self.identity.startswith("local:")

    @property
    def bos_id(self) -> int | None:
        """Id that begins a row: BOS, or an encoder's CLS."""
        return self._special_id("bos_token_id", "cls_token_id")

    @property
    def eos_id(self) -> int | None:
        """Id that ends a text: EOS, or an encoder's SEP."""
        return self._special_id("eos_token_id", "sep_token_id")

    @property
    def pad_id(self) -> int | None:
        """Id that fills rows up."""
        return self._special_id("pad_token_id")

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of tokens that are no text: BOS, EOS and padding (CLS and SEP for encoders)."""
        roles = ("bos_token_id", "eos_token_id", "pad_token_id", "cls_token_id", "sep_token_id")
        return frozenset(token for role in roles for token in self._role_ids(role))

    @property
    def tokenizer_identity(self) -> str:
        """Identity of the tokenizer: the model's identity at the hub, else a hash."""
        return self._measure_once(
            "tokenizer", lambda: tokenizer_identity(self.tokenizer, self.identity)
        )

    def resolve(self, site: str) -> Site:
        """Site for a module path, a TransformerLens hook, or another library's name.

        Raises:
            ModelError: if the model has no such place, with the nearest names.
        """
        return self._measure_once(("resolved", site), lambda: sites.resolve(self.parts, site))

    def width(self, site: Site) -> int:
        """Size of the activation vectors at a site."""
        return self._measure_once(("width", site), lambda: self._probe(site).shape[-1])

    @property
    def final_width(self) -> int:
        """Size of the final hidden states: d_model but for a few models (OPT-350m)."""
        ids, attention = torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1)
        return self._measure_once("final", lambda: self.clean([], ids, attention)[1].shape[-1])

    def run_to(
        self, sites: Sequence[Site], ids: Int[Tensor, "texts seq"], attention: Tensor
    ) -> dict[Site, Float[Tensor, "texts seq d"]]:
        """Activations at the sites; the pass ends at the deepest of them."""
        ids, attention = self._to_device(ids, attention)
        activations, _ = execution.capture(self.parts, sites, ids, attention, full_pass=False)
        return activations

    def clean(
        self, sites: Sequence[Site], ids: Int[Tensor, "texts seq"], attention: Tensor
    ) -> tuple[dict[Site, Float[Tensor, "texts seq d"]], Float[Tensor, "texts seq d_model"]]:
        """One whole pass: activations at the sites, and what the output head reads."""
        ids, attention = self._to_device(ids, attention)
        activations, final = execution.capture(self.parts, sites, ids, attention, full_pass=True)
        if final is None:
            raise ModelError(f"{self.name} gives no final hidden state.")
        return activations, final

    def needs_resume(self, site: Site) -> Site | None:
        """Block input to be stored beside the activation, for sites inside a block."""
        restart = self._restart(site)
        if restart is None or not restart.edits:
            return None
        return Site(self.parts.block(restart.boundary), "in")

    def run_from(
        self,
        site: Site,
        ids: Int[Tensor, "texts seq"],
        attention: Tensor,
        x: Float[Tensor, "texts seq d"],
        resume: Float[Tensor, "texts seq d_model"] | None = None,
    ) -> Float[Tensor, "texts seq d_model"]:
        """Final hidden states with x in the place of the activation at the site.

        Only the layers after the site are run. Gradients flow to x if it requires them.
        `resume` is the activation at `needs_resume(site)`, if there is one; without it the whole
        model runs, with the same result.
        """
        ids, attention = self._to_device(ids, attention)
        x = x.to(self.device, self.dtype)
        restart = self._restart(site)
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            if restart is None or (restart.edits and resume is None):
                return execution.run_hooked(self.parts, {site: x}, ids, attention)
            if resume is not None:
                resume = resume.to(self.device, self.dtype)
            return execution.run_restarted(self.parts, restart, ids, attention, x, resume)

    def run_with(
        self,
        new: Mapping[Site, Float[Tensor, "texts seq _"]],
        ids: Int[Tensor, "texts seq"],
        attention: Tensor,
    ) -> Float[Tensor, "texts seq d_model"]:
        """Final hidden states of a whole pass with the activations at several sites replaced.

        Gradients flow to those that require them. For a single site `run_from` is cheaper.
        """
        ids, attention = self._to_device(ids, attention)
        new = {site: x.to(self.device, self.dtype) for site, x in new.items()}
        needs_gradient = any(x.requires_grad for x in new.values())
        with torch.set_grad_enabled(torch.is_grad_enabled() and needs_gradient):
            return execution.run_hooked(self.parts, new, ids, attention)

    def logits(self, hidden: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows vocab"]:
        """Logits of final hidden states in float32, with the model's own capping and scaling.

        Raises:
            ModelError: if the model has no output head, or one that needs more than these.
        """
        if not self.has_logits:
            raise ModelError(f"{self.name} has no output head, so there are no logits.")
        output_head = self._measure_once("head", lambda: head.find_head(self.parts))
        rows = hidden.to(self.device, self.dtype).reshape(-1, hidden.shape[-1])
        with torch.set_grad_enabled(torch.is_grad_enabled() and rows.requires_grad):
            logits = head.head_logits(self.parts, output_head, rows)
        return logits.float().reshape(*hidden.shape[:-1], -1)

    def _restart(self, site: Site) -> Restart | None:
        return self._measure_once(
            ("restart", site), lambda: execution.plan_restart(self.parts, site)
        )

    def _probe(self, site: Site) -> Tensor:
        # One text of two tokens distinguishes [texts, seq, d] from [seq, texts, d].
        return self.run_to([site], torch.zeros(1, 2, dtype=torch.int64), torch.ones(1, 2))[site]

    def _to_device(
        self, ids: Tensor, attention: Tensor
    ) -> tuple[Tensor, Bool[Tensor, "texts seq"]]:
        return ids.to(self.device, torch.int64), attention.to(self.device, torch.bool)

    def _reserved_positions(self, limit: int) -> int:
        """Positions that RoBERTa and its like reserve for padding, before the first token."""
        for name, module in self.net.named_modules():
            padding = getattr(module, "padding_idx", None)
            rows = getattr(module, "num_embeddings", None)
            if "position" in name and padding is not None and rows == limit:
                return padding + 1
        return 0

    def _special_id(self, *roles: str) -> int | None:
        return next((token for role in roles for token in self._role_ids(role)), None)

    def _role_ids(self, role: str) -> list[int]:
        """Ids of a role from the tokenizer, else from the configuration."""
        for owner in (self.tokenizer, self.config):
            ids = getattr(owner, role, None)
            if ids is not None:
                return ids if isinstance(ids, list) else [ids]
        return []

    def _measure_once(self, key: Any, measure: Any) -> Any:
        if key not in self._measured:
            self._measured[key] = measure()
        return self._measured[key]


def load_model(
    name: str,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LoadedModel:
    """Load a local folder, a hub id (`id@revision` too), or a TransformerLens name.

    Weights come from safetensors only, and code that comes with a model is never run.

    Raises:
        ModelError: if the model cannot be loaded, with what was tried and what to do.
    """
    device = pick_device(device)
    place = locate(name, revision)
    net, tokenizer = fetch_network(place, dtype, device)
    return LoadedModel(
        place.name,
        place.commit,
        move_network(net, device),
        tokenizer,
        device,
        compute_dtype(net) if is_quantised(net) else dtype,
        identity_of(place),
        dissect(net),
    )
