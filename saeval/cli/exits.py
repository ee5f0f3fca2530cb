"""How commands end: every deliberate error as one line on stderr, and an exit code."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from saeval.cli.printing import complain, print_json

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which reports every deliberate error as one line on stderr and an exit code."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        from saeval.errors import RegistryError, SaevalError, UsageError

        try:
            command(*args, **kwargs)
        except SaevalError as error:
            complain(str(error))
            if (
                kwargs.get("as_json") and "source" in kwargs
            ):  # validate prints a line also on errors
                print_json([{"source": kwargs["source"], "error": str(error)}])
            usage = isinstance(error, UsageError | RegistryError)
            raise click.exceptions.Exit(USAGE if usage else FAILED) from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader has seen enough, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit from None

    return guarded
