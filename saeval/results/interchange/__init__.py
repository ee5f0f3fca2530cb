"""Results in the forms of other tools: read, written, marked as what they are. Never torch."""
