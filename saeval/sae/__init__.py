"""SAEs: their formulas (architectures/), the files they come in (loaders/), what all can do."""

from saeval.sae.codes import Codes
from saeval.sae.content import content_hash
from saeval.sae.protocol import DENSE_BYTES, SAE, d_out, decode_codes, encode_codes, origin_of
from saeval.sae.site import Origin, Site, Sites
from saeval.sae.traits import Traits, traits_of, with_k

__all__ = [
    "DENSE_BYTES",
    "SAE",
    "Codes",
    "Origin",
    "Site",
    "Sites",
    "Traits",
    "content_hash",
    "d_out",
    "decode_codes",
    "encode_codes",
    "origin_of",
    "traits_of",
    "with_k",
]
