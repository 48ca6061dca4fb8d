"""A network on a Triton server: it takes and gives the same tensors as the network in this process."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from facereg.errors import RunnerError, UnreachableError
from facereg.networks.runner import Runner, Tensor
from facereg.networks.spec import NetworkSpec
from facereg.networks.triton.address import TritonAddress, parse_address
from facereg.networks.triton.failures import Circuit, explained, is_retired
from facereg.networks.triton.reaching import SHORTEST_S
from facereg.networks.triton.served import find_served, wanted_version
from facereg.networks.triton.transport import Request, TransportError, open_transport, read_tensor

AGAIN = frozenset({"lost", "dead", "unready", "missing"})  # causes that time, or another server, may mend
GONE_S = 1.0  # a version that is not ready for so long is looked after: it may have been taken away
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0  # before a try is repeated; doubled each time


class TritonRunner(Runner):
    """Runs one network on a Triton server, or on several that are alike. Safe to share between threads.

    Every request names the version that was found at opening, which is made from the weights: other weights never
    answer it. A request is repeated, with growing pauses, where the connection is lost, the server is not there, the
    model is being loaded or its process died: inference changes nothing on the server. Nothing else is repeated, and
    all of it within `timeout_s`. After a call that found no server for its whole time, calls fail at once for
    `facereg.networks.triton.failures.REST_S`.

    Args:
        spec: what the network takes and gives; the server's model is checked against it.
        address: of the server, `triton://HOST:PORT?...`; see `facereg.networks.triton.address`.
        sha256: of the weights the server must hold; None takes what it holds.
    Raises:
        UnreachableError: if no server answers.
        ModelMissingError, ModelNotReadyError: if it does not serve the model, or not in the version of the address.
        ModelMismatchError: if the model has other tensors or weights.
    """

    def __init__(self, spec: NetworkSpec, address: str | TritonAddress, *, sha256: str | None = None) -> None:
        self.address = parse_address(address) if isinstance(address, str) else address
        self._open = True
        self.in_flight = self.address.in_flight
        self.retries = 0  # requests that were repeated
        version = wanted_version(self.address, sha256)
        try:
            self._transport = open_transport(self.address)
        except TransportError as error:  # names that are not known
            raise UnreachableError(f"{spec.name}: {self.address.target}: {error}; check the address") from error
        try:
            served = find_served(self._transport, spec, version, sha256)
        except TransportError as error:
            failure = explained(error, self._transport, spec.name, version)
            self._transport.close()
            raise failure from error
        except BaseException:
            self._transport.close()
            raise
        super().__init__(spec, fingerprint=served.fingerprint)
        self._served = served
        self._circuit = Circuit(self._transport)
        # threads start when there is something to do
        self._splitter = ThreadPoolExecutor(self.in_flight, thread_name_prefix="facereg-triton")

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if not self._open:
            raise RunnerError(f"{self.spec.name}: this runner is closed; open the model again")
        self._circuit.require_closed(self.spec.name)
        until = time.monotonic() + self.address.timeout_s
        values = [inputs[tensor.name] for tensor in self.spec.inputs]
        count, most = len(values[0]), self._served.max_batch
        if count <= most:
            return self._run(values, until)
        parts = [[value[start : start + most] for value in values] for start in range(0, count, most)]
        waiting = [self._splitter.submit(self._run, part, until) for part in parts]
        for each in waiting:
            each.exception()  # the first error is raised when all have ended
        answers = [each.result() for each in waiting]
        return {t.name: np.concatenate([answer[t.name] for answer in answers]) for t in self.spec.outputs}

    def _run(self, values: list[Tensor], until: float) -> dict[str, Tensor]:
        """Return the outputs of one request, repeated where that is safe and there is time."""
        wait, before, start = FIRST_WAIT_S, None, time.monotonic()
        # a server among several may not have the version: another may
        elsewhere = 2 * len(self.address.servers) if len(self.address.servers) > 1 else 0
        while True:
            try:
                return self._try(values, until - time.monotonic())
            except TransportError as error:
                # what took the time says more than that it is over
                failure = before if error.cause == "deadline" and before is not None else error
                gone = error.cause == "missing" or (
                    error.cause == "unready" and time.monotonic() - start > GONE_S and self._is_retired()
                )
                again = failure is error and error.cause in AGAIN and (not gone or elsewhere > 0)
                elsewhere -= gone
                before = failure
            left = until - time.monotonic()
            if not self._open:
                raise RunnerError(f"{self.spec.name}: this runner was closed during a call; open the model again")
            if not again or left <= SHORTEST_S:
                self._circuit.note(failure)
                raise explained(failure, self._transport, self.spec.name, self._served.version) from failure
            self.retries += 1
            time.sleep(min(left, wait * random.uniform(0.5, 1.0)))  # many clients must not come back at one moment
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _is_retired(self) -> bool:
        return is_retired(self._transport, self.spec.name, self._served.version)

    def _try(self, values: list[Tensor], left: float) -> dict[str, Tensor]:
        """Make one request; raises TransportError."""
        if left <= SHORTEST_S:
            raise TransportError("deadline", "no time left")
        served = self._served
        inputs = tuple(zip(served.inputs, values, strict=True))
        answer = self._transport.infer(Request(self.spec.name, served.version, inputs, served.outputs), left)
        return {
            tensor.name: read_tensor(tensor, name, len(values[0]), answer)
            for tensor, name in zip(self.spec.outputs, served.outputs, strict=True)
        }

    def close(self) -> None:
        if self._open:
            self._open = False
            self._transport.close()
            self._splitter.shutdown()
