"""How requests reach a Triton server: gRPC or HTTP, one connection an address, errors sorted by cause."""

from __future__ import annotations

import os
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from types import ModuleType
from typing import Any, Literal, TypeVar

import numpy as np

from facereg.errors import MissingExtraError, RunnerError
from facereg.runners.address import TritonAddress
from facereg.runners.base import Tensor

try:
    import tritonclient.grpc as triton_grpc
    import tritonclient.http as triton_http
    from tritonclient.utils import InferenceServerException
except ImportError as error:
    raise MissingExtraError("runner 'triton://' needs tritonclient; pip install 'facereg-core[triton]'") from error

Cause = Literal["lost", "missing", "refused", "deadline", "fault", "shut out"]
Answer = TypeVar("Answer")
DTYPES = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}
LOAD_S, LOAD_TRIES = 60.0, 3  # to load a model: on a busy machine its new process may be taken for dead at once
HTTP_THREADS = 16  # requests at once over HTTP, or more where `in_flight` is: each waits in a thread with a client
# Without these, gRPC waits up to two minutes before it looks whether a server that was gone is back.
CHANNEL = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # how long one try to connect may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
]
GRPC_CAUSES: dict[str, Cause] = {
    "UNAVAILABLE": "lost",
    "CANCELLED": "lost",  # we cancel nothing: the server does, when it ends
    "NOT_FOUND": "missing",
    "INVALID_ARGUMENT": "refused",
    "OUT_OF_RANGE": "refused",
    "DEADLINE_EXCEEDED": "deadline",
    "UNAUTHENTICATED": "shut out",
    "PERMISSION_DENIED": "shut out",
}
HTTP_CAUSES: dict[str, Cause] = {
    "400": "refused",
    "401": "shut out",
    "403": "shut out",
    "404": "missing",
    "502": "lost",  # from a balancer whose server is gone
    "503": "lost",
    "504": "deadline",
}
BROKEN_STREAM = ("Stream removed", "RST_STREAM", "GOAWAY", "Socket closed", "Connection reset")


class TransportError(Exception):
    """A request that came to nothing, and why."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a region: where one tensor lies."""

    region: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Request:
    """One run of a model.

    Args:
        inputs: names and values, in order.
        outputs: names, in order.
        placed: tensors that lie in shared memory, by name; an input's value then gives only its shape and dtype.
    """

    model: str
    version: str
    inputs: tuple[tuple[str, Tensor], ...]
    outputs: tuple[str, ...]
    placed: Mapping[str, Part]


