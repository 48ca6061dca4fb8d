"""From a setting to a runner: `onnx` or `torch` in this process."""

from __future__ import annotations

from pathlib import Path

from facereg.errors import RunnerError
from facereg.runners.base import Runner
from facereg.runners.spec import NetworkSpec


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
        runner: `onnx` (ONNX Runtime) or `torch` (needs the [train] extra).
        device: `cpu` or `cuda`.
        threads: of one call; None takes every core.
        weights: folder whose files stand in for the plugin's own, or the one file.
    Raises:
        RunnerError: if no runner has that name or the network cannot be opened.
        DeviceError: if the device is not there.
        WeightsError: if the weights are missing or altered.
    """
    path = spec.locate(weights)
    if runner == "onnx":
        from facereg.runners.onnx import OnnxRunner

        return OnnxRunner(spec, path, device=device, threads=threads)
    if runner == "torch":
        from facereg.runners.torch import TorchRunner

        return TorchRunner(spec, path, device=device)
    raise RunnerError(f"no runner named {runner!r}; expected one of: onnx, torch")
