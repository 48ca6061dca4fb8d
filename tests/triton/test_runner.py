"""TritonRunner against the real server: each failure is one typed error, and threads never get each other's answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facereg.errors import (
    DeadlineError,
    InputRefusedError,
    MissingExtraError,
    ModelMismatchError,
    ModelMissingError,
    RunnerError,
    UnreachableError,
)
from facereg.networks.opening import open_network
from facereg.networks.spec import TensorSpec, weights_version
from facereg.networks.triton.address import parse_address
from facereg.networks.triton.over_grpc import GrpcTransport
from facereg.networks.triton.over_http import HttpTransport
from facereg.networks.triton.runner import TritonRunner
from facereg.networks.triton.transport import Request, Transport, TransportError
from facereg.registry.installed import default_registry
from facereg.serving.launch import Ports
from facereg.serving.repository import build_repository
from facereg.serving.server import TritonServer
from facereg.testing.pictures import crops
from tests.triton.conftest import READY_S, Served
from tests.triton.third_party import COLOURS, write_colours

[RNET] = [spec for model in default_registry().models() for spec in model.networks if spec.name == "mtcnn-rnet"]
VERSION = str(weights_version(str(RNET.sha256)))
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
    for address in both(served):
        with pytest.raises(ModelMissingError, match=f"has no version 7 of it: it has {VERSION}; .*version="):
            open_network(RNET, runner=f"{address}?version=7")


def test_a_server_without_the_index_of_its_models_still_tells_a_missing_one(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def private(*_: object) -> None:
        raise TransportError("shut out", "not for you")

    for name in ("over_grpc.GrpcTransport", "over_http.HttpTransport"):
        monkeypatch.setattr(f"facereg.networks.triton.{name}.states", private)
    for address in both(served):
        with pytest.raises(ModelMissingError, match="has no such model; add it"):
            open_network(replace(RNET, name="arcfce", sha256=None), runner=address)


def test_a_runner_that_is_closed_says_so(served: Served) -> None:
    for address in both(served):
        with TritonRunner(RNET, address) as runner:
            runner.infer({"images": PIXELS[:1]})
        runner.close()
        with pytest.raises(RunnerError, match="closed"):
            runner.infer({"images": PIXELS[:1]})


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
        (
            {"sha256": "12" * 32},
            f"other weights: expected version {0x121212121212121}, .*has {VERSION}; .*=any",
        ),
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
        assert RNET.sha256 is not None
        assert runner.fingerprint == RNET.sha256[:15]  # as much as the version tells


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
    for address in both(served):
        with open_network(RNET, runner=address) as there, ThreadPoolExecutor(8) as pool:
            order = [index for _ in range(3) for index in range(len(PIXELS))]
            found = list(pool.map(lambda index: there.infer({"images": PIXELS[index : index + 1]}), order))
            for index, answer in zip(order, found, strict=True):
                # the server joins them into batches, which sum in another order
                np.testing.assert_allclose(answer["boxes"], wanted[index]["boxes"], rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(answer["scores"], wanted[index]["scores"], rtol=1e-4, atol=1e-5)


def test_a_missing_client_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    monkeypatch.delitem(sys.modules, "facereg.networks.triton.over_grpc", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'facereg-core\[triton\]'"):
        open_network(RNET, runner="triton://127.0.0.1:1")
    with pytest.raises(UnreachableError):  # HTTP needs no extra
        open_network(RNET, runner="triton+http://127.0.0.1:1")


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
    pixels = crops(2, 112)
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
    def ask(model: str, pixels: Any, version: str = VERSION) -> Request:
        return Request(model, version, (("images", pixels),), ("scores",))

    for kind, text in zip((GrpcTransport, HttpTransport), both(served), strict=True):
        transport: Transport = kind(parse_address(text))
        with closing(transport):
            for request, cause in (
                (ask("nothing", PIXELS[:1]), "missing"),
                (ask("mtcnn-rnet", PIXELS[:1], "9"), "missing"),
                (ask("mtcnn-rnet", PIXELS[:1, :2]), "refused"),
                (ask("mtcnn-rnet", PIXELS[:1].astype(np.uint8)), "refused"),
            ):
                with pytest.raises(TransportError) as failed:
                    transport.infer(request, 10.0)
                assert failed.value.cause == cause
