"""Core: how faithfully an SAE rebuilds activations, how sparsely, and what it costs the model."""

from .task import Core

__all__ = ["Core"]
