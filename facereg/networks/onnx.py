"""ONNX Runtime in this process: the default."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnxruntime

from facereg.errors import BrokenNetworkError, DeviceError, RunnerError, words_of
from facereg.networks.matching import Kind, rows_of_declared
from facereg.networks.runner import Runner, Tensor
from facereg.networks.spec import NetworkSpec

EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
LOOP = b"\x22\x04Loop"  # op_type (field 4, a text of 4 bytes) of a node, as onnx.proto has it
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRunner(Runner):
    """Runs one ONNX file with ONNX Runtime; `Session.run` is safe between threads.

    Args:
        spec: what the network takes and gives.
        path: the ONNX file.
        device: `cpu` or `cuda`.
        threads: of one call; None lets ONNX Runtime take every core.
        own: the file is the plugin's own, and must be the one that its checksum names.
    Raises:
        DeviceError: if the device is not there.
        BrokenNetworkError: if the file is no ONNX network or its tensors are not those of the spec.
    """

    def __init__(
        self, spec: NetworkSpec, path: Path, *, device: str = "cpu", threads: int | None = None, own: bool = False
    ) -> None:
        content = path.read_bytes()  # read once: what is hashed is what runs
        super().__init__(spec, fingerprint=hashlib.sha256(content).hexdigest())
        if own:
            spec.require_own(path, self.fingerprint)
        options = onnxruntime.SessionOptions()
        options.enable_cpu_mem_arena = spec.keeps_memory
        options.enable_mem_pattern = False
        if threads is not None:
            options.intra_op_num_threads = threads
        provider = _provider(device)
        self._session: onnxruntime.InferenceSession | None = open_session(content, path, options, provider)
        if self._session.get_providers()[0] != provider:
            raise DeviceError(
                f"{device}: ONNX Runtime could not start {provider}; check the driver, or use device='cpu'"
            )
        self._input_names, self._output_names = self._tensors(path, self._session)
        if self._session.get_inputs()[0].shape[:1] == [1]:  # as many published files have it
            self.spec = replace(spec, max_batch=1)

    def _tensors(self, path: Path, session: onnxruntime.InferenceSession) -> tuple[list[str], list[str]]:
        """Return the file's names for the spec's inputs and outputs."""
        names = []
        kind: Kind
        for kind, declared, found in (
            ("inputs", self.spec.inputs, session.get_inputs()),
            ("outputs", self.spec.outputs, session.get_outputs()),
        ):
            got = [tensor.name for tensor in found]
            rows = rows_of_declared(self.spec, kind, got)
            if rows is None:
                want = sorted(tensor.name for tensor in declared)
                raise BrokenNetworkError(
                    f"{path}: expected the {kind} {want}, got {sorted(got)}; is it the right file?"
                )
            names.append([got[row] for row in rows])
        return names[0], names[1]

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        session = self._session
        if session is None:
            raise RunnerError(f"{self.spec.title}: this runner is closed; open the model again")
        try:
            values = session.run(
                self._output_names,
                {name: inputs[t.name] for name, t in zip(self._input_names, self.spec.inputs, strict=True)},
            )
        except Exception as error:  # onnxruntime's errors share no base class
            raise RunnerError(f"{self.spec.title}: ONNX Runtime failed: {words_of(error, 300)}") from error
        return {t.name: value for t, value in zip(self.spec.outputs, values, strict=True)}

    def close(self) -> None:
        self._session = None


def open_session(
    content: bytes, path: Path, options: onnxruntime.SessionOptions, provider: str = PROVIDERS["cpu"]
) -> onnxruntime.InferenceSession:
    """Return the session of one ONNX file's bytes; nothing beside the file is read.

    Raises:
        BrokenNetworkError: if they are no ONNX network, or one with a loop.
    """
    if LOOP in content:
        raise BrokenNetworkError(
            f"{path}: expected a network that runs straight through, got one with a Loop, which may never end; export "
            "it without, as with the suppression of boxes left to facereg"
        )
    options.log_severity_level = 3  # errors only: they come back as exceptions
    # tensors kept in other files are not in the fingerprint, and could be anybody's: below a file there are none
    options.add_session_config_entry(EXTERNAL_FOLDER, os.path.abspath(path))
    try:
        return onnxruntime.InferenceSession(content, options, providers=[provider])
    except Exception as error:  # onnxruntime's errors share no base class
        raise BrokenNetworkError(
            f"{path}: not a network that ONNX Runtime {onnxruntime.__version__} can open: {words_of(error, 300)}; "
            f"copy it again, export it again with its weights in the one file, or pass other weights"
        ) from error


def _provider(device: str) -> str:
    if device not in PROVIDERS:
        raise DeviceError(f"no device named {device!r}; expected one of: {', '.join(PROVIDERS)}")
    provider = PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise DeviceError(
            f"device {device!r} was asked for, but this ONNX Runtime has only "
            f"{', '.join(onnxruntime.get_available_providers())}; install onnxruntime-gpu, or use device='cpu'"
        )
    return provider
