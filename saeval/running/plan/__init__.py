"""What a run would compute, find and download, and what that would take."""
