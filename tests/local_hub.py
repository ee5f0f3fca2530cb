"""A hub on the loopback device, which huggingface_hub takes for the real one."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from huggingface_hub import constants, file_download

COMMIT = "a" * 40
NEWER = "b" * 40
SOURCE = "hf://org/repo/sae"
LARGE = bytes(range(256)) * 64
FILES = {"sae/cfg.json": b'{"k": 8}', "sae/deep/weights.bin": LARGE, "sae/.swp": b"x", "top": b"t"}

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Hub:
    """A hub on the loopback device: one repository, and answers that replace the right ones."""

    commit: str = COMMIT
    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    instead: list[tuple[str, Answer]] = field(default_factory=list)
    """(part of a path, answer): used up in order, each by the first request that has the part."""
    truncate: bool = False
    """Bodies of files end halfway."""
    stall: float = 0.0
    """Seconds before the body of a file begins."""
    requests: list[str] = field(default_factory=list)

    def answer(self, path: str) -> Answer:
        """Status, headers and body for a request path, without its query."""
        for index, (part, answer) in enumerate(self.instead):
            if part in path:
                del self.instead[index]
                return answer
        if "/tree/" in path:
            return self._tree(path.partition("/tree/")[2].partition("/")[2])
        if path.startswith("/api/models/org/repo"):
            return 200, {}, json.dumps({"id": "org/repo", "sha": self.commit}).encode()
        name = path.partition("/resolve/")[2].partition("/")[2]
        if name in self.files and path.startswith("/org/repo/"):
            body = self.files[name]
            return 200, {"ETag": f'"{_blob(body)}"', "X-Repo-Commit": self.commit}, body
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"

    def _tree(self, folder: str) -> Answer:
        inside = {
            name: body
            for name, body in self.files.items()
            if not folder or name.startswith(f"{folder}/")
        }
        if not inside:
            return 404, {"X-Error-Code": "EntryNotFound"}, b"{}"
        items = []
        for name, body in inside.items():
            item: dict[str, Any] = {"type": "file", "path": name, "size": len(body)}
            item["oid"] = _git(body)
            if len(body) > 1000:
                item["lfs"] = {"oid": _blob(body), "size": len(body), "pointerSize": 130}
            items.append(item)
        return 200, {}, json.dumps(items).encode()


def _git(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _blob(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest() if len(body) > 1000 else _git(body)


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._reply(head=True)

        def do_GET(self) -> None:
            self._reply(head=False)

        def _reply(self, *, head: bool) -> None:
            path = unquote(self.path.partition("?")[0])
            hub.requests.append(f"{self.command} {path}")
            status, headers, body = hub.answer(path)
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if head:
                return
            if "/resolve/" in path:
                time_out.wait(hub.stall)
                body = body[: len(body) // 2] if hub.truncate else body
            try:
                self.wfile.write(body)
            except OSError:
                return  # the client gave up first
            self.close_connection = hub.truncate

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    time_out = threading.Event()
    return Handler


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running hub that huggingface_hub takes for the real one, with an empty cache."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.daemon = True
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    yield hub
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)
