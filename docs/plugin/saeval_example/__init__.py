"""An example of what others can add to saeval: one loader, `tied`, and one task, `strongest`."""
