"""Probing: what labels a few latents of an SAE give away, and what all of them do."""

from .task import Probing

__all__ = ["Probing"]
