"""What a run is told: options, fields of tasks, plugins."""
