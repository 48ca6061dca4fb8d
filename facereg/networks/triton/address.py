"""The setting that names a Triton server: `triton://HOST:PORT?timeout_s=5&weights=any`.

| scheme | speaks |
|---|---|
| `triton://` | gRPC |
| `tritons://` | gRPC over TLS |
| `triton+http://` | HTTP |

Several servers, by gRPC: `triton://HOST:PORT,HOST:PORT`. What may stand behind the `?` are the fields of
`TritonAddress` after `servers`.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, fields
from typing import Literal, get_type_hints
from urllib.parse import parse_qsl

from facereg.errors import RunnerError
from facereg.names import masked
from facereg.options import read_value

SCHEMES: dict[str, tuple[Literal["grpc", "http"], bool]] = {
    "triton": ("grpc", False),
    "tritons": ("grpc", True),
    "triton+http": ("http", False),
}
PLACE = frozenset({"protocol", "tls", "servers"})  # the fields that do not come from the query
LONGEST = 4096  # characters of an address
MOST_SERVERS = 64
LIMITS = {"timeout_s": 86_400.0, "in_flight": 1024}
GONE = {
    "shared_memory": "tensors cross the socket: through shared memory they took as long",
    "mend": "'facereg triton serve' loads a model whose process died anew, and requests wait for it",
}  # options of before, and why they went
_SERVER = re.compile(
    r"(?:\[([0-9a-f:.]+)\]|([a-z0-9](?:[a-z0-9._-]*[a-z0-9.])?)):([0-9]{1,5})", re.ASCII | re.IGNORECASE
)
_VERSION = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*", re.ASCII | re.IGNORECASE)
_TOKEN = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class TritonAddress:
    """A server, or several that are alike, and how to talk to them.

    Args:
        protocol, tls: how it is reached.
        servers: host and port of each.
        timeout_s: of one call of a network, tries and splitting included.
        in_flight: calls that a pipeline makes at once, so that the server always has work; also requests of one call
            that may wait for answers at once, where a batch must be split.
        version: of the network, made from its weights (`facereg.networks.spec.weights_version`); where it is empty,
            that of the weights that this process would use, else the only one that the server has.
        weights: `own`: the server must hold the weights that this process would use; `any`: whatever it holds.
        ca, cert, key: PEM files for TLS: who signs the server, and our own certificate where it asks for one.
        token_env: environment variable whose value is sent as `authorization: Bearer ...`, over TLS or to this machine.
    Raises:
        RunnerError: if options do not go together.
    """

    protocol: Literal["grpc", "http"]
    tls: bool
    servers: tuple[tuple[str, int], ...]
    timeout_s: float = 30.0
    in_flight: int = 4
    version: str = ""
    weights: Literal["own", "any"] = "own"
    ca: str = ""
    cert: str = ""
    key: str = ""
    token_env: str = ""

    def __post_init__(self) -> None:
        _require_sense(self)

    @property
    def target(self) -> str:
        """HOST:PORT, of each server."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.servers)

    @property
    def headers(self) -> dict[str, str]:
        """What is sent beside each request.

        Raises:
            RunnerError: if the variable of `token_env` is not set, or holds no token.
        """
        if not self.token_env:
            return {}
        token = os.environ.get(self.token_env, "").strip()
        if not token:
            raise RunnerError(f"token_env: expected a token in the environment variable {self.token_env}, found none")
        if _TOKEN.fullmatch(token) is None:
            raise RunnerError(
                f"token_env: expected a token of letters, digits and signs in the environment variable "
                f"{self.token_env}, found other characters"
            )
        return {"authorization": f"Bearer {token}"}


