"""Plots of results, with plotly: each function gives a figure, `files` writes it."""
