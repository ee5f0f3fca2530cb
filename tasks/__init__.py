"""Evaluation tasks, one a file or a small folder; `_*.py` holds what several of them share."""