def parse_address(text: str) -> TritonAddress:
    """Return the server that a runner setting names.

    Raises:
        RunnerError: if it names none, an option is not known or out of range, or options do not go together.
    """
    said = masked(text)
    if len(text) > LONGEST or not text.isprintable():
        raise RunnerError(f"{said!r}: expected an address of at most {LONGEST} characters that can be printed")
    scheme, colon, rest = text.partition("://")
    if not colon or scheme.lower() not in SCHEMES:
        raise RunnerError(f"no scheme {masked(scheme)!r} in {said!r}; expected one of: {', '.join(SCHEMES)}")
    protocol, tls = SCHEMES[scheme.lower()]
    place, mark, query = rest.partition("?")
    servers = tuple(_server(part) for part in place.removesuffix("/").split(","))
    if "#" in query or (mark and not query):
        raise RunnerError(f"{said!r}: expected options after the '?', as timeout_s=5&in_flight=8")
    if None in servers or len(servers) > MOST_SERVERS:
        raise RunnerError(f"{said!r}: expected {scheme}://HOST:PORT, and options after a '?'")
    if len(set(servers)) < len(servers):
        raise RunnerError(f"{said!r}: expected each server once")
    if len(servers) > 1 and protocol != "grpc":
        raise RunnerError(f"{said!r}: expected one server over HTTP, got {len(servers)}; gRPC takes several: triton://")
    return TritonAddress(protocol, tls, servers, **_options(query))  # type: ignore[arg-type]


def _server(text: str) -> tuple[str, int] | None:
    found = _SERVER.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 65536:
        return None
    if found[1] is None:
        return found[2].lower(), int(found[3])
    try:
        return str(ipaddress.IPv6Address(found[1])), int(found[3])
    except ValueError:
        return None


def _options(query: str) -> dict[str, object]:
    kinds = get_type_hints(TritonAddress)
    known = [field.name for field in fields(TritonAddress) if field.name not in PLACE]
    given: dict[str, object] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError as error:  # a part without '=', or percent signs that give no text
        raise RunnerError(f"options after the '?': expected NAME=VALUE&NAME=VALUE, got {masked(query)!r}") from error
    for name, value in pairs:
        if name in GONE:
            raise RunnerError(f"{name}: no option any more: {GONE[name]}; leave it out")
        if name not in known:
            raise RunnerError(
                f"no option {masked(name)[:40]!r} of a Triton address; expected one of: {', '.join(known)}"
            )
        if name in given:
            raise RunnerError(f"{name}: expected it once among the options of an address, got it again")
        given[name] = _value(name, value, kinds[name])
    return given


def _value(name: str, text: str, kind: object) -> object:
    try:
        value = text if kind is str else read_value(kind, text)
    except ValueError as error:
        expected = f"a number over 0 and at most {LIMITS[name]:g}" if name in LIMITS else str(error)
        raise RunnerError(f"{name}: expected {expected}, got {masked(text)!r}") from error
    if isinstance(value, (int, float)):
        if not 0 < value <= LIMITS[name]:
            raise RunnerError(f"{name}: expected a number over 0 and at most {LIMITS[name]:g}, got {masked(text)!r}")
        return value
    if not text or not text.isprintable():
        raise RunnerError(f"{name}: expected text that can be printed, got {masked(text)!r}")
    if name == "version" and (_VERSION.fullmatch(text) is None or int(text) >= 2**63):
        raise RunnerError(f"version: expected a whole number, as 'facereg triton' shows it, got {masked(text)!r}")
    if name == "token_env" and _VARIABLE.fullmatch(text) is None:
        raise RunnerError(
            "token_env: expected the name of an environment variable; a token itself stands in no address"
        )
    return text


def _require_sense(address: TritonAddress) -> None:
    """Refuse options that would be silently of no use, or send a secret where all can read it."""
    given = [name for name in ("ca", "cert", "key") if getattr(address, name)]
    if given and not address.tls:
        raise RunnerError(f"{', '.join(given)}: only TLS has certificates, got an address without; use tritons://")
    if bool(address.cert) != bool(address.key):
        missing, there = ("key", "cert") if address.cert else ("cert", "key")
        raise RunnerError(
            f"{there}: expected {missing}= too, got {there}= alone; our certificate and its key go together"
        )
    if address.token_env and not address.tls and not all(_is_loopback(host) for host, _ in address.servers):
        raise RunnerError(
            f"token_env: a token would cross the network in clear to {address.target}; use tritons:// (without TLS, "
            "tokens go to this machine only)"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
