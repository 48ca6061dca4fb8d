"""The setting that names a Triton server: `triton://HOST:PORT?timeout_s=5&shared_memory=system`.

| scheme | speaks |
|---|---|
| `triton://` | gRPC |
| `tritons://` | gRPC over TLS |
| `triton+http://` | HTTP |

What may stand behind the `?` are the fields of `TritonAddress` after `port`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_type_hints
from urllib.parse import parse_qsl, urlsplit

from facereg.errors import RunnerError

SCHEMES: dict[str, tuple[Literal["grpc", "http"], bool]] = {
    "triton": ("grpc", False),
    "tritons": ("grpc", True),
    "triton+http": ("http", False),
}
PLACE = frozenset({"protocol", "tls", "host", "port"})  # the fields that do not come from the query


@dataclass(frozen=True, slots=True)
class TritonAddress:
    """A server and how to talk to it.

    Args:
        protocol, tls, host, port: where it is.
        timeout_s: of one call of a network, tries and splitting included.
        in_flight: calls that a pipeline makes at once, so that the server always has work; also requests of one call
            that may wait for answers at once, where a batch must be split.
        shared_memory: `system`: tensors go through memory that both processes map, on one machine; `cuda`: through
            the GPU's memory.
        version: of the models; the server's newest where it is empty.
        weights: `own`: the server must hold the weights that this process would use; `any`: whatever it holds.
        mend: unload and load a model whose process is dead; the server must run with explicit model control.
        ca, cert, key: PEM files for TLS: who signs the server, and our own certificate where it asks for one.
        token_env: environment variable whose value is sent as `authorization: Bearer ...`.
    """

    protocol: Literal["grpc", "http"]
    tls: bool
    host: str
    port: int
    timeout_s: float = 30.0
    in_flight: int = 4
    shared_memory: Literal["none", "system", "cuda"] = "none"
    version: str = ""
    weights: Literal["own", "any"] = "own"
    mend: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    token_env: str = ""

    @property
    def target(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What is sent beside each request.

        Raises:
            RunnerError: if the variable of `token_env` is not set.
        """
        if not self.token_env:
            return {}
        token = os.environ.get(self.token_env, "")
        if not token:
            raise RunnerError(f"token_env: expected a token in the environment variable {self.token_env}, found none")
        return {"authorization": f"Bearer {token}"}


def parse_address(text: str) -> TritonAddress:
    """Return the server that a runner setting names.

    Raises:
        RunnerError: if it names none, or an option is not known or out of range.
    """
    parts = urlsplit(text)
    if parts.scheme not in SCHEMES:
        raise RunnerError(f"no scheme {parts.scheme!r} in {text!r}; expected one of: {', '.join(SCHEMES)}")
    protocol, tls = SCHEMES[parts.scheme]
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RunnerError(f"{text!r}: {error}; expected {parts.scheme}://HOST:PORT") from error
    if not host or port is None or parts.path.strip("/") or parts.username:
        raise RunnerError(f"{text!r}: expected {parts.scheme}://HOST:PORT, and options after a '?'")
    kinds = get_type_hints(TritonAddress)
    known = [field.name for field in fields(TritonAddress) if field.name not in PLACE]
    given: dict[str, object] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            raise RunnerError(f"no option {name!r} of a Triton address; expected one of: {', '.join(known)}")
        given[name] = _value(name, value, kinds[name])
    if given.get("ca") and not tls:
        raise RunnerError(f"{text!r}: ca is for TLS; use tritons://")
    return TritonAddress(protocol, tls, host, port, **given)  # type: ignore[arg-type]


def _value(name: str, text: str, kind: object) -> object:
    choices: tuple[str, ...] = ("true", "false") if kind is bool else get_args(kind)
    if choices and text not in choices:
        raise RunnerError(f"{name}: expected one of {', '.join(choices)}, got {text!r}")
    if kind is bool:
        return text == "true"
    if kind in (int, float):
        try:
            number = int(text) if kind is int else float(text)
        except ValueError:
            number = 0
        if not 0 < number < float("inf"):
            raise RunnerError(f"{name}: expected a number over 0, got {text!r}")
        return number
    return text
