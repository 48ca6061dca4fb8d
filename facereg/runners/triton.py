"""A network on a Triton server; what is asked of it and what comes back are those of the network in this process."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from facereg.errors import (
    DeadlineError,
    DeadModelError,
    InputRefusedError,
    ModelMismatchError,
    ModelMissingError,
    ModelNotReadyError,
    RunnerError,
    ServerFaultError,
    UnreachableError,
)
from facereg.runners.address import TritonAddress, parse_address
from facereg.runners.base import Runner, Tensor
from facereg.runners.shared_memory import region_pool
from facereg.runners.spec import NetworkSpec, TensorSpec
from facereg.runners.transport import DTYPES, Part, Request, Transport, TransportError, acquire, release

SHA256 = "facereg_sha256"  # the parameter of the model's configuration that 'facereg triton build' writes
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0  # before a try is repeated; doubled each time
LOOK_S = 5.0  # for a question about the server or a model
ALIGN = 64  # bytes between tensors in shared memory


class TritonRunner(Runner):
    """Runs one network on a Triton server. Safe to share between threads; runners of one address share a connection.

    A request is repeated, with growing pauses, where the connection is lost, the server is not there or the model is
    being loaded: inference changes nothing on the server. Nothing else is repeated, and all of it within `timeout_s`.

    Args:
        spec: what the network takes and gives; the server's model is checked against it.
        address: of the server, `triton://HOST:PORT?...`; see `facereg.runners.address`.
        sha256: of the weights the server must hold; None takes what it holds.
    Raises:
        UnreachableError: if no server answers.
        ModelMissingError, ModelNotReadyError: if it does not serve the model.
        ModelMismatchError: if the model has other tensors or weights.
    """

    def __init__(self, spec: NetworkSpec, address: str | TritonAddress, *, sha256: str | None = None) -> None:
        self.address = parse_address(address) if isinstance(address, str) else address
        self._open = True
        self.in_flight = self.address.in_flight
        self.retries = 0  # requests that were repeated
        self._transport = acquire(self.address)
        try:
            served = _served(self._transport, spec)
            self._pool = region_pool(self._transport)
        except BaseException:
            release(self._transport)
            raise
        super().__init__(spec, fingerprint=served.sha256)
        self._served = served
        if sha256 is not None and served.sha256 != sha256 and self.address.weights == "own":
            self.close()
            raise ModelMismatchError(
                f"{spec.name}: {self.address.target} serves other weights: expected sha256 {sha256[:12]}..., got "
                f"{served.sha256[:12]}...; run 'facereg triton build' with the same weights, or allow any with "
                "?weights=any"
            )

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if not self._open:
            raise RunnerError(f"{self.spec.name}: this runner is closed; open the model again")
        until = time.monotonic() + self.address.timeout_s
        values = [inputs[tensor.name] for tensor in self.spec.inputs]
        count, most = len(values[0]), self._served.max_batch
        if count <= most:
            return self._run(values, until)
        parts = [[value[start : start + most] for value in values] for start in range(0, count, most)]
        answers = self._transport.each([partial(self._run, part, until) for part in parts])
        return {t.name: np.concatenate([answer[t.name] for answer in answers]) for t in self.spec.outputs}

    def _run(self, values: list[Tensor], until: float) -> dict[str, Tensor]:
        """Return the outputs of one request, repeated where that is safe and there is time."""
        wait, before = FIRST_WAIT_S, None
        while True:
            mends = self._transport.mended.get(self.spec.name, 0)
            try:
                return self._try(values, until)
            except TransportError as error:
                if error.cause == "deadline" and before is not None:
                    raise before from error  # what took the time says more than that it is over
                before = failure = _explained(error, self._transport, self.spec.name)
                gone = error.cause in ("lost", "missing") and isinstance(failure, UnreachableError | ModelNotReadyError)
            if isinstance(failure, DeadModelError) and self.address.mend:
                self._mend(mends, until, failure)
            elif not gone:
                raise failure
            left = until - time.monotonic()
            if left <= 0.001:
                raise failure
            self.retries += 1
            time.sleep(min(left, wait * random.uniform(0.5, 1.0)))  # many clients must not come back at one moment
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _try(self, values: list[Tensor], until: float) -> dict[str, Tensor]:
        """Make one request; raises TransportError."""
        left = until - time.monotonic()
        if left <= 0.001:
            raise TransportError("deadline", "no time left")
        served = self._served
        inputs = tuple(zip(served.inputs, values, strict=True))
        if self._pool is None:
            request = Request(self.spec.name, self.address.version, inputs, served.outputs, {})
            return self._named(self._transport.infer(request, left), len(values[0]))
        places, size = self._layout(values)
        region = self._pool.take(size, left)
        try:
            for name, value in inputs:
                region.write(places[name][0], value)
            placed = {name: Part(region.name, offset, length) for name, (offset, length) in places.items()}
            request = Request(self.spec.name, self.address.version, inputs, served.outputs, placed)
            found = self._transport.infer(request, until - time.monotonic())
            for tensor, name in zip(self.spec.outputs, served.outputs, strict=True):
                if name in placed:
                    found[name] = region.read(places[name][0], tensor.dtype, _full_shape(tensor, len(values[0])))
        except TransportError as error:
            forgotten = error.cause == "refused" and self._pool.lost(region, LOOK_S)
            self._pool.retire(region)
            if forgotten:
                raise TransportError("lost", "the server no longer maps our shared memory: it was restarted") from error
            raise
        except BaseException:
            self._pool.retire(region)
            raise
        self._pool.give(region)
        return self._named(found, len(values[0]))

    def _layout(self, values: list[Tensor]) -> tuple[dict[str, tuple[int, int]], int]:
        """Return offset and size of each tensor of known size in a region, and the size of the region."""
        sizes = [(name, value.nbytes) for name, value in zip(self._served.inputs, values, strict=True)]
        for tensor, name in zip(self.spec.outputs, self._served.outputs, strict=True):
            if None not in tensor.dims[1:]:
                shape = _full_shape(tensor, len(values[0]))
                sizes.append((name, math.prod(shape) * np.dtype(tensor.dtype).itemsize))
        places, end = {}, 0
        for name, size in sizes:
            places[name] = (end, size)
            end += -(-size // ALIGN) * ALIGN
        return places, end

    def _named(self, found: Mapping[str, Tensor | None], count: int) -> dict[str, Tensor]:
        """Return the outputs under the names of the spec, each of its shape and type."""
        outputs = {}
        for tensor, name in zip(self.spec.outputs, self._served.outputs, strict=True):
            value = found[name]
            if value is not None and len(tensor.dims) == 1:
                value = value.reshape(-1)  # (B, 1) on the wire
            if (
                value is None
                or value.dtype != np.dtype(tensor.dtype)
                or value.ndim != len(tensor.dims)
                or len(value) != count
            ):
                got = "none" if value is None else f"{value.dtype} {value.shape}"
                raise ServerFaultError(
                    f"{self.spec.name}: {name}: expected {tensor.dtype} {(count, *tensor.dims[1:])} (None: any), "
                    f"got {got} from {self.address.target}; if it runs the Python backend, its NumPy must be below 2"
                )
            outputs[tensor.name] = value
        return outputs

    @property
    def mended(self) -> int:
        """How often the model was loaded anew, by any runner of this address."""
        return self._transport.mended.get(self.spec.name, 0)

    def _mend(self, seen: int, until: float, failure: RunnerError) -> None:
        """Wait until the model is unloaded and loaded, once for all threads that found it dead."""
        try:
            self._transport.mend(self.spec.name, seen).result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            raise failure from None
        except TransportError as error:
            if error.cause != "lost":  # else the server itself is gone: the next try says so
                raise DeadModelError(
                    f"{self.spec.name}: its process on {self.address.target} is dead, and it could not be loaded "
                    f"anew: {error}; start the server with --model-control-mode=explicit, or restart it"
                ) from error

    def close(self) -> None:
        if self._open:
            self._open = False
            if self._pool is not None:
                self._pool.close()
            release(self._transport)


@dataclass(frozen=True, slots=True)
class _Served:
    """The model as the server has it: names in the order of the spec's tensors."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    max_batch: int
    sha256: str


