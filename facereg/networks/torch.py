"""Torch in this process: for training and debugging. Inference needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facereg.disk.replacing import file_sha256
from facereg.errors import DeviceError, MissingExtraError, RunnerError
from facereg.networks.runner import Runner, Tensor
from facereg.networks.spec import NetworkSpec, import_object

try:
    import torch

    from facereg.networks.checkpoints import load_checkpoint
except ImportError as error:
    raise MissingExtraError(
        "runner 'torch' needs torch; pip install 'facereg-core[train]', or use runner='onnx'"
    ) from error


class TorchRunner(Runner):
    """Runs the torch module of a network with the tensors of its ONNX file.

    Args:
        spec: names the module.
        path: the ONNX file.
        device: `cpu` or `cuda`.
        sha256: of the ONNX file, where it is known already.
    Raises:
        RunnerError: if the network names no module.
        WeightsError: if its tensors are not those of the module.
        DeviceError: if the device is not there.
    """

    def __init__(self, spec: NetworkSpec, path: Path, *, device: str = "cpu", sha256: str | None = None) -> None:
        if spec.module is None:
            raise RunnerError(
                f"{spec.name}: its plugin names no torch module; use runner='onnx', or weights that can be trained"
            )
        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                "device 'cuda' was asked for, but torch sees no GPU; check the driver, or use device='cpu'"
            )
        super().__init__(spec, fingerprint=sha256 or file_sha256(path))
        module = import_object(spec.module)()
        load_checkpoint(module, path)
        self.device = torch.device(device)
        self.module = module.eval().to(self.device)

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # a copy where the array is read-only, as crops are: torch warns of such memory
        arrays = [np.require(inputs[t.name], requirements=["C", "W"]) for t in self.spec.inputs]
        arguments = [torch.from_numpy(array).to(self.device) for array in arrays]
        with torch.inference_mode():
            values = self.module(*arguments)
        outputs = values if isinstance(values, tuple) else (values,)
        return {t.name: value.cpu().numpy() for t, value in zip(self.spec.outputs, outputs, strict=True)}
