"""What a failed request means: the typed error that says the cause and what to do; and a server left alone a while."""

from __future__ import annotations

import threading
import time

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
from facereg.names import shown
from facereg.networks.triton.reaching import diagnose
from facereg.networks.triton.transport import Transport, TransportError

LOOK_S = 1.0  # for a question about a failure, which may come after the deadline of the call
WHY_S = 0.5  # to find out why nobody answers
REST_S = 2.0  # a server that did not answer for the whole time of a call is left alone for as long


class Circuit:
    """Spares a dead server, and those who wait for it: calls fail at once for REST_S, then one looks whether it lives.

    After a call that ended without an answer, the next one looks first. Safe between threads.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._doubt = threading.Event()
        self._rest_until = 0.0
        self._why = ""

    def require_closed(self, model: str) -> None:
        """Raise UnreachableError while the server is left alone, or where it still says nothing."""
        if not self._doubt.is_set():
            return
        with self._lock:
            if not self._doubt.is_set():
                return
            if time.monotonic() >= self._rest_until:
                try:
                    self._transport.live(LOOK_S)
                    self._doubt.clear()
                    return
                except TransportError as error:
                    self._why = diagnose(self._transport.address, WHY_S) or str(error)
                    self._rest_until = time.monotonic() + REST_S
            left = max(0.0, self._rest_until - time.monotonic())
        raise UnreachableError(
            f"{model}: {self._transport.address.target}: no Triton server answers: {self._why}; it is asked again in "
            f"{left:.1f} s; start it, or check the address"
        )

    def note(self, error: TransportError) -> None:
        """Take notice of what ended a call."""
        if error.cause in ("lost", "deadline"):
            self._doubt.set()


def explained(error: TransportError, transport: Transport, model: str, version: str) -> RunnerError:
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
        why = diagnose(address, WHY_S) if address.tls else ""
        if why:  # gRPC calls a certificate of another host so
            return UnreachableError(f"{where}: no way to it: {why}")
        return UnreachableError(f"{where} did not let us in{said}; check token_env, ca, cert and key")
    if error.cause == "dead":
        return DeadModelError(
            f"{where} calls the model ready, but its process is dead{said}; 'facereg triton serve' loads it anew by "
            "itself; another server must unload and load it"
        )
    if error.cause == "fault":
        return ServerFaultError(f"{where} failed{said}; see the server's log")
    if error.cause == "missing" or (error.cause == "unready" and is_retired(transport, model, version)):
        return _missing(transport, where, model, version)
    return _lost(transport, where, said, model, version)


def is_retired(transport: Transport, model: str, version: str) -> bool:
    """Return whether a version that is not ready was taken away for another one, and is not just being loaded."""
    states = _states(transport)
    if states is None:  # the list is private: what is ready is not
        try:
            ready = transport.model(model, "", LOOK_S).versions
        except TransportError:
            return False
        return bool(ready) and version not in ready
    mine = states.get(model, {})
    coming = mine.get(version, "").startswith(("READY", "LOADING"))
    return not coming and any(state == "READY" for state in mine.values())


def _missing(transport: Transport, where: str, model: str, version: str) -> RunnerError:
    """Return the error of a model, or a version of it, that the server does not know."""
    try:
        others = [each for each in transport.model(model, "", LOOK_S).versions if each != version]
    except TransportError as error:
        if error.cause != "missing":
            return _lost(transport, where, "", model, version)
        states = _states(transport)
        has = "" if states is None else f"; it has: {', '.join(sorted(states)) or 'none'}"
        return ModelMissingError(f"{where} has no such model{has}; add it with 'facereg triton build'")
    has = f"it has {', '.join(others)}" if others else "it has it again"
    if transport.address.version:
        return ModelMissingError(f"{where} has no version {version} of it: {has}; name one of these with ?version=")
    return ModelMismatchError(
        f"{where} serves other weights: expected version {version}, made from the weights' checksum; {has}; add these "
        "weights with 'facereg triton rollout', or take those there with ?version= or ?weights=any"
    )


def _lost(transport: Transport, where: str, said: str, model: str, version: str) -> RunnerError:
    """Return the error of a request that reached no server, or of a model that is not ready."""
    try:
        transport.live(LOOK_S)
    except TransportError:
        why = diagnose(transport.address, WHY_S)
        return UnreachableError(
            f"{where}: no Triton server answers{f': {why}' if why else said}; start one with 'facereg triton serve', "
            "or check the address: triton://HOST:8001 and triton+http://HOST:8000 are usual"
        )
    states = _states(transport)
    state = None if states is None else states.get(model, {}).get(version)
    if states is None or state == "READY":
        return UnreachableError(f"{where}: the connection was lost{said}; the server answers again")
    return ModelNotReadyError(f"{where} does not serve it now ({state or 'not loaded'}); see the server's log")


def _states(transport: Transport) -> dict[str, dict[str, str]] | None:
    """Return the states of the server's models by version, or None where it does not say: it may keep them private."""
    try:
        found = transport.states(LOOK_S)
    except TransportError:
        return None
    return {
        shown(name)[:100]: {version: shown(state)[:300] for version, state in each.items()}
        for name, each in found.items()
    }
