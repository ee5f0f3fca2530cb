"""Synthetic: how well an SAE recovers the dictionary that its activations were made from."""

from .task import Synthetic

__all__ = ["Synthetic"]
