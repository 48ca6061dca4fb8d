"""What a client asks a Triton server and what the server answers, over HTTP or gRPC: the KServe protocol, version 2.

An answer is foreign bytes: each tensor's type, shape and size are read and compared with what was asked.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facereg.names import shown
from facereg.networks.runner import Tensor
from facereg.networks.spec import TensorSpec
from facereg.networks.triton.address import TritonAddress

Cause = Literal["lost", "dead", "unready", "missing", "refused", "deadline", "fault", "shut out"]
DTYPES = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}
MAX_ANSWER = 1 << 30  # bytes; a larger answer is refused before it is read
GRACE_S = 0.25  # after a deadline of the library below, until ours ends a call that outlives it


def cause_in_words(message: str, cause: Cause) -> Cause:
    """Return the cause of an error that Triton gives with a status of several meanings."""
    if "not at ready state" in message:
        return "unready"  # being loaded, or taken away
    if "Stub process" in message and "not healthy" in message:
        return "dead"  # the Python backend's words
    return cause


class TransportError(Exception):
    """A request that came to nothing, and why."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(shown(" ".join(message.split()))[:500])
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Request:
    """One run of a network: inputs are names and values, outputs the server's names, in order."""

    model: str
    version: str
    inputs: tuple[tuple[str, Tensor], ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WireTensor:
    """A tensor as it came: nothing about it is checked."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: bytes | memoryview


@dataclass(frozen=True, slots=True)
class WireModel:
    """A model as the server states it: tensors by name, datatype and shape, the batch first."""

    versions: tuple[str, ...]
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...]


class Transport(ABC):
    """A way to one server, or to several that are alike. Safe between threads; every call ends within `timeout_s`.

    All methods raise TransportError and nothing else.
    """

    def __init__(self, address: TritonAddress) -> None:
        self.address = address
        self.headers = address.headers

    @abstractmethod
    def live(self, timeout_s: float) -> None:
        """Return if the server answers."""

    @abstractmethod
    def model(self, name: str, version: str, timeout_s: float) -> WireModel:
        """Return what the server states about a version of a model, or about the newest where it is empty."""

    @abstractmethod
    def largest_batch(self, name: str, version: str, timeout_s: float) -> int:
        """Return how many rows a request may have."""

    @abstractmethod
    def states(self, timeout_s: float) -> dict[str, dict[str, str]]:
        """Return the state of each version of each model."""

    @abstractmethod
    def infer(self, request: Request, timeout_s: float) -> list[WireTensor]:
        """Return the outputs of one run, from the version that was asked."""

    @abstractmethod
    def close(self) -> None:
        """End the connection."""


def open_transport(address: TritonAddress) -> Transport:
    """Return the way to the servers of an address; nothing is sent yet.

    Raises:
        TransportError: if there are several and a name is not known.
        RunnerError: if a certificate or the token is none.
        MissingExtraError: if it is gRPC, and tritonclient is not installed.
    """
    if address.protocol == "http":
        from facereg.networks.triton.over_http import HttpTransport

        return HttpTransport(address)
    from facereg.networks.triton.over_grpc import GrpcTransport

    return GrpcTransport(address)


def require_answered(request: Request, model: str, version: str) -> None:
    """Refuse an answer that another network gave."""
    if (model, version) != (request.model, request.version):
        raise TransportError(
            "fault", f"asked version {request.version} of {request.model}, was answered by {version} of {model}"
        )


def read_tensor(spec: TensorSpec, name: str, count: int, answer: Sequence[WireTensor]) -> Tensor:
    """Return an output of `count` rows under its name in the answer.

    Raises:
        TransportError: if it is not there, or of another type, shape or size than asked.
    """
    wanted = (count, *spec.dims[1:])
    found = [tensor for tensor in answer if tensor.name == name]
    if len(found) != 1:
        raise TransportError("fault", f"expected one tensor {name} in the answer, got {len(found)}")
    [tensor] = found
    on_the_wire = wanted if len(spec.dims) > 1 else (count, 1)  # a server knows no tensor of the batch alone
    dtype = np.dtype(spec.dtype)
    fits = (
        tensor.datatype == DTYPES[spec.dtype]
        and len(tensor.shape) == len(on_the_wire)
        and all(size >= 0 and mine in (None, size) for mine, size in zip(on_the_wire, tensor.shape, strict=True))
        and math.prod(tensor.shape) * dtype.itemsize == len(tensor.content)
    )
    if not fits:
        raise TransportError(
            "fault",
            f"{name}: expected {DTYPES[spec.dtype]} {list(on_the_wire)} (None: any), got {tensor.datatype} "
            f"{list(tensor.shape)} in {len(tensor.content)} bytes",
        )
    return np.frombuffer(tensor.content, dtype).reshape(tensor.shape if len(spec.dims) > 1 else count)
