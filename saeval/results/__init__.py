"""Scores and the evidence they come from: kept, found again, recomputed, shown. Never torch."""
