"""The lab's town: the world with more to it, above all labels that no single word gives away."""

from saeval.lab.town.material import TOWN

__all__ = ["TOWN"]
