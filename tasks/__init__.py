"""Evaluation tasks, a folder each, `task.py` first; `_*.py` holds what several of them share."""
