"""The way to a Triton server by gRPC: one channel, which spreads requests over the servers of its address."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from facereg.errors import MissingExtraError
from facereg.networks.triton.address import TritonAddress
from facereg.networks.triton.reaching import read_certificates, resolve
from facereg.networks.triton.transport import (
    DTYPES,
    GRACE_S,
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

# our errors say what failed; gRPC would print lines of its own to stderr
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
try:
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc
except ImportError as error:
    raise MissingExtraError("runner 'triton://' needs tritonclient; pip install 'facereg-core[triton]'") from error

Answer = TypeVar("Answer")
NAMES_S = 5.0  # to look up the names of several servers
CHANNEL = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", MAX_ANSWER),
    # Without these, gRPC waits up to two minutes before it looks whether a server that was gone is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # how long one try to connect may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A peer that went silent is found after 5 and 3 s; requests then go to another, or over a new connection.
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 3000),
    # Each request goes to the next of the servers that answer: those of the address, or those behind its one name.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.enable_retries", 0),  # ours knows the deadline and counts
]
CAUSES: dict[str, Cause] = {
    "UNAVAILABLE": "lost",
    "CANCELLED": "lost",  # we cancel nothing: the server does, when it ends
    "NOT_FOUND": "missing",
    "INVALID_ARGUMENT": "refused",
    "OUT_OF_RANGE": "refused",
    "DEADLINE_EXCEEDED": "deadline",
    "UNAUTHENTICATED": "shut out",
    "PERMISSION_DENIED": "shut out",
}
TOO_LARGE = "larger than max"  # ours to say: an answer over MAX_ANSWER
BROKEN_STREAM = ("Stream removed", "RST_STREAM", "GOAWAY", "Socket closed", "Connection reset")


class GrpcTransport(Transport):
    """One gRPC channel; those to the same server share its connection."""

    def __init__(self, address: TritonAddress) -> None:
        super().__init__(address)
        options: list[tuple[str, Any]] = list(CHANNEL)
        if address.tls:
            files = read_certificates(address)
            if len(address.servers) > 1:  # the channel has one name for all
                options.append(("grpc.ssl_target_name_override", address.servers[0][0]))
            credentials = grpc.ssl_channel_credentials(files.ca, files.key, files.cert)
            self._channel = grpc.secure_channel(_target(address), credentials, options=options)
        else:
            self._channel = grpc.insecure_channel(_target(address), options=options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._metadata = tuple(self.headers.items())

    def live(self, timeout_s: float) -> None:
        if not self._call(self._stub.ServerLive, service_pb2.ServerLiveRequest(), timeout_s).live:
            raise TransportError("lost", "it says that it is not alive")

    def model(self, name: str, version: str, timeout_s: float) -> WireModel:
        question = service_pb2.ModelMetadataRequest(name=name, version=version)
        answer = self._call(self._stub.ModelMetadata, question, timeout_s)
        inputs, outputs = (
            tuple((tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in tensors)
            for tensors in (answer.inputs, answer.outputs)
        )
        return WireModel(tuple(answer.versions), inputs, outputs)

    def largest_batch(self, name: str, version: str, timeout_s: float) -> int:
        question = service_pb2.ModelConfigRequest(name=name, version=version)
        return int(self._call(self._stub.ModelConfig, question, timeout_s).config.max_batch_size)

    def states(self, timeout_s: float) -> dict[str, dict[str, str]]:
        answer = self._call(self._stub.RepositoryIndex, service_pb2.RepositoryIndexRequest(), timeout_s)
        found: dict[str, dict[str, str]] = {}
        for entry in answer.models:
            found.setdefault(entry.name, {})[entry.version] = f"{entry.state} {entry.reason}".strip()
        return found

    def infer(self, request: Request, timeout_s: float) -> list[WireTensor]:
        question = service_pb2.ModelInferRequest(
            model_name=request.model,
            model_version=request.version,
            inputs=[
                service_pb2.ModelInferRequest.InferInputTensor(
                    name=name, datatype=DTYPES[value.dtype.name], shape=value.shape
                )
                for name, value in request.inputs
            ],
            outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in request.outputs],
            raw_input_contents=[np.ascontiguousarray(value).tobytes() for _, value in request.inputs],
        )
        answer = self._call(self._stub.ModelInfer, question, timeout_s)
        require_answered(request, answer.model_name, answer.model_version)
        if len(answer.outputs) != len(answer.raw_output_contents):
            raise TransportError(
                "fault",
                f"expected a tensor's bytes for each of {len(answer.outputs)} outputs, got "
                f"{len(answer.raw_output_contents)}",
            )
        return [
            WireTensor(tensor.name, tensor.datatype, tuple(tensor.shape), content)
            for tensor, content in zip(answer.outputs, answer.raw_output_contents, strict=True)
        ]

    def _call(self, method: Any, question: Any, timeout_s: float) -> Any:
        """Return the answer of one call."""
        return _answered(lambda: method.future(question, timeout=timeout_s, metadata=self._metadata), timeout_s)

    def close(self) -> None:
        self._channel.close()


def _answered(start: Callable[[], Any], timeout_s: float) -> Any:
    try:
        call = start()
    except ValueError as error:  # gRPC's word for a channel that is closed
        raise TransportError("fault", str(error)) from error
    try:
        return call.result(timeout_s + GRACE_S)
    except grpc.FutureTimeoutError as error:
        call.cancel()
        raise TransportError("deadline", f"no answer in {timeout_s:.3g} s") from error
    except grpc.FutureCancelledError as error:  # the channel was closed by another thread
        raise TransportError("lost", "the connection was closed") from error
    except grpc.RpcError as error:
        message = str(error.details())
        cause = CAUSES.get(error.code().name, "fault")
        if cause == "fault" and any(sign in message for sign in BROKEN_STREAM) and TOO_LARGE not in message:
            cause = "lost"
        raise TransportError(cause_in_words(message, cause), message) from error


def _target(address: TritonAddress) -> str:
    """Return the servers as gRPC takes them; of several, the numbers, for it looks up one name at most."""
    if len(address.servers) == 1:
        return f"dns:///{address.target}"
    try:
        found = [(port, resolve(host, port, NAMES_S)) for host, port in address.servers]
    except OSError as error:
        raise TransportError("lost", str(error)) from error
    for family, scheme, shape in ((socket.AF_INET, "ipv4", "{}:{}"), (socket.AF_INET6, "ipv6", "[{}]:{}")):
        chosen = [[shape.format(number, port) for kind, number in each if kind == family] for port, each in found]
        if all(chosen):
            return f"{scheme}:{','.join(place for places in chosen for place in places)}"
    raise TransportError("lost", "expected servers that all have an address of IPv4, or all one of IPv6")
