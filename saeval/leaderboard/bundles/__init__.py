"""Bundles of submitted results: packed, and checked as data that a stranger wrote."""
