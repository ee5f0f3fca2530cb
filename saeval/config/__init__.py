"""Configuration of a run: options, fields of tasks, plugins."""
