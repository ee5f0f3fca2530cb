"""A built site served to this machine alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from saeval.errors import UsageError

LOOPBACK = "127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    """Files of the folder; requests are not told on stderr."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its base names it so
        """Say nothing."""

    def list_directory(self, path: Any) -> None:
        """No listing: pages link all that is meant to be seen."""
        self.send_error(404)


class Serving:
    """A server that runs in a thread of its own."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        """Start it."""
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """`http://127.0.0.1:8000/`."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/"

    def wait(self) -> None:
        """Until it is stopped, or the user presses Ctrl-C."""
        self._thread.join()

    def stop(self) -> None:
        """End it, and free its port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(folder: Path, port: int) -> Iterator[Serving]:
    """Serve a site while the block runs.

    Args:
        folder: What `build --site` wrote.
        port: Port on the loopback interface; 0 for any that is free.

    Raises:
        UsageError: if there is no site, or the port is taken.
    """
    if not (folder / "index.html").is_file():
        raise UsageError(
            f"There is no site in '{folder}'. Build it: `saeval leaderboard build --site {folder}`."
        )
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be used: {error.strerror}. Choose another, or --port 0."
        ) from error
    running = Serving(server)
    try:
        yield running
    finally:
        running.stop()
