"""From a setting to a runner: `onnx` or `torch` in this process, `triton://HOST:PORT` on a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facereg.disk.replacing import file_sha256
from facereg.errors import RunnerError
from facereg.names import masked
from facereg.networks.runner import Networks, Runner
from facereg.networks.spec import NetworkSpec
from facereg.networks.triton.address import parse_address

LOCAL = ("onnx", "torch")  # in this process
MAX_THREADS = 1024  # ONNX Runtime starts any number, until the machine has no more


@dataclass(frozen=True, kw_only=True)  # no slots: a class of options may inherit it too, see `facereg.opener`
class Where:
    """Where the networks of a model run; the fields are the arguments of `open_network`."""

    runner: str = "onnx"
    device: str = "cpu"
    threads: int | None = None
    weights: str | Path | None = None

    def networks(self, specs: Sequence[NetworkSpec]) -> Networks:
        """Return the networks of a model, each opened there on first use.

        Raises:
            RunnerError: if the runner is an address that does not read.
        """

        def opened(spec: NetworkSpec) -> Runner:
            return open_network(
                spec, runner=self.runner, device=self.device, threads=self.threads, weights=self.weights
            )

        own = self.weights is None and all(spec.package for spec in specs)
        return Networks(specs, opened, own_weights=own, in_flight=calls_in_flight(self.runner))


HERE = Where()  # ONNX Runtime, on the processor


def open_network(
    spec: NetworkSpec,
    *,
    runner: str = "onnx",
    device: str = "cpu",
    threads: int | None = None,
    weights: str | Path | None = None,
) -> Runner:
    """Return a runner for one network.

    Args:
        runner: `onnx` (ONNX Runtime), `torch` (needs the [train] extra), or a Triton server (needs the [triton]
            extra): `triton://HOST:PORT` for gRPC, `tritons://` with TLS, `triton+http://` for HTTP, with options as
            `?timeout_s=5&weights=any`; see `facereg.networks.triton.address`.
        device: `cpu` or `cuda`; a server has its own.
        threads: of one call, 1 to MAX_THREADS; None takes every core; a server has its own.
        weights: folder whose files stand in for the plugin's own, or the one file; a server must hold the same.
    Raises:
        RunnerError: if no runner has that name or the network cannot be opened.
        DeviceError: if the device is not there.
        WeightsError: if the weights are missing or altered.
        MissingExtraError: if the runner needs an extra that is not installed.
    """
    require_runner(runner)
    if runner not in LOCAL:
        return _open_served(spec, runner, weights)
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise RunnerError(
            f"threads: expected 1 to {MAX_THREADS} a network call, got {threads}; leave it out for all cores"
        )
    if runner == "onnx":
        from facereg.networks.onnx import OnnxRunner

        path = spec.locate(weights, check=False)  # the runner hashes what it runs
        return OnnxRunner(spec, path, device=device, threads=threads, own=weights is None)
    from facereg.networks.torch import TorchRunner

    sha256 = spec.sha256 if weights is None else None  # locate reads the file and finds it so
    return TorchRunner(spec, spec.locate(weights), device=device, sha256=sha256)


def require_runner(runner: str) -> None:
    """Refuse a setting that names no runner; opens nothing.

    Raises:
        RunnerError: if it is neither `onnx` nor `torch` nor an address of a Triton server.
    """
    if "://" in runner:
        parse_address(runner)
    elif runner not in LOCAL:
        raise RunnerError(
            f"no runner named {masked(runner)!r}; expected one of: {', '.join(LOCAL)}, triton://HOST:PORT"
        )


def calls_in_flight(runner: str) -> int:
    """Return how many calls of a network to make at once: as a server's address says, 1 in this process.

    Raises:
        RunnerError: if the address is none.
    """
    return parse_address(runner).in_flight if "://" in runner else 1


def _open_served(spec: NetworkSpec, runner: str, weights: str | Path | None) -> Runner:
    """Return a runner on a server that holds the weights given, or the plugin's own where it names them."""
    address = parse_address(runner)  # first: a wrong address is the error, whether or not the extra is installed
    from facereg.networks.triton.runner import TritonRunner

    yours = spec.local is not None and spec.local.is_file()  # whose checksum need not be stated
    given = weights is not None or (spec.sha256 is None and yours)
    return TritonRunner(spec, address, sha256=file_sha256(spec.locate(weights)) if given else spec.sha256)
