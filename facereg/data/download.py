"""Bytes of one address to a file: resumed where they broke off, and within limits of bytes, time and places."""

from __future__ import annotations

import json
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import MaxRetryError

from facereg.disk.reading import parse_json, read_text
from facereg.names import shown

BLOCK = 1 << 14  # bytes taken from the connection at a time
CONNECT_S = 5.0  # to an address of a host, until it is taken for unreachable
SILENCE_S = 30.0  # without a byte, until the connection is given up
REDIRECTS = 5
AGENT = "facereg"
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """What a download may take.

    Args:
        bytes: of the file.
        seconds: of the whole download, all attempts together; what came stays for the next.
        least_rate: bytes a second, over each `window_s`, below which a connection is given up.
        window_s: seconds, the answer's head included.
    """

    bytes: int = 256 << 30
    seconds: float = 6 * 3600.0
    least_rate: float = 1024.0
    window_s: float = 60.0


class GaveUpError(Exception):
    """An address that does not give the file; whatever it gave is kept."""


class _BrokenError(Exception):
    """A connection that may do better next time."""


class _NoConnectionError(_BrokenError):
    """None was made: there is no network, or no such host; waiting helps only what had begun."""


class Downloader:
    """Brings one address to a file, as `pooch.retrieve` asks of its downloaders.

    What a broken connection has brought stays beside the target as `.NAME.part`, and is gone on from.

    Args:
        target: the file that is to be, which the part is named after.
        sha256: known, or None; a known one lets an address redirect to another host, by https.
        attempts: connections before the address is given up; the pause before the second is `pause_s`, and doubles.
    """

    def __init__(
        self,
        target: Path,
        sha256: str | None,
        *,
        progress: Progress,
        attempts: int,
        pause_s: float,
        limits: DownloadLimits,
    ) -> None:
        self.target, self.sha256, self.progress = target, sha256, progress
        self.attempts, self.pause_s, self.limits = attempts, pause_s, limits
        self.resumed = 0
        self._ends = time.monotonic() + limits.seconds

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Bring the address to `output_file`.

        Raises:
            GaveUpError: if it does not give the file.
            OSError: if the file cannot be written.
        """
        part = _Part(self.target, url)
        reason = "no attempt was allowed"
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause_s * 2 ** (attempt - 1))
            try:
                self.resumed = self._connect(part)
                os.replace(part.path, output_file)
                part.remove()
                return
            except _BrokenError as error:
                reason = str(error)
                if isinstance(error, _NoConnectionError) and not attempt:
                    break
        raise GaveUpError(reason)

    def _connect(self, part: _Part) -> int:
        """Bring what is missing; return the bytes that were there before."""
        have, version = part.size_and_version()
        wanted = {"Range": f"bytes={have}-", "If-Range": version} if have and version else {}  # a changed file is whole
        answer = _Answer(part.address, wanted, self.limits, self._ends, may_move=self.sha256 is not None)
        try:
            goes_on = answer.status == 206 and answer.headers.get("content-range", "").startswith(f"bytes {have}-")
            if answer.status == 416 or (answer.status == 206 and not goes_on):  # our part is not of their file
                part.remove()
                raise _BrokenError("the server answered with another range than was asked for")
            have = have if goes_on else 0
            total = self._total(answer.headers, have)
            with part.open(append=goes_on, version=_version(answer.headers)) as stream:
                self._copy(answer, stream, have, total)
        finally:
            answer.close()
        return have

    def _copy(self, answer: _Answer, stream: BinaryIO, done: int, total: int | None) -> None:
        reason = "it ended"
        self.progress(done, total)
        try:
            for block in answer:
                done += len(block)
                if done > self.limits.bytes:
                    raise GaveUpError(f"expected at most {self.limits.bytes:,} bytes, got more")
                stream.write(block)
                self.progress(done, total)
            if total in (None, done):
                return
        except _BrokenError as error:
            reason = str(error)
        of = "" if total is None else f" of {total:,}"
        raise _BrokenError(f"the connection broke after {done:,}{of} bytes ({reason})")

    def _total(self, headers: Mapping[str, str], have: int) -> int | None:
        length = headers.get("content-length")
        if length is None:
            return None
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            raise GaveUpError(f"expected a length in bytes, got Content-Length: {shown(length)[:40]}")
        total, free = have + int(length), shutil.disk_usage(self.target.parent).free
        if total > self.limits.bytes:
            raise GaveUpError(f"expected at most {self.limits.bytes:,} bytes, got a file of {total:,}")
        if int(length) > free:
            raise GaveUpError(f"needs {int(length):,} bytes, {free:,} are free; make space")
        return total


class _Part:
    """The bytes brought so far, and whom they came from: another address or another version begins anew."""

    def __init__(self, target: Path, address: str) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self._origin = target.with_name(f".{target.name}.part.json")
        self.address = address

    def size_and_version(self) -> tuple[int, str | None]:
        """Return how many bytes may be gone on from, and the server's mark of their version."""
        if self.path.is_symlink() or not (self.path.is_file() and self._origin.is_file()):
            return 0, None
        expected = "the origin of a part"
        origin = parse_json(
            read_text(self._origin, expected=expected, limit=1 << 16), place=str(self._origin), expected=expected
        )
        if isinstance(origin, dict) and origin.get("address") == self.address and isinstance(origin["version"], str):
            return self.path.stat().st_size, origin["version"]
        return 0, None

    def open(self, *, append: bool, version: str | None) -> BinaryIO:
        """Return the file to go on with, or an empty one of that version; never what a link of that name points to."""
        if not append:
            self.remove()
            self._origin.write_text(json.dumps({"address": self.address, "version": version}), encoding="utf-8")
        return self.path.open("ab" if append else "xb")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)


