"""A request to written results."""
