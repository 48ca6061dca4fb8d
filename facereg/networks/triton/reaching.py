"""The way to a server, below gRPC and HTTP: names, sockets, certificates, and why it cannot be reached."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from facereg.disk.reading import read_bytes
from facereg.errors import RunnerError, words_of
from facereg.networks.triton.address import TritonAddress

MAX_PEM = 1 << 20  # bytes; a system's whole list of signers has 200 kB
SHORTEST_S = 0.001  # a socket takes 0 for 'do not wait at all'


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the PEM files of an address hold; None where it names none."""

    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = None


def read_certificates(address: TritonAddress) -> Certificates:
    """Return the certificates of an address, each known to be one.

    gRPC takes any bytes, and ends the process or refuses each request without a word where they are none.

    Raises:
        RunnerError: if a file is missing or holds something else, or the key is not that of the certificate.
    """
    files = {name: getattr(address, name) for name in ("ca", "cert", "key")}
    found = {
        name: read_bytes(Path(file), expected=f"a PEM file for {name}=", limit=MAX_PEM, error=RunnerError)
        for name, file in files.items()
        if file
    }
    _context(address)
    return Certificates(**found)


def _context(address: TritonAddress) -> ssl.SSLContext:
    """Return what Python's TLS makes of the certificates of an address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if address.ca else ssl.create_default_context()
    context.hostname_checks_common_name = False  # nor does gRPC look at it
    if address.ca:
        try:
            context.load_verify_locations(address.ca)
        except (ssl.SSLError, OSError) as error:
            raise RunnerError(
                f"{address.ca}: expected certificates in PEM for ca=, got none ({_said(error)})"
            ) from error
    if address.cert:
        try:
            context.load_cert_chain(address.cert, address.key, password="")  # an empty one: else OpenSSL asks on stdin
        except (ssl.SSLError, OSError) as error:
            raise RunnerError(
                f"{address.cert}: expected a certificate in PEM and, in {address.key}, its key without a password; "
                f"they do not go together ({_said(error)})"
            ) from error
    return context


def resolve(host: str, port: int, timeout_s: float) -> list[tuple[socket.AddressFamily, str]]:
    """Return the numbers of a host's name, those of IPv4 first.

    Raises:
        OSError: if it has none, or the name's server gave no answer in time, which the system's own call waits for.
    """
    found: Future[list[tuple[socket.AddressFamily, str]]] = Future()

    def ask() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.set_result(sorted({(entry[0], str(entry[4][0])) for entry in entries}))
        except (OSError, UnicodeError) as error:  # a label that is too long is a UnicodeError
            found.set_exception(OSError(f"{host}: this name is not known ({_said(error)})"))

    threading.Thread(target=ask, name="facereg-resolve", daemon=True).start()
    try:
        return found.result(timeout_s)
    except TimeoutError as error:
        raise OSError(f"{host}: no answer about this name in {timeout_s:.3g} s") from error


def connect(host: str, port: int, until: float) -> socket.socket:
    """Return a connection made before the monotonic time `until`; raises OSError."""
    failure = OSError(f"{host}: this name has no address")
    for family, number in resolve(host, port, _left(until)):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(_left(until))
            connection.connect((number, port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


def diagnose(address: TritonAddress, timeout_s: float) -> str:
    """Return why the first server of an address cannot be talked to, or '' where its port does answer."""
    until = time.monotonic() + timeout_s
    [(host, port), *_] = address.servers
    try:
        connection = connect(host, port, until)
    except TimeoutError:
        return f"no connection in {timeout_s:.3g} s"
    except OSError as error:
        return _said(error)
    with connection:
        context = _context(address)
        if not address.tls:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            connection.settimeout(_left(until))
            with context.wrap_socket(connection, server_hostname=host):
                return "" if address.tls else "it speaks TLS; use tritons://"
        except ssl.SSLCertVerificationError as error:
            return f"TLS failed: {error.verify_message}; check ca="
        except (OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                return "it takes connections and says nothing"
            return f"TLS failed: {_said(error)}; is it a port with TLS?" if address.tls else ""


def _left(until: float) -> float:
    return max(SHORTEST_S, until - time.monotonic())


def _said(error: Exception) -> str:
    """Return an error's own words without numbers and file names of libraries."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return (getattr(error, "strerror", None) or words_of(error, 200)).lower()
