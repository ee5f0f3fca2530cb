"""A request to a trained SAE in a folder."""
