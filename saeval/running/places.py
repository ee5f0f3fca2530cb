"""Where SAEs read and write: a model and sites in it, by name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SiteSpec:
    """A model and sites in it, as an SAE or the user names them. No model is loaded to know it."""

    model: str
    read_site: str
    write_site: str | None
    """None: the read site."""
    centred: bool
    """Whether activations are centred as TransformerLens does it."""
    prepend_bos: bool = True
    """Whether rows of texts begin with BOS where the model has one. False only for an SAE whose
    files or registry entry say that it was trained without."""