class _Answer:
    """One connection, in a thread of its own: a peer that drips, in the head too, keeps nobody waiting but it.

    Iterating gives the bytes. Each of `limits.window_s` is to bring its share of them.
    """

    def __init__(
        self, address: str, headers: Mapping[str, str], limits: DownloadLimits, ends: float, *, may_move: bool
    ) -> None:
        self._limits, self._ends, self._closed = limits, ends, threading.Event()
        self._said: queue.Queue[object] = queue.Queue(maxsize=64)
        self._since, self._bytes = time.monotonic(), 0
        arguments = (address, {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}, may_move)
        threading.Thread(target=self._run, args=arguments, daemon=True, name="facereg-download").start()
        head = self._next()
        assert isinstance(head, tuple)
        self.status, self.headers = head

    def __iter__(self) -> Iterator[bytes]:
        while isinstance(block := self._next(), bytes):
            yield block

    def close(self) -> None:
        self._closed.set()

    def _next(self) -> object:
        """Return what the thread says next: the head, a block, or None at the end."""
        while True:
            now = time.monotonic()
            if now > self._ends:
                raise GaveUpError(f"expected the file within {self._limits.seconds:,.0f} s; run it again to go on")
            if now - self._since > self._limits.window_s:
                if self._bytes < self._limits.least_rate * self._limits.window_s:
                    raise _BrokenError(f"got {self._bytes:,} bytes in {now - self._since:.0f} s, which is too slow")
                self._since, self._bytes = now, 0
            try:
                said = self._said.get(timeout=min(0.5, self._limits.window_s / 4))
            except queue.Empty:
                continue
            if isinstance(said, Exception):
                raise said
            if isinstance(said, bytes):
                self._bytes += len(said)
            return said

    def _run(self, address: str, headers: dict[str, str], may_move: bool) -> None:
        with suppress(_HungUpError):
            try:
                self._receive(address, headers, may_move=may_move)
            except _HungUpError:
                raise
            except GaveUpError as error:
                self._say(error)
            except Exception as error:  # requests, urllib3, http.client, ssl and socket each have their own
                if isinstance(next(iter(error.args), None), MaxRetryError):  # so requests tells that it never connected
                    host = shown(urlsplit(address).netloc)[:100]
                    self._say(_NoConnectionError(f"no connection to {host} ({_reason(error)})"))
                else:
                    self._say(_BrokenError(_reason(error)))

    def _receive(self, address: str, headers: dict[str, str], *, may_move: bool) -> None:
        with requests.Session() as session:
            session.auth = _no_password
            with _opened(session, address, headers, may_move=may_move) as response:
                self._say((response.status_code, {key.lower(): value for key, value in response.headers.items()}))
                for block in response.raw.stream(BLOCK, decode_content=False):
                    self._say(block)
        self._say(None)

    def _say(self, what: object) -> None:
        while not self._closed.is_set():
            try:
                self._said.put(what, timeout=0.5)
                return
            except queue.Full:
                continue
        raise _HungUpError


class _HungUpError(Exception):
    """Nobody listens any more."""


def _opened(session: requests.Session, address: str, headers: dict[str, str], *, may_move: bool) -> requests.Response:
    """Return the answer, after redirects: within one scheme and host; elsewhere by https, and to known bytes only."""
    origin = address
    for _ in range(REDIRECTS + 1):
        response = session.get(
            address, headers=headers, stream=True, timeout=(CONNECT_S, SILENCE_S), allow_redirects=False
        )
        if response.status_code in (200, 206, 416):
            return response
        response.close()
        if not response.is_redirect:
            reason = f"HTTP {response.status_code} {shown(response.reason or '')[:80]}".strip()
            passing = response.status_code >= 500 or response.status_code in (408, 429)
            raise _BrokenError(reason) if passing else GaveUpError(reason)
        address = urljoin(address, response.headers["location"])
        there, here = urlsplit(address), urlsplit(origin)
        if (there.scheme, there.netloc) != (here.scheme, here.netloc) and not (may_move and there.scheme == "https"):
            place = shown(f"{there.scheme}://{there.hostname}")[:100]
            raise GaveUpError(
                f"redirects to {place}; only https of a file whose sha256 is given may move, and within one host"
            )
    raise GaveUpError(f"expected at most {REDIRECTS} redirects, got more")


def _reason(error: BaseException) -> str:
    """Return what the system said of a failure, which libraries wrap in words of their own; else the library's."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return shown(inner.strerror)[:160]
        inner = inner.__cause__ or inner.__context__
    said = getattr(error, "reason", None) or error
    if isinstance(error, requests.Timeout):
        return f"no answer in {CONNECT_S if isinstance(error, requests.ConnectTimeout) else SILENCE_S:g} s"
    return shown(str(said))[:160] or type(error).__name__


def _no_password(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send no password of ~/.netrc, which requests would."""
    return request


def _version(headers: Mapping[str, str]) -> str | None:
    """Return what If-Range may name: a strong ETag, else the date of the last change (RFC 9110, 13.1.5)."""
    tag = headers.get("etag")
    return tag if tag and not tag.startswith("W/") else headers.get("last-modified")
