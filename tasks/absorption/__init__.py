"""Absorption: does a latent go silent where a more special latent takes its word over?"""

from .task import Absorption

__all__ = ["Absorption"]