class Transport(ABC):
    """One connection to one server, shared by all runners of its address. Safe between threads."""

    def __init__(self, address: TritonAddress) -> None:
        self.address = address
        self.headers = address.headers
        self.mended: dict[str, int] = {}  # how often each model was loaded anew
        self._mends: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        # threads start when there is something to do
        self._splitter = ThreadPoolExecutor(address.in_flight, thread_name_prefix="facereg-triton")
        self._mender = ThreadPoolExecutor(1, thread_name_prefix="facereg-triton-mend")

    @abstractmethod
    def ask(self, question: Callable[[Any], Answer], timeout_s: float) -> Answer:
        """Put a question to a client; raises TransportError."""

    @abstractmethod
    def infer(self, request: Request, timeout_s: float) -> dict[str, Tensor]:
        """Return the outputs that do not lie in shared memory."""

    def each(self, calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """Make several calls, `in_flight` at once; the first error is raised when all have ended."""
        waiting = [self._splitter.submit(call) for call in calls]
        for each in waiting:
            each.exception()
        return [each.result() for each in waiting]

    def mend(self, model: str, seen: int) -> Future[None]:
        """Unload and load a model, unless that was done since it had been `seen` times; one mend serves all who ask."""
        with self._lock:
            if self.mended.get(model, 0) != seen:
                done: Future[None] = Future()
                done.set_result(None)
                return done
            if model not in self._mends:
                self._mends[model] = self._mender.submit(self._reload, model)
            return self._mends[model]

    def _reload(self, model: str) -> None:
        mended = 0
        try:
            for left in range(LOAD_TRIES - 1, -1, -1):
                self.ask(lambda client: client.unload_model(model), LOAD_S)
                try:
                    self.ask(lambda client: client.load_model(model), LOAD_S)
                    break
                except TransportError as error:
                    if error.cause != "fault" or not left:
                        raise
            mended = 1
        finally:
            with self._lock:
                self.mended[model] = self.mended.get(model, 0) + mended
                del self._mends[model]

    def close(self) -> None:
        """End the connection."""
        self._splitter.shutdown()
        self._mender.shutdown()


class GrpcTransport(Transport):
    """One gRPC channel."""

    def __init__(self, address: TritonAddress) -> None:
        super().__init__(address)
        for name, file in (("ca", address.ca), ("cert", address.cert), ("key", address.key)):
            if file and not os.access(file, os.R_OK):
                raise RunnerError(f"{name}: expected a PEM file, cannot read {file}; check the path")
        self._client = triton_grpc.InferenceServerClient(
            address.target,
            ssl=address.tls,
            root_certificates=address.ca or None,
            private_key=address.key or None,
            certificate_chain=address.cert or None,
            channel_args=CHANNEL,
        )

    def ask(self, question: Callable[[Any], Answer], timeout_s: float) -> Answer:
        return self._guarded(lambda: question(_Asking(self._client, self.headers, timeout_s)))

    def infer(self, request: Request, timeout_s: float) -> dict[str, Tensor]:
        inputs, outputs = _tensors(triton_grpc, request)

        def send() -> dict[str, Tensor]:
            answer = self._client.infer(
                request.model,
                inputs,
                model_version=request.version,
                outputs=outputs,
                client_timeout=timeout_s,
                headers=self.headers,
            )
            return _arrays(request, answer)

        return self._guarded(send)

    def _guarded(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except InferenceServerException as error:
            message = " ".join(str(error.message()).split())
            cause = GRPC_CAUSES.get(str(error.status()).rpartition(".")[2], "fault")
            if cause == "fault" and any(sign in message for sign in BROKEN_STREAM):
                cause = "lost"
            raise TransportError(cause, message) from error
        except ValueError as error:  # gRPC's word for a channel that is closed
            raise TransportError("fault", str(error)) from error

    def close(self) -> None:
        super().close()
        self._client.close()


class _Asking:
    """A gRPC client whose every call has the headers and a deadline."""

    def __init__(self, client: Any, headers: Mapping[str, str], timeout_s: float) -> None:
        self._client, self._headers, self._timeout_s = client, headers, timeout_s

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)

        def ask(*arguments: Any, **named: Any) -> Any:
            if name.startswith("get_"):
                named["as_json"] = True
            return call(*arguments, headers=self._headers, client_timeout=self._timeout_s, **named)

        return ask


class HttpTransport(Transport):
    """Threads with an HTTP client each: a client of tritonclient cannot cross threads."""

    def __init__(self, address: TritonAddress) -> None:
        super().__init__(address)
        self._jobs: queue.SimpleQueue[tuple[Callable[[Any], Any], float, Future[Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._most = max(HTTP_THREADS, address.in_flight)

    def ask(self, question: Callable[[Any], Answer], timeout_s: float) -> Answer:
        return self._do(lambda client: question(_HttpAsking(client, self.headers)), timeout_s)

    def infer(self, request: Request, timeout_s: float) -> dict[str, Tensor]:
        inputs, outputs = _tensors(triton_http, request)

        def send(client: Any) -> dict[str, Tensor]:
            answer = client.infer(
                request.model, inputs, model_version=request.version, outputs=outputs, headers=self.headers
            )
            return _arrays(request, answer)

        return self._do(send, timeout_s)

    def _do(self, job: Callable[[Any], Answer], timeout_s: float) -> Answer:
        done: Future[Answer] = Future()
        with self._lock:
            if self._idle == 0 and len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name="facereg-triton-http", daemon=True)
                self._threads.append(thread)
                thread.start()
            else:
                self._idle -= 1
        self._jobs.put((job, timeout_s, done))
        return done.result()

    def _work(self) -> None:
        client = None
        while (given := self._jobs.get()) is not None:
            job, timeout_s, done = given
            value, failed = None, None
            try:
                client = client or triton_http.InferenceServerClient(self.address.target, network_timeout=None)
                value = _within(timeout_s, job, client)
            except BaseException as error:  # the caller answers it
                failed = error
            if isinstance(failed, TransportError) and failed.cause in ("lost", "deadline") and client is not None:
                client.close()  # its connection is of no more use
                client = None
            with self._lock:
                self._idle += 1
            if failed is None:
                done.set_result(value)
            else:
                done.set_exception(failed)
        if client is not None:
            client.close()

    def close(self) -> None:
        super().close()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()


class _HttpAsking:
    """An HTTP client whose every call has the headers."""

    def __init__(self, client: Any, headers: Mapping[str, str]) -> None:
        self._client, self._headers = client, headers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)
        return lambda *arguments, **named: call(*arguments, headers=self._headers, **named)


def _within(timeout_s: float, job: Callable[[Any], Answer], client: Any) -> Answer:
    """Do a job of an HTTP client in this thread; raises TransportError."""
    import gevent

    try:
        with gevent.Timeout(timeout_s):
            return job(client)
    except gevent.Timeout as error:
        raise TransportError("deadline", f"no answer in {timeout_s:.3g} s") from error
    except InferenceServerException as error:
        cause = HTTP_CAUSES.get(str(error.status()), "fault")
        raise TransportError(cause, " ".join(str(error.message()).split())) from error
    except OSError as error:  # refused, reset, timed out
        raise TransportError("lost", str(error)) from error
    except HTTPException as error:  # a connection that ends in the middle of an answer, or answers something else
        raise TransportError("lost", f"{type(error).__name__}: {error}") from error


def _tensors(protocol: ModuleType, request: Request) -> tuple[list[Any], list[Any]]:
    inputs, outputs = [], []
    for name, value in request.inputs:
        tensor = protocol.InferInput(name, list(value.shape), DTYPES[value.dtype.name])
        if name in request.placed:
            part = request.placed[name]
            tensor.set_shared_memory(part.region, part.size, part.offset)
        else:
            tensor.set_data_from_numpy(np.ascontiguousarray(value))
        inputs.append(tensor)
    for name in request.outputs:
        tensor = protocol.InferRequestedOutput(name)
        if name in request.placed:
            part = request.placed[name]
            tensor.set_shared_memory(part.region, part.size, part.offset)
        outputs.append(tensor)
    return inputs, outputs


def _arrays(request: Request, answer: Any) -> dict[str, Tensor]:
    return {name: answer.as_numpy(name) for name in request.outputs if name not in request.placed}


_OPEN: dict[TritonAddress, tuple[Transport, int]] = {}
_OPENING = threading.Lock()


def acquire(address: TritonAddress) -> Transport:
    """Return the connection to a server: one for all who ask with the same address."""
    with _OPENING:
        transport, users = _OPEN.get(address, (None, 0))
        if transport is None:
            transport = GrpcTransport(address) if address.protocol == "grpc" else HttpTransport(address)
        _OPEN[address] = transport, users + 1
        return transport


def release(transport: Transport) -> None:
    """Say that one of those who asked is done; the last one ends the connection."""
    with _OPENING:
        _, users = _OPEN[transport.address]
        if users > 1:
            _OPEN[transport.address] = transport, users - 1
            return
        del _OPEN[transport.address]
    transport.close()
