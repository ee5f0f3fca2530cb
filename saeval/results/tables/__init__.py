"""Scores as tables for people, on a terminal of any width or in a notebook."""

from saeval.results.tables.cells import number
from saeval.results.tables.page import score_html, score_tables
from saeval.results.tables.view import View, check_columns

__all__ = ["View", "check_columns", "number", "score_html", "score_tables"]
