"""The way to a Triton server by HTTP: a connection for each request in flight, kept for the next.

Bytes follow the JSON of a request or an answer, as Triton's "binary tensor data extension" lays down.
"""

from __future__ import annotations

import io
import json
import queue
import socket
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

import numpy as np

from facereg.disk.reading import parse_json
from facereg.errors import FaceregError
from facereg.networks.triton.address import TritonAddress
from facereg.networks.triton.reaching import SHORTEST_S, connect
from facereg.networks.triton.transport import (
    DTYPES,
    MAX_ANSWER,
    Cause,
    Request,
    Transport,
    TransportError,
    WireModel,
    WireTensor,
    cause_in_words,
    require_answered,
)

CAUSES: dict[int, Cause] = {
    400: "refused",
    401: "shut out",
    403: "shut out",
    404: "missing",
    502: "lost",  # from a balancer whose server is gone
    503: "lost",
    504: "deadline",
}
MAX_HEADERS = 1 << 20  # bytes of an answer beside its body
MAX_JSON = 4 << 20  # bytes
PIECE = 1 << 20  # bytes read at once where the length is not known
HEADER_LENGTH = "Inference-Header-Content-Length"  # of the JSON before the bytes of tensors


class _JsonError(FaceregError):
    """JSON that is none."""


class HttpTransport(Transport):
    """Connections of HTTP/1.1, as many as requests were ever in flight."""

    def __init__(self, address: TritonAddress) -> None:
        super().__init__(address)
        self._idle: queue.LifoQueue[_Connection] = queue.LifoQueue()
        self._closed = threading.Event()

    def live(self, timeout_s: float) -> None:
        self._exchange("GET", "/v2/health/live", b"", {}, timeout_s, MAX_JSON)

    def model(self, name: str, version: str, timeout_s: float) -> WireModel:
        stated = self._ask("GET", _path(name, version), timeout_s)
        try:
            inputs, outputs = (
                tuple((str(t["name"]), str(t["datatype"]), _sizes(t["shape"])) for t in tensors)
                for tensors in (stated["inputs"], stated["outputs"])
            )
            return WireModel(tuple(str(each) for each in stated["versions"]), inputs, outputs)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _no_answer("what the model takes and gives", stated) from error

    def largest_batch(self, name: str, version: str, timeout_s: float) -> int:
        stated = self._ask("GET", f"{_path(name, version)}/config", timeout_s)
        try:
            return int(stated.get("max_batch_size", 0))
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise _no_answer("the model's configuration", stated) from error

    def states(self, timeout_s: float) -> dict[str, dict[str, str]]:
        stated = self._ask("POST", "/v2/repository/index", timeout_s)
        found: dict[str, dict[str, str]] = {}
        try:
            for entry in stated:
                state = f"{entry.get('state', '')} {entry.get('reason', '')}".strip()
                found.setdefault(str(entry["name"]), {})[str(entry.get("version", ""))] = state
        except (AttributeError, KeyError, TypeError) as error:
            raise _no_answer("a list of models", stated) from error
        return found

    def infer(self, request: Request, timeout_s: float) -> list[WireTensor]:
        parts = [np.ascontiguousarray(value).tobytes() for _, value in request.inputs]
        inputs = [
            {
                "name": name,
                "shape": list(value.shape),
                "datatype": DTYPES[value.dtype.name],
                "parameters": {"binary_data_size": len(part)},
            }
            for (name, value), part in zip(request.inputs, parts, strict=True)
        ]
        outputs = [{"name": name, "parameters": {"binary_data": True}} for name in request.outputs]
        head = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
        headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
        path = f"{_path(request.model, request.version)}/infer"
        response, body = self._exchange("POST", path, b"".join((head, *parts)), headers, timeout_s, MAX_ANSWER)
        length = response.getheader(HEADER_LENGTH, "")
        if not (length.isascii() and length.isdecimal() and len(length) < 12 and int(length) <= len(body)):
            raise TransportError("fault", f"expected the length of the answer's JSON, got {length[:20]!r}")
        stated = _json(body[: int(length)])
        try:
            require_answered(request, stated["model_name"], stated["model_version"])
            return _tensors(stated["outputs"], memoryview(body)[int(length) :])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _no_answer("an answer with tensors", stated) from error

    def _ask(self, method: str, path: str, timeout_s: float) -> Any:
        return _json(self._exchange(method, path, b"", {}, timeout_s, MAX_JSON)[1])

    def _exchange(
        self, method: str, path: str, body: bytes, headers: dict[str, str], timeout_s: float, limit: int
    ) -> tuple[HTTPResponse, bytes]:
        """Return the answer to one request, and its body of at most `limit` bytes."""
        if self._closed.is_set():
            raise TransportError("fault", "the connection is closed")
        until = time.monotonic() + timeout_s
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = _Connection(self.address)
        try:
            response, content = connection.exchange(method, path, body, {**self.headers, **headers}, until, limit)
        except BaseException as error:
            connection.close()  # something of this answer may yet come over it
            if isinstance(error, TimeoutError):
                raise TransportError("deadline", f"no answer in {timeout_s:.3g} s") from error
            # refused, reset; an answer that ends in the middle, or is none
            if isinstance(error, OSError | HTTPException | ValueError):
                raise TransportError("lost", f"{type(error).__name__}: {error}") from error
            raise
        self._idle.put(connection)
        if self._closed.is_set():
            self.close()
        if response.status != 200:
            raise _refusal(response.status, content)
        return response, content

    def close(self) -> None:
        self._closed.set()
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return


