"""Peers that speak Triton's protocol, whole or broken: servers by gRPC and HTTP in this process, a wire to freeze."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from facereg.networks.spec import NetworkSpec, TensorSpec, weights_version

SHA256 = "ab" * 32
VERSION = str(weights_version(SHA256))
DOUBLER = NetworkSpec(
    name="doubler",
    inputs=(TensorSpec("x", "float32", (None, 3)),),
    outputs=(TensorSpec("y", "float32", (None, 3)), TensorSpec("sums", "float32", (None,))),
    package="facereg",
    file="doubler.onnx",
    sha256=SHA256,
    max_batch=8,
)
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


class Doubler(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code has no types
    """A server with one network, y = x + x and its sums; `bend` changes an answer before it goes out."""

    def __init__(self, versions: tuple[str, ...] = (VERSION,)) -> None:
        self.versions = versions
        self.unready: dict[str, str] = {}  # versions that are not ready, and their state
        self.private = False  # whether it keeps the list of its models to itself
        self.asked: list[str] = []  # the versions of the runs
        self.metadata: list[dict[str, str]] = []
        self.bend: Callable[[Any, Any], Any] = lambda answer, context: answer

    def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        return service_pb2.ServerLiveResponse(live=True)

    def _require(self, request_version: str, context: Any) -> None:
        if request_version in self.unready:
            context.abort(grpc.StatusCode.UNAVAILABLE, f"version {request_version} is not at ready state")
        if request_version and request_version not in self.versions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model: 'doubler' version {request_version} is not found")

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        if request.name != "doubler":
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown model")
        self._require(request.version, context)
        tensor = service_pb2.ModelMetadataResponse.TensorMetadata
        return service_pb2.ModelMetadataResponse(
            name="doubler",
            versions=[request.version] if request.version else self.versions,
            inputs=[tensor(name="x", datatype="FP32", shape=[-1, 3])],
            outputs=[
                tensor(name="y", datatype="FP32", shape=[-1, 3]),
                tensor(name="sums", datatype="FP32", shape=[-1, 1]),
            ],
        )

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        return service_pb2.ModelConfigResponse(config=model_config_pb2.ModelConfig(max_batch_size=8))

    def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        if self.private:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "private")
        entry = service_pb2.RepositoryIndexResponse.ModelIndex
        states = dict.fromkeys(self.versions, "READY") | self.unready
        return service_pb2.RepositoryIndexResponse(
            models=[entry(name="doubler", version=version, state=state) for version, state in states.items()]
        )

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        self._require(request.model_version, context)
        self.asked.append(request.model_version)
        self.metadata.append(dict(context.invocation_metadata()))
        x = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(request.inputs[0].shape)
        tensor = service_pb2.ModelInferResponse.InferOutputTensor
        answer = service_pb2.ModelInferResponse(
            model_name=request.model_name,
            model_version=request.model_version,
            outputs=[
                tensor(name="y", datatype="FP32", shape=x.shape),
                tensor(name="sums", datatype="FP32", shape=[len(x), 1]),
            ],
            raw_output_contents=[(x + x).tobytes(), x.sum(1).tobytes()],
        )
        return self.bend(answer, context)


@contextmanager
def grpc_peer(doubler: Doubler, *, port: int = 0, credentials: Any = None) -> Iterator[int]:
    """Serve it by gRPC; yields the port."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(doubler, server)
    place = f"127.0.0.1:{port}"
    bound = server.add_insecure_port(place) if credentials is None else server.add_secure_port(place, credentials)
    server.start()
    try:
        yield bound
    finally:
        server.stop(0).wait()


@dataclass
class Wire:
    """A TCP proxy: while `frozen` is set it keeps its connections and passes nothing on."""

    port: int = 0
    frozen: threading.Event = field(default_factory=threading.Event)


