"""Checkpoints of torch: read as numbers, never as code, and refused where a number is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import onnx
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from facereg.errors import WeightsError, words_of


@runtime_checkable
class HasMetadata(Protocol):
    """A module that is more than its tensors: its checkpoint says the rest, in the metadata of the file."""

    def checkpoint_metadata(self) -> dict[str, str]:
        """Return what the checkpoint is to say."""

    def read_checkpoint_metadata(self, metadata: Mapping[str, str]) -> None:
        """Become what the checkpoint says; it says nothing where the mapping is empty."""


def read_checkpoint(path: Path, *, expected: str) -> dict[str, Any]:
    """Return what a file of torch's holds: tensors and plain values, on the CPU.

    Anything else in it, a class or a function, is refused and does not run; what Lightning keeps of a run (states of
    the network, optimizers, schedules, loops) needs none.

    Raises:
        WeightsError: if the file is missing, damaged, holds something else, or weights that are NaN or infinite.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: expected {expected}, found none; check the path")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's, pickle's and zipfile's, of damaged and of hostile files
        raise WeightsError(
            f"{path}: expected {expected}, tensors alone, got another file ({words_of(error, 160)})"
        ) from error
    if not isinstance(held, dict):
        raise WeightsError(f"{path}: expected {expected}, got a {type(held).__name__}")
    require_finite(held.get("state_dict", held), path)
    return held


def read_safetensors(path: Path, *, expected: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a `.safetensors` file.

    Raises:
        WeightsError: if the file is missing or damaged, or holds a number that is NaN or infinite.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: expected {expected}, found none; train the model, or check the path")
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, OverflowError) as error:
        raise WeightsError(f"{path}: expected {expected}, got another file ({words_of(error, 160)})") from error
    require_finite(state, path)
    return state


def require_finite(state: object, path: Path) -> None:
    """Refuse a state whose tensors hold NaN or infinity.

    Raises:
        WeightsError: naming the first such tensor.
    """
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path}: expected tensors by name, got a {type(state).__name__}")
    for name, value in state.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not torch.isfinite(value).all():
            raise WeightsError(f"{path}: {name!a}: expected finite weights, got NaN or infinity; copy the file again")


def read_tensors(path: Path, *, expected: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a `.safetensors` file, or of an ONNX file: its initializers, by their names.

    Raises:
        WeightsError: if the file is missing or damaged, keeps tensors in others, or holds a number that is NaN or
            infinite.
    """
    if path.suffix != ".onnx":
        return read_safetensors(path, expected=expected)
    state = {}
    for one in _read_onnx(path, expected=expected).graph.initializer:
        try:
            if one.data_location == one.EXTERNAL:
                raise ValueError(f"{one.name} lies in another file")
            state[one.name] = torch.from_numpy(onnx.numpy_helper.to_array(one).copy())
        except Exception as error:  # onnx's, numpy's and torch's, of damaged files
            raise WeightsError(f"{path}: expected {expected}, got another file ({words_of(error, 160)})") from error
    require_finite(state, path)
    return state


def load_checkpoint(module: nn.Module, path: Path) -> None:
    """Fill a module from a `.safetensors` file, or from an ONNX file that `facereg.training.export_onnx` wrote.

    The module is told the file's metadata where it has some (`HasMetadata`).

    Raises:
        WeightsError: if the file is missing or damaged, or holds other tensors or numbers that are none.
    """
    state = read_tensors(path, expected="a checkpoint there")
    try:
        # an ONNX file holds the graph's own tensors, too; which are the module's it knows, whose size may be the file's
        missing = module.load_state_dict(state, strict=path.suffix != ".onnx").missing_keys
        if missing:
            raise WeightsError(
                f"{path}: expected the weights of {type(module).__name__} by their names, got an ONNX file without "
                f"{missing[0]}; it is of another network, or of another exporter, which folds and renames them"
            )
        if isinstance(module, HasMetadata):
            module.read_checkpoint_metadata(_metadata(path))
    except (RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{path}: expected the weights of {type(module).__name__}, got other tensors") from error


def _metadata(path: Path) -> dict[str, str]:
    if path.suffix == ".onnx":
        held = _read_onnx(path, expected="a checkpoint there")
        return {entry.key: entry.value for entry in held.metadata_props}
    with safe_open(path, "pt") as stream:
        return stream.metadata() or {}


def _read_onnx(path: Path, *, expected: str) -> onnx.ModelProto:
    if not path.is_file():
        raise WeightsError(f"{path}: expected {expected}, found none; train the model, or check the path")
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's, of damaged files
        raise WeightsError(f"{path}: expected {expected}, got another file ({words_of(error, 160)})") from error
