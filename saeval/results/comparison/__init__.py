"""Two or more SAEs of results compared: pairs, verdicts, values at matched L0. Never torch."""
