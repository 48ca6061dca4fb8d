"""Files from the network: checked by sha256, resumed where they broke off, put in place whole or not at all."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from facereg.disk import file_sha256
from facereg.errors import DatasetError

BLOCK = 1 << 20  # bytes read at a time
TIMEOUT_S = 30.0  # without a byte
ATTEMPTS = 5  # connections to one address
PAUSE_S = 1.0  # before the second attempt; doubles after each
AGENT = "facereg"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file comes from: addresses that are tried in turn, its sha256 where known, whether to unpack it."""

    addresses: tuple[str, ...]
    sha256: str | None = None
    unpack: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file in place; `resumed` is how many of its bytes an earlier connection had brought."""

    path: Path
    size: int
    sha256: str
    resumed: int


def read_sources(table: Path) -> dict[str, Source]:
    """Read a TOML table of sources: `[NAME]` with `address` (a text or a list), and perhaps `sha256` and `unpack`.

    Raises:
        DatasetError: if the table is missing or not as stated.
    """
    try:
        entries = tomllib.loads(table.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(f"{table}: this table of addresses is missing; write one, or give an address") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{table}: expected a TOML table of addresses ({error})") from error
    return {name: _source(entry, table, name) for name, entry in entries.items()}


def fetch(
    source: Source,
    path: Path,
    *,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    attempts: int = ATTEMPTS,
    pause_s: float = PAUSE_S,
) -> Fetched:
    """Download a file. What a broken connection has brought stays beside it as `.NAME.part`, and is gone on from.

    A file that is there already, with the sha256 asked for, is left as it is.

    Args:
        progress: called with the bytes brought and, where the server tells, the bytes to bring.
        attempts: connections to each address before it is given up.
    Raises:
        DatasetError: if no address answers, the sha256 differs, or the file cannot be written.
    """
    try:
        if path.exists():
            return _there_already(source, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        failures = []
        for address in source.addresses:
            part = _Part(path, address)
            try:
                resumed = _bring(part, progress, attempts, pause_s)
            except _GaveUpError as error:
                failures.append(f"{address}: {error}")
                continue
            digest = file_sha256(part.path)
            if source.sha256 not in (None, digest):
                part.remove()
                failures.append(f"{address}: expected sha256 {source.sha256}, got {digest}")
                continue
            size = part.path.stat().st_size
            os.replace(part.path, path)
            part.remove()
            return Fetched(path, size, digest, resumed)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error}); check the folder's rights and space") from error
    raise DatasetError(f"{path.name}: nothing could be fetched; {'; '.join(failures)}")


class _GaveUpError(Exception):
    """An address that does not give the file; whatever it gave is kept."""


class _Part:
    """The bytes brought so far, and whom they came from: another address or another version begins anew."""

    def __init__(self, target: Path, address: str) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self._origin = target.with_name(f".{target.name}.part.json")
        self.address = address

    def size_and_version(self) -> tuple[int, str | None]:
        """Return how many bytes may be gone on from, and the server's mark of their version."""
        try:
            origin = json.loads(self._origin.read_text(encoding="utf-8"))
            if origin["address"] == self.address and origin["version"]:
                return self.path.stat().st_size, origin["version"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        return 0, None

    def begin(self, version: str | None) -> BinaryIO:
        """Return an empty file, of that version."""
        self._origin.write_text(json.dumps({"address": self.address, "version": version}), encoding="utf-8")
        return self.path.open("wb")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)


def _bring(part: _Part, progress: Callable[[int, int | None], None], attempts: int, pause_s: float) -> int:
    """Bring the whole file, over as many connections as allowed; return the bytes brought before the last one."""
    reason = "no attempt was allowed"
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        try:
            return _connect(part, progress)
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == 416:  # our part is longer than their file
                part.remove()
            elif error.code < 500 and error.code not in (408, 429):
                break
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
    raise _GaveUpError(reason)


def _connect(part: _Part, progress: Callable[[int, int | None], None]) -> int:
    have, version = part.size_and_version()
    request = urllib.request.Request(part.address, headers={"User-Agent": AGENT, "Accept-Encoding": "identity"})
    if have and version is not None:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version)  # a file that has changed comes whole
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        goes_on = answer.status == 206 and (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
        if answer.status == 206 and not goes_on:
            part.remove()
            raise http.client.HTTPException("the server answered with another range than was asked for")
        have = have if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with part.path.open("ab") if goes_on else part.begin(_version(answer.headers)) as stream:
            done = have
            progress(done, total)
            while block := answer.read(BLOCK):
                stream.write(block)
                done += len(block)
                progress(done, total)
    if total is not None and done != total:
        raise ConnectionError(f"the connection broke after {done:,} of {total:,} bytes")
    return have


def _version(headers: http.client.HTTPMessage) -> str | None:
    """Return what If-Range may name: a strong ETag, else the date of the last change (RFC 9110, 13.1.5)."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _there_already(source: Source, path: Path) -> Fetched:
    if not path.is_file():
        raise DatasetError(f"{path}: expected the name of a file, got a folder")
    digest = file_sha256(path)
    if source.sha256 != digest:
        wanted = "no sha256 was given to check it by" if source.sha256 is None else f"expected sha256 {source.sha256}"
        raise DatasetError(f"{path}: is there already with sha256 {digest}; {wanted}; remove it to fetch it anew")
    return Fetched(path, path.stat().st_size, digest, 0)


def check_source(source: Source, *, given: str) -> Source:
    """Return the source, its sha256 in small letters.

    Raises:
        DatasetError: naming what was `given`, if an address is not HTTP or the sha256 is none.
    """
    for address in source.addresses:
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).netloc:
            raise DatasetError(f"{given}: expected an address that begins with http:// or https://, got {address!r}")
    sha256 = None if source.sha256 is None else source.sha256.lower()
    if not source.addresses or (sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef"))):
        raise DatasetError(f"{given}: expected an address and 64 hexadecimal digits of sha256, got {source.sha256!r}")
    return Source(source.addresses, sha256, source.unpack)


def _source(entry: object, table: Path, name: str) -> Source:
    if not isinstance(entry, dict) or set(entry) - {"address", "sha256", "unpack"}:
        raise DatasetError(f"{table}: expected [{name}] with address, and perhaps sha256 and unpack, got {entry!r}")
    address, sha256, unpack = entry.get("address", ()), entry.get("sha256"), entry.get("unpack", False)
    addresses: Sequence[object] = [address] if isinstance(address, str) else address
    if not isinstance(addresses, list) or not all(isinstance(one, str) for one in addresses):
        raise DatasetError(f"{table}, [{name}]: expected address to be a text or a list of texts, got {address!r}")
    if not (sha256 is None or isinstance(sha256, str)) or not isinstance(unpack, bool):
        raise DatasetError(f"{table}, [{name}]: expected sha256 to be a text and unpack true or false")
    return check_source(Source(tuple(map(str, addresses)), sha256, unpack), given=f"{table}, [{name}]")
