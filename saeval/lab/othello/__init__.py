"""Othello with known board states: engine, random games, and a model trained on legal moves."""