@contextmanager
def wire_to(target: int) -> Iterator[Wire]:
    """Pass bytes between a port of its own and the target."""
    ended = threading.Event()
    open_sockets: list[socket.socket] = []

    def pump(one: socket.socket, other: socket.socket) -> None:
        while not ended.is_set():
            if wire.frozen.is_set():
                ended.wait(0.02)
                continue
            ready, _, _ = select.select([one, other], [], [], 0.05)
            for source in ready:
                try:
                    content = source.recv(1 << 16)
                    (other if source is one else one).sendall(content)
                except OSError:
                    content = b""
                if not content:
                    one.close()
                    other.close()
                    return

    def accept(listener: socket.socket) -> None:
        while not ended.is_set():
            if not select.select([listener], [], [], 0.05)[0]:
                continue
            one = listener.accept()[0]
            other = socket.create_connection(("127.0.0.1", target))
            open_sockets.extend((one, other))
            threading.Thread(target=pump, args=(one, other), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(listener.getsockname()[1])
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        try:
            yield wire
        finally:
            ended.set()
            thread.join()
            for each in open_sockets:
                each.close()


def http_answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """Return an answer of HTTP with the length of its body."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def http_tensors(outputs: list[dict[str, Any]], content: bytes, *, version: str = VERSION) -> bytes:
    """Return a run's answer by HTTP."""
    head = json.dumps({"model_name": "doubler", "model_version": version, "outputs": outputs}).encode()
    return http_answer(head + content, headers=f"Inference-Header-Content-Length: {len(head)}\r\n")


def http_doubled(rows: Any, *, version: str = VERSION) -> bytes:
    """Return the right answer by HTTP."""
    outputs: list[dict[str, Any]] = [
        {"name": "y", "datatype": "FP32", "shape": [len(rows), 3], "parameters": {"binary_data_size": 12 * len(rows)}},
        {
            "name": "sums",
            "datatype": "FP32",
            "shape": [len(rows), 1],
            "parameters": {"binary_data_size": 4 * len(rows)},
        },
    ]
    return http_tensors(outputs, (rows + rows).tobytes() + rows.sum(1).tobytes(), version=version)


@dataclass
class HttpPeer:
    """What a server by HTTP says: `run` to a run of the network, all else as the Doubler would."""

    port: int = 0
    run: Callable[[socket.socket], None] | bytes = b""
    stated: dict[str, bytes] = field(default_factory=dict)  # by path


@contextmanager
def http_peer() -> Iterator[HttpPeer]:
    """Serve the network by HTTP, a connection an answer."""
    ended = threading.Event()
    peer = HttpPeer(run=http_doubled(ROWS))
    tensors = {
        "versions": [VERSION],
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "sums", "datatype": "FP32", "shape": [-1, 1]},
        ],
    }
    model = f"/v2/models/doubler/versions/{VERSION}"
    peer.stated = {
        "/v2/health/live": http_answer(b""),
        "/v2/models/doubler": http_answer(json.dumps(tensors).encode()),
        model: http_answer(json.dumps(tensors).encode()),
        f"{model}/config": http_answer(b'{"max_batch_size": 8}'),
    }

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                while words := lines.readline().split():
                    path, length = words[1].decode(), 0
                    while line := lines.readline().strip():
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    lines.read(length)
                    if path != f"{model}/infer":
                        connection.sendall(peer.stated.get(path, http_answer(b"{}", status="404 Not Found")))
                    elif isinstance(peer.run, bytes):
                        connection.sendall(peer.run)
                        if b"Content-Length" not in peer.run or b"close" in peer.run:
                            return
                    else:
                        peer.run(connection)
                        return
            except (OSError, ValueError, IndexError):  # the wire broke in the middle of a request
                return

    def accept(listener: socket.socket) -> None:
        while not ended.is_set():
            if select.select([listener], [], [], 0.05)[0]:
                connection = listener.accept()[0]
                connection.settimeout(30)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer.port = listener.getsockname()[1]
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        try:
            yield peer
        finally:
            ended.set()
            thread.join()
