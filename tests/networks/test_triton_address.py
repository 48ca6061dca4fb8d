"""The setting that names a server: what is read, what is refused in one line, and that no password is ever shown."""

from __future__ import annotations

import random
import string
from dataclasses import replace
from pathlib import Path

import pytest

from facereg.errors import FaceregError, RunnerError
from facereg.names import masked
from facereg.networks.opening import open_network
from facereg.networks.spec import NetworkSpec, TensorSpec
from facereg.networks.triton.address import TritonAddress, parse_address

SPEC = NetworkSpec(
    "doubler",
    (TensorSpec("x", "float32", (None, 3)),),
    (TensorSpec("y", "float32", (None, 3)),),
    package="facereg",
    file="doubler.onnx",
    sha256="ab" * 32,
)
GOOD = "tritons://[::1]:9001,faces.example:8001?timeout_s=2.5&in_flight=8&version=3&ca=/my%20ca.pem&weights=any"


def test_an_address_is_read() -> None:
    address = parse_address(GOOD)
    assert (address.protocol, address.tls) == ("grpc", True)
    assert address.servers == (("::1", 9001), ("faces.example", 8001))
    assert address.target == "[::1]:9001,faces.example:8001"
    assert (address.timeout_s, address.in_flight, address.version) == (2.5, 8, "3")
    assert (address.ca, address.weights) == ("/my ca.pem", "any")
    assert parse_address("triton+http://host:8000/").protocol == "http"
    assert parse_address("TRITON://Host:1").servers == (("host", 1),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no scheme"),
        ("127.0.0.1:8001", "no scheme"),
        ("grpc://127.0.0.1:8001", r"expected one of: triton, tritons, triton\+http"),
        ("\uff54riton://h:1", "no scheme"),
        ("triton:", "no scheme"),
        ("triton://", "expected triton://HOST:PORT"),
        ("triton://127.0.0.1", "expected triton://HOST:PORT"),
        ("triton://:8001", "expected triton://HOST:PORT"),
        ("triton://h:", "expected triton://HOST:PORT"),
        ("triton://h:0", "expected triton://HOST:PORT"),
        ("triton://h:99999", "expected triton://HOST:PORT"),
        ("triton://h:" + "9" * 4000, "expected triton://HOST:PORT"),
        ("triton://h:-1", "expected triton://HOST:PORT"),
        ("triton://h:8001x", "expected triton://HOST:PORT"),
        ("triton://h:\uff18\uff10", "expected triton://HOST:PORT"),
        ("triton://h:²", "expected triton://HOST:PORT"),
        ("triton://[::1", "expected triton://HOST:PORT"),
        ("triton://::1:8001", "expected triton://HOST:PORT"),
        ("triton://[::1]", "expected triton://HOST:PORT"),
        ("triton://[::1%eth0]:1", "expected triton://HOST:PORT"),
        ("triton://[:::::]:1", "expected triton://HOST:PORT"),
        ("triton://bücher.example:1", "expected triton://HOST:PORT"),
        ("triton://h h:1", "expected triton://HOST:PORT"),
        ("triton://h%00:1", "expected triton://HOST:PORT"),
        ("triton://h:1/models", "expected triton://HOST:PORT"),
        ("triton://a:1,", "expected triton://HOST:PORT"),
        ("triton://a:1,,b:1", "expected triton://HOST:PORT"),
        ("triton://a:1,a:1", "each server once"),
        ("triton://" + ",".join(f"h{n}:1" for n in range(65)), "expected triton://HOST:PORT"),
        ("triton+http://a:1,b:1", "expected one server over HTTP, got 2"),
        ("triton://h:1\n", "can be printed"),
        ("triton://h:1\x00", "can be printed"),
        ("triton://h:1?ca=" + "x" * 5000, "at most 4096 characters"),
        ("triton://h:1?", "expected options after"),
        ("triton://h:1?timeout_s=1#a", "expected options after"),
        ("triton://h:1#a", "expected triton://HOST:PORT"),
        ("triton://h:1?timeout_s", "expected NAME=VALUE"),
        ("triton://h:1?timeout_s=1&", "expected NAME=VALUE"),
        ("triton://h:1?ca=%ff", "expected NAME=VALUE"),
        ("triton://h:1?timeout_s=1?in_flight=2", "timeout_s: expected a number over 0"),
        ("triton://h:1?timeout=5", "no option 'timeout' .* timeout_s"),
        ("triton://h:1?servers=a", "no option 'servers'"),
        ("triton://h:1?tls=true", "no option 'tls'"),
        ("triton://h:1?timeout_s=0", "timeout_s: expected a number over 0 and at most 86400, got '0'"),
        ("triton://h:1?timeout_s=inf", "expected a number over 0"),
        ("triton://h:1?timeout_s=nan", "expected a number over 0"),
        ("triton://h:1?timeout_s=-1", "expected a number over 0"),
        ("triton://h:1?timeout_s=1e9", "expected a number over 0"),
        ("triton://h:1?timeout_s=1_0", "expected a number over 0"),
        ("triton://h:1?timeout_s=", "expected a number over 0"),
        ("triton://h:1?timeout_s=1&timeout_s=2", "timeout_s: expected it once"),
        ("triton://h:1?in_flight=2.5", "in_flight: expected a number over 0"),
        ("triton://h:1?in_flight=²", "in_flight: expected a number over 0"),
        ("triton://h:1?in_flight=٣", "in_flight: expected a number over 0"),
        ("triton://h:1?in_flight=1000000", "at most 1024"),
        ("triton://h:1?in_flight=" + "9" * 4000, "at most 1024"),
        ("triton://h:1?version=", "version: expected text"),
        ("triton://h:1?version=latest", "version: expected a whole number"),
        ("triton://h:1?version=007", "version: expected a whole number"),
        ("triton://h:1?version=9223372036854775808", "version: expected a whole number"),
        ("triton://h:1?version=7/../../x", "version: expected a whole number"),
        ("triton://h:1?weights=mine", "weights: expected one of own, any"),
        ("triton://h:1?shared_memory=system", "shared_memory: no option any more: .*leave it out"),
        ("triton://h:1?mend=true", "mend: no option any more: .*leave it out"),
        ("triton://h:1?ca=ca.pem", "ca: only TLS has certificates.*use tritons://"),
        ("triton://h:1?cert=c.pem&key=k.pem", "cert, key: only TLS"),
        ("triton+http://h:1?cert=c.pem", "cert: only TLS"),
        ("tritons://h:1?cert=c.pem", "cert: expected key= too"),
        ("tritons://h:1?key=k.pem", "key: expected cert= too"),
        ("tritons://h:1?cert=a%00b&key=k", "cert: expected text that can be printed"),
        ("tritons://h:1?token_env=a-b", "token_env: expected the name of an environment variable"),
        ("triton://h:1?token_env=TOKEN", "token_env: a token would cross the network in clear to h:1"),
        ("triton+http://10.0.0.7:1?token_env=TOKEN", "in clear"),
        ("triton://127.0.0.1:1,10.0.0.7:1?token_env=TOKEN", "in clear"),
        ("triton://127.0.0.1.example:1?token_env=TOKEN", "in clear"),
        ("triton://0.0.0.0:1?token_env=TOKEN", "in clear"),
    ],
)
def test_a_wrong_address_is_one_line_that_names_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(RunnerError, match=message) as failed:
        parse_address(text)
    assert str(failed.value).isprintable()
    assert len(str(failed.value)) < 700


