"""The kinds of source that activations come from, one per file."""
