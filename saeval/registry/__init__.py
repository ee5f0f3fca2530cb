"""Names to verified folders: entries, registry files, downloads."""
