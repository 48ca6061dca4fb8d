"""TritonRunner against the real server: each failure is one typed error, and threads never get each other's answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facereg.errors import (
    DeadlineError,
    DeviceError,
    FaceregError,
    InputRefusedError,
    MissingExtraError,
    ModelMismatchError,
    ModelMissingError,
    RunnerError,
    UnreachableError,
)
from facereg.registry import default_registry
from facereg.runners.address import parse_address
from facereg.runners.opening import open_network
from facereg.runners.spec import TensorSpec
from facereg.runners.transport import Request, TransportError, acquire, release
from facereg.runners.triton import TritonRunner
from facereg.serving.repository import build_repository
from facereg.serving.server import Ports, TritonServer
from facereg.testing.pictures import crops
from tests.triton.conftest import READY_S, Served
from tests.triton.third_party import COLOURS, write_colours

[RNET] = [spec for model in default_registry().models() for spec in model.networks if spec.name == "mtcnn-rnet"]
PIXELS = np.random.default_rng(1).uniform(0, 255, (RNET.max_batch, 3, 24, 24)).astype(np.float32)


def both(served: Served) -> list[str]:
    return [served.server.address, served.server.http_address]


def test_nobody_there_is_unreachable() -> None:
    nobody = Ports.free()
    for address in (f"triton://127.0.0.1:{nobody.grpc}", f"triton+http://127.0.0.1:{nobody.http}"):
        with pytest.raises(UnreachableError, match="no Triton server answers.*facereg triton serve"):
            open_network(RNET, runner=address)


def test_the_port_of_the_other_protocol_is_unreachable(served: Served) -> None:
    ports = served.server.ports
    for address in (f"triton://127.0.0.1:{ports.http}", f"triton+http://127.0.0.1:{ports.grpc}"):
        with pytest.raises(UnreachableError, match="check the address"):
            open_network(RNET, runner=address)


def test_a_model_that_is_not_served_is_missing(served: Served) -> None:
    for address in both(served):
        with pytest.raises(ModelMissingError, match="has no such model; it has: .*mtcnn-rnet"):
            open_network(replace(RNET, name="arcfce", sha256=None), runner=address)


def test_a_version_that_is_not_served_is_missing(served: Served) -> None:
    with pytest.raises(ModelMissingError, match="has no version '7'"):
        open_network(RNET, runner=f"{served.server.address}?version=7")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"inputs": (TensorSpec("pictures", "float32", (None, 3, 24, 24)),)},
            r"inputs \['pictures'\], got \['images'\]",
        ),
        ({"outputs": (TensorSpec("masks", "float32", (None,)),)}, r"outputs \['masks'\], got \['scores', 'boxes'\]"),
        (
            {"inputs": (TensorSpec("images", "float32", (None, 3, 48, 48)),)},
            r"FP32 \[-1, 3, 48, 48\].*\[-1, 3, 24, 24\]",
        ),
        ({"inputs": (TensorSpec("images", "uint8", (None, 3, 24, 24)),)}, "expected UINT8 .* got FP32"),
        ({"sha256": "12" * 32}, r"other weights: expected sha256 121212121212\.\.\., got [0-9a-f]{12}"),
    ],
    ids=["input name", "output name", "shape", "dtype", "weights"],
)
def test_another_network_than_declared_is_one_error_at_opening(
    served: Served, change: dict[str, Any], message: str
) -> None:
    for address in both(served):
        with pytest.raises(ModelMismatchError, match=message):
            open_network(replace(RNET, **change), runner=address)


def test_other_weights_may_be_allowed_and_are_told_by_the_fingerprint(served: Served) -> None:
    with open_network(replace(RNET, sha256="12" * 32), runner=f"{served.server.address}?weights=any") as runner:
        assert runner.fingerprint == RNET.sha256


def test_weights_given_must_be_those_served(served: Served, tmp_path: Path) -> None:
    other = write_colours(tmp_path / "other.onnx", gain=3.0)
    with pytest.raises(ModelMismatchError, match="other weights"):
        open_network(COLOURS, weights=other, runner=served.server.address)
    with open_network(COLOURS, weights=other, runner=f"{served.server.address}?weights=any") as runner:
        assert runner.infer({"images": np.full((1, 2, 2, 3), 8, np.uint8)})["embedding"][0] == pytest.approx([8, 8, 8])


def test_no_answer_in_time_is_a_deadline(served: Served) -> None:
    for address in both(served):
        with open_network(RNET, runner=f"{address}?timeout_s=0.0011") as runner:
            calls = [partial(runner.infer, {"images": PIXELS}) for _ in range(20)]
            with pytest.raises(DeadlineError, match="no answer in 0.0011 s"):
                all(call() for call in calls)


def test_a_batch_the_server_refuses_is_not_repeated(served: Served) -> None:
    for address in both(served):
        with TritonRunner(RNET, address) as runner:
            # past the runner's own checks, which leave nothing for the server to refuse
            object.__setattr__(runner._served, "max_batch", RNET.max_batch)
            with pytest.raises(InputRefusedError, match="batch-size must be <= 24"):
                runner.infer({"images": PIXELS})
            assert runner.retries == 0


def test_requests_of_many_threads_keep_to_themselves(served: Served) -> None:
    with open_network(RNET, threads=1) as here:
        wanted = [here.infer({"images": PIXELS[index : index + 1]}) for index in range(len(PIXELS))]
    for address in (*both(served), f"{served.server.address}?shared_memory=system"):
        with open_network(RNET, runner=address) as there, ThreadPoolExecutor(8) as pool:
            order = [index for _ in range(3) for index in range(len(PIXELS))]
            found = list(pool.map(lambda index: there.infer({"images": PIXELS[index : index + 1]}), order))
            for index, answer in zip(order, found, strict=True):
                # the server joins them into batches, which sum in another order
                np.testing.assert_allclose(answer["boxes"], wanted[index]["boxes"], rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(answer["scores"], wanted[index]["scores"], rtol=1e-4, atol=1e-5)


def test_runners_of_one_address_share_a_connection_until_the_last_is_closed(served: Served) -> None:
    first, second = (TritonRunner(RNET, served.server.address) for _ in range(2))
    assert first._transport is second._transport
    first.close()
    first.close()
    with second:
        second.infer({"images": PIXELS[:1]})
    with pytest.raises(RunnerError, match="closed"):
        first.infer({"images": PIXELS[:1]})


def test_a_region_the_server_lost_is_registered_anew(served: Served) -> None:
    for address in both(served):
        with TritonRunner(RNET, f"{address}?shared_memory=system") as runner:
            wanted = runner.infer({"images": PIXELS[:4]})
            runner._transport.ask(lambda client: client.unregister_system_shared_memory(), 5.0)
            found = runner.infer({"images": PIXELS[:4]})
            np.testing.assert_array_equal(found["boxes"], wanted["boxes"])
            assert runner.retries == 1


def test_shared_memory_is_given_back(served: Served) -> None:
    with TritonRunner(RNET, f"{served.server.address}?shared_memory=system") as runner:
        for count in (1, 24, 3):
            runner.infer({"images": PIXELS[:count]})
    assert not list(Path("/dev/shm").glob("facereg-*"))
    transport = acquire(parse_address(served.server.address))
    try:
        known = transport.ask(lambda client: client.get_system_shared_memory_status(), 5.0)
    finally:
        release(transport)
    assert not [name for name in known.get("regions", {}) if name.startswith("facereg-")]


def test_cuda_shared_memory_without_a_gpu_is_an_error(served: Served) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    with pytest.raises((DeviceError, MissingExtraError), match="shared_memory=cuda"):
        open_network(RNET, runner=f"{served.server.address}?shared_memory=cuda")


def test_a_missing_client_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    for name in ("transport", "triton", "shared_memory"):
        monkeypatch.delitem(sys.modules, f"facereg.runners.{name}", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'facereg-core\[triton\]'"):
        open_network(RNET, runner="triton://127.0.0.1:8001")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("triton://127.0.0.1", "expected triton://HOST:PORT"),
        ("triton://127.0.0.1:99999", "expected triton://HOST:PORT"),
        ("triton://me:secret@host:8001", "expected triton://HOST:PORT"),
        ("grpc://127.0.0.1:8001", "expected one of: triton, tritons, triton\\+http"),
        ("triton://h:1?timeout=5", "no option 'timeout' .* timeout_s"),
        ("triton://h:1?timeout_s=0", "timeout_s: expected a number over 0, got '0'"),
        ("triton://h:1?timeout_s=inf", "expected a number over 0"),
        ("triton://h:1?in_flight=2.5", "in_flight: expected a number over 0"),
        ("triton://h:1?mend=yes", "mend: expected one of true, false, got 'yes'"),
        ("triton://h:1?shared_memory=gpu", "shared_memory: expected one of none, system, cuda"),
        ("triton://h:1?ca=ca.pem", "use tritons://"),
    ],
)
def test_a_wrong_address_names_what_is_wrong(address: str, message: str) -> None:
    with pytest.raises(RunnerError, match=message):
        open_network(RNET, runner=address)


def test_an_address_is_read() -> None:
    address = parse_address("tritons://[::1]:9001?timeout_s=2.5&in_flight=8&mend=true&version=3&ca=ca.pem")
    assert (address.protocol, address.tls, address.target) == ("grpc", True, "[::1]:9001")
    assert (address.timeout_s, address.in_flight, address.mend, address.version) == (2.5, 8, True, "3")
    assert parse_address("triton+http://host:8000").protocol == "http"


def test_a_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    address = parse_address("triton://h:1?token_env=FACEREG_TEST_TOKEN")
    with pytest.raises(RunnerError, match="FACEREG_TEST_TOKEN"):
        _ = address.headers
    monkeypatch.setenv("FACEREG_TEST_TOKEN", "abc")
    assert address.headers == {"authorization": "Bearer abc"}


def test_a_ca_file_that_is_missing_is_named() -> None:
    with pytest.raises(FaceregError, match="nowhere.pem"):
        open_network(RNET, runner="tritons://127.0.0.1:1?ca=/nowhere.pem")


def test_a_request_to_a_plain_server_over_tls_is_unreachable(served: Served) -> None:
    with pytest.raises(UnreachableError):
        open_network(RNET, runner=served.server.address.replace("triton://", "tritons://"))


def test_a_server_with_tls_gives_the_same_to_who_knows_its_signer(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    build_repository(tmp_path / "repository", registry=default_registry(), models=["mobilenetv3-arcface"])
    [spec] = default_registry().model("mobilenetv3-arcface").networks
    pixels = crops(2, 112).pixels
    with open_network(spec) as here:
        wanted = here.infer({"images": pixels})["embedding"]
    arguments = ["--grpc-use-ssl=true", f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}"]
    with TritonServer(tmp_path / "repository", arguments=arguments, timeout_s=READY_S) as server:
        address = server.address.replace("triton://", "tritons://")
        with open_network(spec, runner=f"{address}?ca={certificate}") as there:
            np.testing.assert_allclose(there.infer({"images": pixels})["embedding"], wanted, atol=1e-4)
        for stranger in (address, server.address):  # the signer unknown; no TLS
            with pytest.raises(UnreachableError):
                open_network(spec, runner=stranger)


def test_the_transport_sorts_what_the_server_says(served: Served) -> None:
    def ask(model: str, pixels: Any, version: str = "") -> Request:
        return Request(model, version, (("images", pixels),), ("scores",), {})

    for text in both(served):
        transport = acquire(parse_address(text))
        try:
            for request, cause in (
                (ask("nothing", PIXELS[:1]), "missing"),
                (ask("mtcnn-rnet", PIXELS[:1], "9"), "missing"),
                (ask("mtcnn-rnet", PIXELS[:1, :2]), "refused"),
                (ask("mtcnn-rnet", PIXELS[:1].astype(np.uint8)), "refused"),
            ):
                with pytest.raises(TransportError) as failed:
                    transport.infer(request, 10.0)
                assert failed.value.cause == cause
        finally:
            release(transport)
