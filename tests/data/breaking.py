"""A server of one file that breaks off, changes the file and lies about it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


@dataclass
class Behaviour:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    break_after: list[int] = field(default_factory=list)  # bytes after which each next answer breaks off
    status: int = 200
    ranges: list[str | None] = field(default_factory=list)  # asked for, answer by answer
    pause_s: float = 0.0  # before each answer's body
    address: str = ""


@contextmanager
def serving() -> Iterator[Behaviour]:
    """Serve one file on this machine."""
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            behaviour.ranges.append(asked)
            if behaviour.status != 200:
                self.send_error(behaviour.status)
                return
            start = 0
            if asked is not None and self.headers.get("If-Range") == behaviour.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(behaviour.content) - 1}/*")
            else:
                self.send_response(200)
            body = behaviour.content[start:]
            self.send_header("Content-Length", str(len(body)))
            if behaviour.etag is not None:
                self.send_header("ETag", behaviour.etag)
            self.end_headers()
            time.sleep(behaviour.pause_s)
            self.wfile.write(body[: behaviour.break_after.pop(0)] if behaviour.break_after else body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        behaviour.address = f"http://127.0.0.1:{running.server_address[1]}/faces.bin"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield behaviour
        running.shutdown()
        thread.join()
