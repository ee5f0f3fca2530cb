"""Commands and their text."""
