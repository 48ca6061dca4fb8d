"""Who reaches the server's ports can run networks and ask about them, and changes nothing."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from facereg.serving.launch import HEADER, closed
from tests.triton.conftest import READY_S, Served

CODE = """
open({marker!r}, "w").close()
class TritonPythonModel:
    def execute(self, requests):
        return []
"""
CONFIG = json.dumps({"name": "evil", "backend": "python", "max_batch_size": 1, "input": [], "output": []})


def posted(url: str, document: dict[str, Any] | None = None) -> tuple[int, str]:
    """Post as a foreign web page may: as plain text, which no browser asks the server about first."""
    body = json.dumps(document or {}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain", "Origin": "http://evil.example"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("name", ["evil", "mtcnn-rnet"], ids=["new name", "a name that is served"])
@pytest.mark.parametrize("file", ["file:1/model.py", "file:../../evil/1/model.py"])
def test_code_that_is_posted_to_the_load_api_does_not_run(served: Served, tmp_path: Path, name: str, file: str) -> None:
    marker = tmp_path / "ran"
    code = CODE.format(marker=str(marker)).encode()
    before = sorted(served.server.repository.rglob("*"))
    base = served.server.http_address.replace("triton+http", "http")
    parameters = {"config": CONFIG, file: base64.b64encode(code).decode()}
    status, said = posted(f"{base}/v2/repository/models/{name}/load", {"parameters": parameters})
    assert (status >= 400, "not allowed" in said) == (True, True)
    with (
        triton_grpc.InferenceServerClient(served.server.address.removeprefix("triton://")) as client,
        pytest.raises(InferenceServerException, match="not allowed"),
    ):
        client.load_model(name, config=CONFIG, files={file: code})
    assert not marker.exists()
    assert sorted(served.server.repository.rglob("*")) == before


def test_nobody_can_unload_a_model(served: Served) -> None:
    base = served.server.http_address.replace("triton+http", "http")
    assert posted(f"{base}/v2/repository/models/mtcnn-rnet/unload")[0] >= 400
    with triton_grpc.InferenceServerClient(served.server.address.removeprefix("triton://")) as client:
        with pytest.raises(InferenceServerException, match="not allowed"):
            client.unload_model("mtcnn-rnet")
        assert client.is_model_ready("mtcnn-rnet")


@pytest.mark.parametrize(
    "path", ["logging", "trace/setting", "systemsharedmemory/region/x/register", "systemsharedmemory/unregister"]
)
def test_settings_and_shared_memory_are_closed_over_http(served: Served, path: str) -> None:
    base = served.server.http_address.replace("triton+http", "http")
    status, said = posted(f"{base}/v2/{path}", {"key": "/psm", "offset": 0, "byte_size": 8, "log_verbose_level": 1})
    assert (status, "restricted" in said) == (403, True), said


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, **more: client.update_log_settings({"log_verbose_level": 1}, **more),
        lambda client, **more: client.update_trace_settings(settings={"trace_level": ["TENSORS"]}, **more),
        lambda client, **more: client.register_system_shared_memory("x", "/psm", 8, **more),
        lambda client, **more: client.unregister_system_shared_memory(**more),
    ],
    ids=["log", "trace", "register", "unregister"],
)
def test_settings_and_shared_memory_are_closed_over_grpc(served: Served, ask: Callable[..., object]) -> None:
    with (
        triton_grpc.InferenceServerClient(served.server.address.removeprefix("triton://")) as client,
        pytest.raises(InferenceServerException, match="restricted"),
    ):
        ask(client)


def key_of(served: Served) -> str:
    """Return the key as any user of this machine reads it in the list of processes."""
    [argument] = [word for word in served.server.launch.command if word.startswith("--http-restricted-api")]
    return argument.partition(f"{HEADER}=")[2]


@pytest.mark.parametrize("between", ["\r\n ", "\n ", "\n", " ", "\r\n\t"], ids=repr)
def test_the_key_that_the_list_of_processes_shows_opens_nothing(served: Served, between: str) -> None:
    key = between.join(key_of(served).splitlines())
    request = f"GET /v2/logging HTTP/1.1\r\nHost: x\r\n{HEADER}: {key}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.server.ports.http), 10) as connection:
        connection.sendall(request.encode())
        answer = connection.makefile("rb").read()
    assert b" 200 " not in answer.split(b"\r\n")[0], answer


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name: str, value: str) -> bytes:
    """Return a header as HPACK has it, whatever its letters: longer than 126 they are not here."""
    return b"".join([b"\0", *(bytes([len(text)]) + text.encode() for text in (name, value))])


@pytest.mark.parametrize("spelled", [str, str.lower], ids=["its name", "in small letters"])
def test_the_key_opens_nothing_over_grpc_to_who_writes_frames_by_hand(
    served: Served, spelled: Callable[[str], str]
) -> None:
    pairs = {":method": "POST", ":scheme": "http", ":path": "/inference.GRPCInferenceService/LogSettings"}
    pairs |= {":authority": "x", "content-type": "application/grpc", "te": "trailers"}
    pairs["triton-grpc-protocol-" + spelled(HEADER)] = key_of(served)
    headers = b"".join(literal(name, value) for name, value in pairs.items())
    with socket.create_connection(("127.0.0.1", served.server.ports.grpc), 10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        connection.sendall(frame(1, 4, 1, headers) + frame(0, 1, 1, bytes(5)))
        answer = b""
        while b"grpc-message" not in answer and b"log_info" not in answer:
            part = connection.recv(65536)
            assert part
            answer += part
    assert b"log_info" not in answer


def test_each_server_has_a_key_of_its_own() -> None:
    first, second = closed(), closed()
    assert first[0].rpartition("=")[2] != second[0].rpartition("=")[2]
    assert all("\n" in argument for argument in first)


def test_a_module_in_the_folder_where_the_command_was_started_is_not_imported(served: Served, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for name in ("numpy", "onnxruntime", "json", "hashlib", "triton_python_backend_utils", "sitecustomize", "model"):
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w').close()\nraise SystemExit\n", "utf-8")
    program = (
        "import sys\n"
        f"sys.path[:0] = {[path for path in sys.path if path]!r}\n"
        "from facereg.serving.server import TritonServer\n"
        f"with TritonServer({str(served.server.repository)!r}, engine='pip', timeout_s={READY_S}) as server:\n"
        "    print('ready')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "ready\n", done.stderr
    assert not marker.exists()
