"""x"""

import click


@click.command("export-as")
def export_as() -> None:
    """X."""


@click.command("import-from")
def import_from() -> None:
    """X."""