class _Connection(HTTPConnection):
    """A connection whose every exchange ends by a stated time, however slowly the bytes drip."""

    def __init__(self, address: TritonAddress) -> None:
        [(host, port)] = address.servers
        super().__init__(host, port)
        self.until, self.left = 0.0, 0

    def connect(self) -> None:
        self.sock = _Socket(connect(self.host, self.port, self.until), self)

    def exchange(
        self, method: str, path: str, body: bytes, headers: dict[str, str], until: float, limit: int
    ) -> tuple[HTTPResponse, bytes]:
        """Return the answer and its body; raises OSError, HTTPException, ValueError, TransportError."""
        self.until, self.left = until, MAX_HEADERS + limit
        self.request(method, path, body=body, headers=headers)
        response = self.getresponse()
        if response.length is not None:
            if response.length > limit:
                raise TransportError("fault", f"expected an answer of at most {limit:,} bytes, got {response.length:,}")
            return response, response.read()
        pieces = []
        while piece := response.read(PIECE):  # ends: the socket counts
            pieces.append(piece)
        return response, b"".join(pieces)


class _Socket:
    """What http.client asks of a socket, within the time and the bytes that its connection has left."""

    def __init__(self, real: socket.socket, owner: _Connection) -> None:
        self.real, self._owner = real, owner

    def sendall(self, content: bytes) -> None:
        self._set_time()
        self.real.sendall(content)

    def receive_into(self, buffer: Any) -> int:
        self._set_time()
        if self._owner.left <= 0:
            raise TransportError("fault", "the answer does not end")
        count = self.real.recv_into(buffer)
        self._owner.left -= count
        return count

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        self.real.close()

    def _set_time(self) -> None:
        left = self._owner.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.real.settimeout(max(SHORTEST_S, left))


class _Reader(io.RawIOBase):
    def __init__(self, source: _Socket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._source.receive_into(buffer)


def _path(name: str, version: str) -> str:
    return f"/v2/models/{name}/versions/{version}" if version else f"/v2/models/{name}"


def _json(content: bytes) -> Any:
    try:
        return parse_json(content.decode(), place="the server", expected="an answer", error=_JsonError)
    except (UnicodeDecodeError, _JsonError) as error:
        raise TransportError("fault", str(error)) from error


def _sizes(stated: Any) -> tuple[int, ...]:
    if not isinstance(stated, list) or any(type(size) is not int for size in stated):
        raise ValueError(stated)
    return tuple(stated)


def _tensors(stated: Any, content: memoryview) -> list[WireTensor]:
    """Return the tensors whose bytes follow one another in `content`."""
    found, start = [], 0
    for tensor in stated:
        size = tensor["parameters"]["binary_data_size"]
        if type(size) is not int or not 0 <= size <= len(content) - start:
            raise ValueError(size)
        part = content[start : start + size]
        found.append(WireTensor(str(tensor["name"]), str(tensor["datatype"]), _sizes(tensor["shape"]), part))
        start += size
    if start != len(content):
        raise ValueError(start)
    return found


def _no_answer(expected: str, stated: object) -> TransportError:
    return TransportError("fault", f"expected {expected}, got {str(stated)[:200]}")


def _refusal(status: int, content: bytes) -> TransportError:
    """Return the error of an answer with another status than 200."""
    try:
        stated = _json(content)
        message = str(stated["error"])
    except (TransportError, KeyError, TypeError):
        message = content[:200].decode("utf-8", "replace")
    return TransportError(cause_in_words(message, CAUSES.get(status, "fault")), message or f"status {status}")