def _served(transport: Transport, spec: NetworkSpec) -> _Served:
    """Return the server's model, checked against the spec."""
    address = transport.address
    try:
        metadata = transport.ask(lambda client: client.get_model_metadata(spec.name, address.version), LOOK_S)
        config = transport.ask(lambda client: client.get_model_config(spec.name, address.version), LOOK_S)
    except TransportError as error:
        raise _explained(error, transport, spec.name) from error
    config = config.get("config", config)  # gRPC wraps it
    inputs = _matched(address, spec, "inputs", spec.inputs, metadata["inputs"])
    outputs = _matched(address, spec, "outputs", spec.outputs, metadata["outputs"])
    sha256 = config.get("parameters", {}).get(SHA256, {}).get("string_value", "")
    if not sha256:
        raise ModelMismatchError(
            f"{spec.name}: expected the sha256 of its weights as {SHA256!r} in the configuration at {address.target}, "
            "found none; write the repository with 'facereg triton build'"
        )
    served = int(config.get("max_batch_size", 0))
    if served < 1:
        raise ModelMismatchError(
            f"{spec.name}: expected max_batch_size of at least 1 at {address.target}, got {served}; "
            "write the repository with 'facereg triton build'"
        )
    return _Served(inputs, outputs, min(spec.max_batch, served), sha256)