@pytest.mark.parametrize(
    "text",
    [
        "triton://me:secret@host:8001",
        "triton://secret@host:8001",
        "triton://me:sec@secret@host:8001",
        "triton://me:secret/secret@host:8001?timeout_s=1",
        "triton://me:se?secret#secret@host:8001",
        "tritons://me:secret@[::1",
        "http://me:secret@host:8001",
        "me:secret@host:8001",
        "triton:me:secret@host:8001",
        "onnx:me:secret@host",
        "triton://me:secret\n@host:8001",
        "triton://" + "x" * 5000 + ":secret@host:8001",
        "triton://h:1?ca=https://me:secret@host/ca.pem",
        "triton://h:1?timeout_s=me:secret@host",
        "triton://h:1?me:secret@host=5",
    ],
)
def test_a_password_in_an_address_is_never_shown(text: str) -> None:
    with pytest.raises(FaceregError) as failed:
        open_network(SPEC, runner=text)
    causes = [failed.value, failed.value.__cause__, failed.value.__context__]
    assert "secret" not in " ".join(f"{cause} {cause!r}" for cause in causes)


def test_an_address_without_a_password_is_shown_as_it_is() -> None:
    assert masked("triton://h:1?timeout_s=5") == "triton://h:1?timeout_s=5"
    assert masked("onnx") == "onnx"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "[::1]"])
def test_a_token_may_cross_this_machine_without_tls(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = parse_address(f"triton://{host}:1?token_env=FACEREG_TEST_TOKEN")
    with pytest.raises(RunnerError, match="FACEREG_TEST_TOKEN, found none"):
        _ = address.headers
    monkeypatch.setenv("FACEREG_TEST_TOKEN", "abc")
    assert address.headers == {"authorization": "Bearer abc"}
    assert "abc" not in repr(address)


def test_an_address_made_in_python_keeps_the_same_rules() -> None:
    with pytest.raises(RunnerError, match="in clear"):
        TritonAddress("grpc", False, (("10.0.0.7", 8001),), token_env="TOKEN")
    with pytest.raises(RunnerError, match="expected key= too"):
        replace(parse_address("tritons://h:1"), cert="c.pem")


def test_a_token_that_is_none_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    address = parse_address("tritons://h:1?token_env=FACEREG_TEST_TOKEN")
    monkeypatch.setenv("FACEREG_TEST_TOKEN", "abc\r\nx-admin: 1")
    with pytest.raises(RunnerError, match="found other characters") as failed:
        _ = address.headers
    assert "abc" not in str(failed.value)


def test_an_address_changed_anywhere_is_read_or_refused_in_one_line() -> None:
    rng = random.Random(0)
    letters = string.printable + "²٣é\x00\u202e\ud800"
    read, said = 0, []
    for _ in range(2000):
        text = list(GOOD)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(text))
            text[place : place + rng.choice([0, 1, 1, 1, 9])] = rng.choice(letters)
        try:
            read += isinstance(parse_address("".join(text)), TritonAddress)
        except RunnerError as error:
            said.append(str(error))
    assert read + len(said) == 2000
    assert 100 < read < 1900
    assert all(line.isprintable() for line in said)


@pytest.mark.parametrize(
    ("name", "content"),
    [("missing", None), ("folder", None), ("empty", b""), ("text", b"no certificate"), ("binary", bytes(range(256)))],
)
def test_files_that_are_no_certificates_are_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    pytest.importorskip("tritonclient.grpc")
    file = tmp_path / name
    if name == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    for query in (f"ca={file}", f"cert={file}&key={file}"):
        with pytest.raises(RunnerError, match=str(file)) as failed:
            open_network(SPEC, runner=f"tritons://127.0.0.1:1?{query}")
        assert str(failed.value).isprintable()
