"""Boards: declared in YAML, built from results, shown as tables and a site. Never torch."""