def _matched(
    address: TritonAddress,
    spec: NetworkSpec,
    kind: str,
    declared: tuple[TensorSpec, ...],
    found: list[dict[str, Any]],
) -> tuple[str, ...]:
    """Return the server's names of the declared tensors."""
    by_name = {tensor["name"]: tensor for tensor in found}
    if spec.by_position and len(found) == len(declared):
        chosen = found
    elif all(tensor.name in by_name for tensor in declared) and (kind == "outputs" or len(found) == len(declared)):
        chosen = [by_name[tensor.name] for tensor in declared]
    else:
        raise ModelMismatchError(
            f"{spec.name}: expected the {kind} {[tensor.name for tensor in declared]}, got {list(by_name)} from "
            f"{address.target}; write the repository with 'facereg triton build'"
        )
    for tensor, theirs in zip(declared, chosen, strict=True):
        shape = [int(size) for size in theirs["shape"]]
        dims = [-1 if size is None else size for size in tensor.dims[1:]] or [1]
        fits = len(shape) == len(dims) + 1 and all(
            -1 in (mine, size) or mine == size for mine, size in zip(dims, shape[1:], strict=True)
        )
        if not fits or theirs["datatype"] != DTYPES[tensor.dtype]:
            raise ModelMismatchError(
                f"{spec.name}: {theirs['name']}: expected {DTYPES[tensor.dtype]} {[-1, *dims]} (-1: any), got "
                f"{theirs['datatype']} {shape} from {address.target}; write the repository with 'facereg triton build'"
            )
    return tuple(str(tensor["name"]) for tensor in chosen)


def _explained(error: TransportError, transport: Transport, model: str) -> RunnerError:
    """Return the typed error of a failure; where the failure alone does not tell, the server is asked."""
    address = transport.address
    where, said = f"{model}: {address.target}", f": {str(error).rstrip('.')}" if str(error) else ""
    if error.cause == "refused":
        return InputRefusedError(f"{where} refused the tensors{said}")
    if error.cause == "deadline":
        return DeadlineError(
            f"{where} gave no answer in {address.timeout_s:g} s; allow more with ?timeout_s=, or give the server more"
        )
    if error.cause == "shut out":
        return UnreachableError(f"{where} did not let us in{said}; check token_env, ca, cert and key")
    if error.cause == "fault":
        if "Stub process" in str(error) and "not healthy" in str(error):
            return DeadModelError(
                f"{where} calls the model ready, but its process is dead{said}; unload and load it with "
                f"'facereg triton check --mend', or open it with ?mend=true"
            )
        return ServerFaultError(f"{where} failed{said}; see the server's log")
    states = _states(transport)
    if states is None:
        return UnreachableError(
            f"{where}: no Triton server answers{said}; start one with 'facereg triton serve', or check the address: "
            "triton://HOST:8001 and triton+http://HOST:8000 are usual"
        )
    if model not in states:
        return ModelMissingError(
            f"{where} has no such model; it has: {', '.join(sorted(states)) or 'none'}; add it with "
            "'facereg triton build' and restart the server"
        )
    if address.version and error.cause == "missing" and states[model] == "READY":
        return ModelMissingError(
            f"{where} has no version {address.version!r} of it; leave ?version= out for the newest"
        )
    if states[model] == "READY":
        return UnreachableError(f"{where}: the connection was lost{said}; the server answers again")
    return ModelNotReadyError(f"{where} does not serve it now ({states[model] or 'not loaded'}); see the server's log")


def _states(transport: Transport) -> dict[str, str] | None:
    """Return the state of each model that the server has, or None where it does not answer."""
    try:
        index = transport.ask(lambda client: client.get_model_repository_index(), LOOK_S)
    except TransportError:
        return None
    models = index.get("models", []) if isinstance(index, dict) else index
    return {model["name"]: f"{model.get('state', '')} {model.get('reason', '')}".strip() for model in models}


def _full_shape(tensor: TensorSpec, count: int) -> tuple[int, ...]:
    return (count, *(size or 0 for size in tensor.dims[1:]))
