"""A peer that is silent, broken, malicious or holds other weights: one typed error in time, never its answer."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from facereg.errors import (
    BrokenNetworkError,
    DeadlineError,
    ModelMismatchError,
    ModelMissingError,
    ModelNotReadyError,
    RunnerError,
    ServerFaultError,
    UnreachableError,
)
from facereg.networks.runner import Tensor
from facereg.networks.triton import failures
from facereg.networks.triton.runner import TritonRunner
from tests.triton.peers import (
    DOUBLER,
    ROWS,
    SHA256,
    VERSION,
    Doubler,
    HttpPeer,
    grpc_peer,
    http_answer,
    http_doubled,
    http_peer,
    http_tensors,
    wire_to,
)

OTHER = "5"
MARGIN_S = 2.5  # a look at the server and why it says nothing, on a machine that is busy


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


@pytest.fixture
def port(doubler: Doubler) -> Iterator[int]:
    with grpc_peer(doubler) as port:
        yield port


@pytest.fixture
def http() -> Iterator[HttpPeer]:
    with http_peer() as peer:
        yield peer


def opened(port: int, query: str = "timeout_s=2", scheme: str = "triton", sha256: str | None = SHA256) -> TritonRunner:
    return TritonRunner(DOUBLER, f"{scheme}://127.0.0.1:{port}?{query}", sha256=sha256)


def assert_doubled(found: dict[str, Tensor], rows: Tensor = ROWS) -> None:
    np.testing.assert_array_equal(found["y"], 2 * rows)
    np.testing.assert_array_equal(found["sums"], rows.sum(1))


# --- what weights answer ---------------------------------------------------------------------------------------------


def test_every_request_names_the_version_of_the_weights(doubler: Doubler, port: int) -> None:
    doubler.versions = (OTHER, VERSION)
    with opened(port) as runner:
        assert_doubled(runner.infer({"x": ROWS}))
        assert doubler.asked == [VERSION]
        assert runner.fingerprint == SHA256


def test_other_weights_after_opening_never_answer(doubler: Doubler, port: int) -> None:
    with opened(port) as runner:
        runner.infer({"x": ROWS})
        doubler.versions = (OTHER,)
        with pytest.raises(ModelMismatchError, match=f"expected version {VERSION}.*it has {OTHER}; .*weights=any"):
            runner.infer({"x": ROWS})
        assert doubler.asked == [VERSION]
        doubler.versions = (VERSION, OTHER)
        assert_doubled(runner.infer({"x": ROWS}))


def test_other_weights_at_opening_are_refused_with_what_there_is(doubler: Doubler, port: int) -> None:
    doubler.versions = (OTHER, "6")
    with pytest.raises(ModelMismatchError, match=f"expected version {VERSION}.*it has 5, 6"):
        opened(port)


@pytest.mark.parametrize(
    ("versions", "query", "sha256", "version", "fingerprint"),
    [
        ((OTHER,), "version=5", SHA256, "5", "000000000000005"),
        ((OTHER, VERSION), "version=5", None, "5", "000000000000005"),
        ((VERSION,), "timeout_s=5", None, VERSION, SHA256[:15]),
        ((OTHER,), "weights=any", SHA256, "5", "000000000000005"),
        ((OTHER, VERSION), "weights=any", SHA256, VERSION, SHA256),
        ((OTHER, VERSION), f"version={VERSION}", None, VERSION, SHA256[:15]),
    ],
    ids=["picked", "picked of two", "no local weights", "any", "any, ours there", "ours picked without the file"],
)
def test_which_version_is_opened_and_what_it_tells_of_the_weights(
    doubler: Doubler,
    port: int,
    versions: tuple[str, ...],
    query: str,
    sha256: str | None,
    version: str,
    fingerprint: str,
) -> None:
    doubler.versions = versions
    with opened(port, query, sha256=sha256) as runner:
        runner.infer({"x": ROWS})
        assert doubler.asked == [version]
        assert runner.fingerprint == fingerprint  # the first 12 digits are what a space is made from


def test_several_versions_without_local_weights_are_a_choice(doubler: Doubler, port: int) -> None:
    doubler.versions = (OTHER, "6")
    for query, sha256 in (("timeout_s=2", None), ("weights=any", SHA256)):
        with pytest.raises(ModelMismatchError, match=r"expected one version.*got 5, 6; choose with \?version="):
            opened(port, query, sha256=sha256)


def test_a_version_picked_that_is_not_there_is_missing(port: int) -> None:
    with pytest.raises(ModelMissingError, match=f"has no version 5 of it: it has {VERSION}"):
        opened(port, "version=5")


@pytest.mark.parametrize("private", [False, True])
def test_a_version_that_was_taken_away_is_refused_long_before_the_deadline(
    doubler: Doubler, port: int, private: bool
) -> None:
    doubler.private = private
    with opened(port, "timeout_s=30") as runner:
        runner.infer({"x": ROWS})
        doubler.versions, doubler.unready = (OTHER,), {VERSION: "UNAVAILABLE"}
        start = time.monotonic()
        with pytest.raises(ModelMismatchError, match=f"expected version {VERSION}.*it has {OTHER}"):
            runner.infer({"x": ROWS})
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("versions", [(), (OTHER,)], ids=["alone", "beside another"])
def test_a_version_that_is_being_loaded_is_waited_for(
    doubler: Doubler, port: int, versions: tuple[str, ...], private: bool
) -> None:
    if private and versions:
        pytest.skip("who keeps its list private does not tell loading from taken away")
    doubler.private = private
    with opened(port, "timeout_s=30") as runner:
        doubler.versions, doubler.unready = versions, {VERSION: "LOADING"}

        def load() -> None:
            doubler.versions, doubler.unready = (*versions, VERSION), {}

        loading = threading.Timer(2.5, load)
        loading.start()
        assert_doubled(runner.infer({"x": ROWS}))
        assert runner.retries > 0
        loading.join()


def test_a_version_that_is_not_ready_in_time_says_its_state(doubler: Doubler, port: int) -> None:
    with opened(port, "timeout_s=0.5") as runner:
        doubler.unready = {VERSION: "LOADING"}
        with pytest.raises(ModelNotReadyError, match=r"does not serve it now \(LOADING\)"):
            runner.infer({"x": ROWS})


def test_an_answer_from_another_version_is_no_answer(doubler: Doubler, port: int, http: HttpPeer) -> None:
    def other(answer: Any, context: Any) -> Any:
        answer.model_version = OTHER
        return answer

    doubler.bend, http.run = other, http_doubled(ROWS, version=OTHER)
    for runner in (opened(port), opened(http.port, scheme="triton+http")):
        with runner, pytest.raises(ServerFaultError, match=f"asked version {VERSION} .* answered by 5"):
            runner.infer({"x": ROWS})


# --- what an answer holds --------------------------------------------------------------------------------------------


def _shape(answer: Any, *shape: int) -> None:
    answer.outputs[0].shape[:] = shape


def _bytes(answer: Any, content: bytes) -> None:
    answer.raw_output_contents[0] = content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: _shape(a, 3, 4), r"expected FP32 \[4, 3\].*got FP32 \[3, 4\] in 48 bytes"),
        (lambda a: _shape(a, 12), r"got FP32 \[12\]"),
        (lambda a: _shape(a, -4, -3), r"got FP32 \[-4, -3\]"),
        (lambda a: _shape(a, 2**62, 2**62), "got FP32"),
        (lambda a: _bytes(a, b"\0" * 47), "in 47 bytes"),
        (lambda a: _bytes(a, b""), "in 0 bytes"),
        (lambda a: _bytes(a, b"\0" * 4800), "in 4800 bytes"),
        (lambda a: setattr(a.outputs[0], "datatype", "INT32"), "got INT32"),
        (lambda a: setattr(a.outputs[0], "datatype", "\x1b[2J"), r"got \\x1b"),
        (lambda a: setattr(a.outputs[0], "name", "z"), "expected one tensor y in the answer, got 0"),
        (lambda a: setattr(a.outputs[1], "name", "y"), "expected one tensor y in the answer, got 2"),
        (lambda a: a.outputs.pop(), "expected a tensor's bytes for each of 1 outputs, got 2"),
        (lambda a: a.raw_output_contents.pop(), "expected a tensor's bytes for each of 2 outputs, got 1"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_is_refused(
    doubler: Doubler, port: int, change: Callable[[Any], None], message: str
) -> None:
    def bend(answer: Any, context: Any) -> Any:
        change(answer)
        return answer

    doubler.bend = bend
    with opened(port) as runner:
        with pytest.raises(ServerFaultError, match=message) as failed:
            runner.infer({"x": ROWS})
        assert str(failed.value).isprintable()
        assert runner.retries == 0


def test_an_answer_of_no_numbers_is_refused(doubler: Doubler, port: int) -> None:
    def nan(answer: Any, context: Any) -> Any:
        _bytes(answer, np.full((4, 3), np.nan, np.float32).tobytes())
        return answer

    doubler.bend = nan
    with opened(port) as runner, pytest.raises(BrokenNetworkError, match="y: expected finite numbers, got NaN"):
        runner.infer({"x": ROWS})


def test_an_answer_over_the_limit_is_refused_before_it_is_read(
    doubler: Doubler, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(answer: Any, context: Any) -> Any:
        _bytes(answer, bytes(1 << 20))
        return answer

    monkeypatch.setattr("facereg.networks.triton.over_grpc.CHANNEL", [("grpc.max_receive_message_length", 1 << 16)])
    doubler.bend = large
    with opened(port) as runner, pytest.raises(ServerFaultError, match="larger than max"):
        runner.infer({"x": ROWS})


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_is_one_typed_error_of_one_line(doubler: Doubler, port: int, code: grpc.StatusCode) -> None:
    doubler.bend = lambda answer, context: context.abort(code, "first\nsecond \x1b[2J" + "x" * 5000)
    with opened(port, "timeout_s=0.5") as runner:
        with pytest.raises(RunnerError) as failed:
            runner.infer({"x": ROWS})
        assert str(failed.value).isprintable()
        assert len(str(failed.value)) < 1000


TENSOR = {"name": "y", "datatype": "FP32", "shape": [4, 3], "parameters": {"binary_data_size": 48}}
SUMS = {"name": "sums", "datatype": "FP32", "shape": [4, 1], "parameters": {"binary_data_size": 16}}
RIGHT = http_doubled(ROWS)


def _outputs(*outputs: Any, content: bytes = b"\0" * 64) -> bytes:
    return http_tensors(list(outputs), content)


def _drip(connection: socket.socket) -> None:
    for byte in RIGHT:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)


def _endless(content: bytes, start: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(content)

    return send


def _silent(connection: socket.socket) -> None:
    time.sleep(5)


ENDLESS = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "run",
    [
        _outputs({**TENSOR, "shape": [3, 4]}, SUMS),
        _outputs({**TENSOR, "shape": [1e999, 4]}, SUMS),
        _outputs({**TENSOR, "shape": "43"}, SUMS),
        _outputs({**TENSOR, "datatype": "FP16"}, SUMS),
        _outputs({**TENSOR, "parameters": {"binary_data_size": 47}}, SUMS),
        _outputs({**TENSOR, "parameters": {"binary_data_size": 10**30}}, SUMS),
        _outputs({**TENSOR, "parameters": {"binary_data_size": -48}}, SUMS),
        _outputs({**TENSOR, "parameters": {}}, SUMS),
        _outputs({**TENSOR, "data": [0] * 12}),
        _outputs(TENSOR, SUMS, content=b"\0" * 63),
        _outputs(TENSOR, SUMS, content=b"\0" * 65),
        _outputs(TENSOR, SUMS, content=b"\xff" * 64),  # NaN
        _outputs(TENSOR, TENSOR, SUMS, content=b"\0" * 112),
        _outputs("y", None, 3),
        http_answer(RIGHT, headers="Inference-Header-Content-Length: 99999999999\r\n"),
        http_answer(RIGHT, headers="Inference-Header-Content-Length: ²\r\n"),
        http_answer(RIGHT, headers="Inference-Header-Content-Length: -1\r\n"),
        http_answer(b"{}", headers="Inference-Header-Content-Length: 2\r\n"),
        http_answer(b"[]", headers="Inference-Header-Content-Length: 2\r\n"),
        http_answer(b"[" * 100_000, headers="Inference-Header-Content-Length: 100000\r\n"),
        http_answer(b"\xff\xfe", headers="Inference-Header-Content-Length: 2\r\n"),
        http_answer(b"9" * 9999, headers="Inference-Header-Content-Length: 9999\r\n"),
        http_answer(b"{}"),
        http_answer(b""),
        http_answer(b'{"error":"no\x1b[2J"}', status="500 No"),
        http_answer(b"\xff", status="302 Found", headers="Location: http://127.0.0.1:1/\r\n"),
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{}",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"7fffffffffffffff\r\nabc",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\0\r\n\r\n",
        b"\r\n\r\n",
        _drip,
        _silent,
        _endless(b"X" * 65536, b""),
        _endless(b"X-Y: z\r\n" * 50, ENDLESS),
        _endless(b"X" * 65536, ENDLESS + b"\r\n"),
        _endless(b"10000\r\n" + b"X" * 65536 + b"\r\n", CHUNKED),
        _endless(b"HTTP/1.1 100 Continue\r\n\r\n", b""),
        lambda connection: connection.close(),
    ],
)
def test_whatever_comes_by_http_is_one_typed_error_in_time(
    http: HttpPeer, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facereg.networks.triton.over_http.MAX_ANSWER", 1 << 24)  # to reach it in time
    with opened(http.port, "timeout_s=1", "triton+http") as runner:
        http.run = run
        start = time.monotonic()
        with pytest.raises(RunnerError) as failed:
            runner.infer({"x": ROWS})
        assert time.monotonic() - start < 1 + MARGIN_S
        assert str(failed.value).isprintable()
        assert len(str(failed.value)) < 1000
        http.run = RIGHT  # what was left of that answer is not taken for the next one
        assert_doubled(runner.infer({"x": ROWS}))


@pytest.mark.parametrize(
    "stated",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"nonsense",
        b'{"versions": null, "inputs": [], "outputs": []}',
        b'{"versions": [], "inputs": 5, "outputs": []}',
        b'{"versions": [], "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1e999]}], "outputs": []}',
        b'{"versions": [], "inputs": [{"name": "x\\u001b", "datatype": "FP32", "shape": [-1, 3]}], "outputs": []}',
        b"[" * 100_000,
        b" " * 5_000_000,
    ],
)
def test_whatever_a_server_states_about_its_model_is_one_typed_error(http: HttpPeer, stated: bytes) -> None:
    for path in (f"/v2/models/doubler/versions/{VERSION}", f"/v2/models/doubler/versions/{VERSION}/config"):
        if path.endswith("config") and b"versions" in stated:
            continue
        kept = http.stated[path]
        http.stated[path] = http_answer(stated)
        with pytest.raises(RunnerError) as failed:
            opened(http.port, scheme="triton+http")
        assert str(failed.value).isprintable()
        http.stated[path] = kept


# --- silence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["triton", "triton+http"])
def test_a_connection_that_freezes_costs_one_deadline_and_heals(
    doubler: Doubler, port: int, http: HttpPeer, scheme: str
) -> None:
    with wire_to(port if scheme == "triton" else http.port) as wire, opened(wire.port, "timeout_s=1", scheme) as runner:
        assert_doubled(runner.infer({"x": ROWS}))
        wire.frozen.set()
        taken = []
        for error in (DeadlineError, UnreachableError, UnreachableError):
            start = time.monotonic()
            with pytest.raises(error) as failed:
                runner.infer({"x": ROWS})
            taken.append(time.monotonic() - start)
        assert "takes connections and says nothing; it is asked again in" in str(failed.value)
        assert taken[0] < 1 + MARGIN_S
        assert taken[1] < MARGIN_S
        assert taken[2] < 0.1  # left alone
        wire.frozen.clear()
        until = time.monotonic() + failures.REST_S + 15
        while True:
            try:
                assert_doubled(runner.infer({"x": ROWS}))
                break
            except RunnerError:
                assert time.monotonic() < until
                time.sleep(0.1)


def test_calls_in_flight_when_a_connection_freezes_end_in_time(port: int) -> None:
    rows = np.zeros((8, 3), np.float32)
    with wire_to(port) as wire, opened(wire.port, "timeout_s=2") as runner, ThreadPoolExecutor(4) as pool:
        threading.Timer(0.3, wire.frozen.set).start()

        def call(_: int) -> str:
            start = time.monotonic()
            try:
                runner.infer({"x": rows})
                outcome = "right"
            except RunnerError as error:
                outcome = type(error).__name__
            assert time.monotonic() - start < 2 + MARGIN_S
            return outcome

        start, outcomes = time.monotonic(), Counter[str]()
        while time.monotonic() - start < 6:
            outcomes.update(pool.map(call, range(8)))
            time.sleep(0.05)
        assert outcomes["right"] > 0
        assert outcomes["DeadlineError"] > 0
        assert set(outcomes) <= {"right", "DeadlineError", "UnreachableError"}


@pytest.mark.parametrize("scheme", ["triton", "triton+http", "tritons"])
def test_opening_at_a_silent_peer_ends_in_time(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # the kernel takes the connection, nobody reads it
        start = time.monotonic()
        with pytest.raises((UnreachableError, DeadlineError)):
            opened(listener.getsockname()[1], "timeout_s=1", scheme)
        assert time.monotonic() - start < 2 + MARGIN_S


def test_a_slow_server_keeps_its_connection(doubler: Doubler, port: int) -> None:
    def slow(answer: Any, context: Any) -> Any:
        time.sleep(12)  # longer than the first looks whether the peer still lives
        return answer

    doubler.bend = slow
    with opened(port, "timeout_s=30") as runner:
        assert_doubled(runner.infer({"x": ROWS}))
        assert runner.retries == 0


def test_a_server_that_is_only_slow_is_not_left_alone(doubler: Doubler, port: int) -> None:
    def slow(answer: Any, context: Any) -> Any:
        time.sleep(0.6)
        return answer

    doubler.bend = slow
    with opened(port, "timeout_s=0.3") as runner:
        for _ in range(2):
            with pytest.raises(DeadlineError, match=r"no answer in 0\.3 s"):
                runner.infer({"x": ROWS})
        doubler.bend = lambda answer, context: answer
        time.sleep(0.7)
        assert_doubled(runner.infer({"x": ROWS}))


def test_a_server_that_is_gone_costs_one_deadline_and_is_found_again(doubler: Doubler) -> None:
    with ExitStack() as stack:
        with grpc_peer(doubler) as port:
            runner = stack.enter_context(opened(port, "timeout_s=1"))
            runner.infer({"x": ROWS})
        with pytest.raises(UnreachableError, match="no Triton server answers: connection refused"):
            runner.infer({"x": ROWS})
        assert runner.retries > 0
        start = time.monotonic()
        for _ in range(50):
            with pytest.raises(UnreachableError, match="connection refused; it is asked again in"):
                runner.infer({"x": ROWS})
        assert time.monotonic() - start < failures.REST_S / 2  # not 50 deadlines
        stack.enter_context(grpc_peer(doubler, port=port))
        time.sleep(failures.REST_S)
        assert_doubled(runner.infer({"x": ROWS}))


def test_closing_ends_the_calls_of_other_threads(doubler: Doubler, port: int) -> None:
    started = threading.Event()

    def hang(answer: Any, context: Any) -> Any:
        started.set()
        time.sleep(2)
        return answer

    doubler.bend = hang
    runner = opened(port, "timeout_s=20")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(runner.infer, {"x": ROWS})
        started.wait(10)
        runner.close()
        assert isinstance(call.exception(timeout=5), RunnerError)


# --- several servers -------------------------------------------------------------------------------------------------


def test_requests_are_spread_over_the_servers_and_survive_the_loss_of_one() -> None:
    first, second = Doubler(), Doubler()
    with ExitStack() as stack:
        one, loss = stack.enter_context(grpc_peer(first)), ExitStack()
        two = loss.enter_context(grpc_peer(second))
        runner = stack.enter_context(
            TritonRunner(DOUBLER, f"triton://127.0.0.1:{one},localhost:{two}?timeout_s=5", sha256=SHA256)
        )
        until = time.monotonic() + 10
        while not (first.asked and second.asked):  # both connections are made
            runner.infer({"x": ROWS})
            assert time.monotonic() < until
        first.asked.clear()
        second.asked.clear()
        for _ in range(100):
            runner.infer({"x": ROWS})
        assert (len(first.asked), len(second.asked)) == (50, 50)
        loss.close()
        for _ in range(300):
            assert_doubled(runner.infer({"x": ROWS}))
        assert runner.retries < 30


def test_of_several_servers_one_may_lack_the_weights_but_not_all() -> None:
    first, second = Doubler(), Doubler()
    with grpc_peer(first) as one, grpc_peer(second) as two:
        address = f"triton://127.0.0.1:{one},127.0.0.1:{two}?timeout_s=5"
        with TritonRunner(DOUBLER, address, sha256=SHA256) as runner:
            first.versions = (OTHER,)
            for _ in range(20):
                assert_doubled(runner.infer({"x": ROWS}))
            second.versions = (OTHER,)
            start = time.monotonic()
            with pytest.raises(ModelMismatchError, match=f"expected version {VERSION}"):
                runner.infer({"x": ROWS})
            assert time.monotonic() - start < 4


# --- TLS and tokens --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a certificate for 127.0.0.1 and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def tls_port(doubler: Doubler, signed: tuple[Path, Path]) -> Iterator[int]:
    certificate, key = (file.read_bytes() for file in signed)
    credentials = grpc.ssl_server_credentials([(key, certificate)], certificate, require_client_auth=False)
    with grpc_peer(doubler, credentials=credentials) as port:
        yield port


def test_tls_that_fails_says_so(tls_port: int, port: int, signed: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = signed
    with opened(tls_port, f"ca={certificate}&cert={certificate}&key={key}", "tritons") as runner:
        assert_doubled(runner.infer({"x": ROWS}))
    for place, query, scheme, message in (
        (tls_port, "timeout_s=2", "tritons", "TLS failed: self.signed certificate; check ca="),
        (tls_port, "timeout_s=2", "triton", "it speaks TLS; use tritons://"),
        (port, f"ca={certificate}", "tritons", "TLS failed: .*is it a port with TLS"),
    ):
        with pytest.raises(UnreachableError, match=message):
            opened(place, query, scheme)
    with pytest.raises(UnreachableError, match="TLS failed: .*(mismatch|not valid)"):
        TritonRunner(DOUBLER, f"tritons://localhost:{tls_port}?ca={certificate}", sha256=SHA256)
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(other), "2048"], check=True, capture_output=True)
    locked = tmp_path / "locked.pem"
    words = ["openssl", "rsa", "-in", str(key), "-aes128", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(words, check=True, capture_output=True)
    for wrong in (other, locked, certificate):
        with pytest.raises(RunnerError, match="they do not go together"):
            opened(tls_port, f"ca={certificate}&cert={certificate}&key={wrong}", "tritons")


def test_a_token_is_sent_over_tls_and_to_this_machine(
    doubler: Doubler, tls_port: int, port: int, signed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEREG_TEST_TOKEN", "abc")
    for runner in (
        opened(tls_port, f"ca={signed[0]}&token_env=FACEREG_TEST_TOKEN", "tritons"),
        opened(port, "token_env=FACEREG_TEST_TOKEN"),
    ):
        with runner:
            runner.infer({"x": ROWS})
        assert doubler.metadata[-1]["authorization"] == "Bearer abc"


def test_a_server_that_shuts_out_is_named_without_the_token(
    doubler: Doubler, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEREG_TEST_TOKEN", "sesame")
    doubler.bend = lambda answer, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no\x1b[2J")
    with opened(port, "token_env=FACEREG_TEST_TOKEN") as runner:
        with pytest.raises(UnreachableError, match="did not let us in.*check token_env") as failed:
            runner.infer({"x": ROWS})
        assert "sesame" not in f"{failed.value} {failed.value.__cause__} {runner.address!r}"
        assert str(failed.value).isprintable()
