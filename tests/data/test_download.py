"""Downloads from a peer that drips, never ends, sends elsewhere or writes to the terminal."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facereg.data import download
from facereg.data.download import DownloadLimits
from facereg.data.fetch import Source, fetch
from facereg.errors import DatasetError

CONTENT = b"faces" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
DRIPS = 60  # in 3 s: a peer that never ends would keep the test from ending
SHORT = DownloadLimits(bytes=1 << 20, seconds=20, least_rate=1024, window_s=0.5)
Peer = Callable[[socket.socket, str], None]  # the connection, and what was asked
Serve = Callable[[Peer], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Yield what starts a peer and returns its address."""
    closed, threads = threading.Event(), []

    def start(peer: Peer) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(0.05)

        def run() -> None:
            with listener:
                while not closed.is_set():
                    try:
                        connection, _ = listener.accept()
                    except TimeoutError:
                        continue
                    connection.settimeout(5)
                    with connection, contextlib.suppress(OSError):  # hung up on
                        peer(connection, connection.recv(65536).decode())

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/faces.bin"

    yield start
    closed.set()
    for thread in threads:
        thread.join()


def dripping_body(connection: socket.socket, asked: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    for _ in range(DRIPS):
        connection.sendall(b"f")
        time.sleep(0.05)


def dripping_head(connection: socket.socket, asked: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(DRIPS):
        connection.sendall(b"f")
        time.sleep(0.05)


def silent(connection: socket.socket, asked: str) -> None:
    time.sleep(2)


@pytest.mark.parametrize("peer", [dripping_body, dripping_head, silent], ids=["body", "head", "silent"])
def test_a_peer_that_drips_is_given_up(peer: Peer, serve: Serve, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DatasetError, match="too slow"):
        fetch(Source((serve(peer),), DIGEST), tmp_path / "faces.bin", attempts=2, pause_s=0, limits=SHORT)
    assert time.monotonic() - began < 5
    assert not (tmp_path / "faces.bin").exists()


def test_the_whole_download_has_a_time(serve: Serve, tmp_path: Path) -> None:
    def steady(connection: socket.socket, asked: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(DRIPS):
            connection.sendall(b"f" * 2000)
            time.sleep(0.05)

    limits = DownloadLimits(seconds=1.0, window_s=0.5)
    with pytest.raises(DatasetError, match="expected the file within 1 s"):
        fetch(Source((serve(steady),), DIGEST), tmp_path / "faces.bin", limits=limits)


def test_a_body_without_end_ends_at_the_limit(serve: Serve, tmp_path: Path) -> None:
    def endless(connection: socket.socket, asked: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"f" * 65536)

    with pytest.raises(DatasetError, match="expected at most 1,048,576 bytes, got more"):
        fetch(Source((serve(endless),), DIGEST), tmp_path / "faces.bin", limits=SHORT)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= (1 << 20) + 65536


@pytest.mark.parametrize("length", ["abc", "-1", "\N{SUPERSCRIPT TWO}", "9" * 30, "5000000", "1e3", ""])
def test_a_length_that_is_none_or_too_much_is_refused(length: str, serve: Serve, tmp_path: Path) -> None:
    def peer(connection: socket.socket, asked: str) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode("latin-1") + CONTENT)

    with pytest.raises(DatasetError, match="Content-Length|expected at most") as refused:
        fetch(Source((serve(peer),), DIGEST), tmp_path / "faces.bin", attempts=1, limits=SHORT)
    assert str(refused.value).isprintable()


def test_a_peer_that_breaks_off_when_nobody_listens_any_more_is_no_error(serve: Serve) -> None:
    left = threading.Event()

    def peer(connection: socket.socket, asked: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"f" * download.BLOCK)
        left.wait(10)

    answer = download._Answer(serve(peer), {}, SHORT, time.monotonic() + 20, may_move=False)
    assert next(iter(answer)) == b"f" * download.BLOCK
    answer.close()
    left.set()
    for thread in threading.enumerate():  # what one of them raises by now, pytest reports
        if thread.name == "facereg-download":
            thread.join(10)


def moved(to: str) -> Peer:
    def peer(connection: socket.socket, asked: str) -> None:
        if asked.startswith("GET /here"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + CONTENT)
        else:
            connection.sendall(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n".encode())

    return peer


def test_a_redirect_within_the_host_is_followed(serve: Serve, tmp_path: Path) -> None:
    assert fetch(Source((serve(moved("/here")),), DIGEST), tmp_path / "faces.bin").sha256 == DIGEST


@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:1/here", "file:///etc/passwd", "ftp://a.org/x", "http://b.org/\x1b[2J"]
)
def test_a_redirect_elsewhere_is_refused(to: str, serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="redirects to") as refused:
        fetch(Source((serve(moved(to)),), DIGEST), tmp_path / "faces.bin", limits=SHORT)
    assert str(refused.value).isprintable()


def test_redirects_have_an_end(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at most 5 redirects"):
        fetch(Source((serve(moved("/again")),), DIGEST), tmp_path / "faces.bin", limits=SHORT)


def test_what_a_server_says_is_printed_escaped(serve: Serve, tmp_path: Path) -> None:
    def rude(connection: socket.socket, asked: str) -> None:
        connection.sendall(b"HTTP/1.1 404 \x1b[2J\x1b]0;owned\x07gone\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises(DatasetError, match="HTTP 404") as refused:
        fetch(Source((serve(rude),), DIGEST), tmp_path / "faces.bin", limits=SHORT)
    assert str(refused.value).isprintable()


def test_no_password_of_netrc_is_sent(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    def peer(connection: socket.socket, asked: str) -> None:
        heard.append(asked)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + CONTENT)

    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eva password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fetch(Source((serve(peer),), DIGEST), tmp_path / "faces.bin", limits=SHORT)
    assert heard
    assert "uthorization" not in heard[0]


def test_a_link_in_the_place_of_the_part_is_not_written_through(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("before")
    (tmp_path / ".faces.bin.part").symlink_to("victim")
    assert fetch(Source((serve(moved("/here")),), DIGEST), tmp_path / "faces.bin").size == len(CONTENT)
    assert (tmp_path / "victim").read_text() == "before"
