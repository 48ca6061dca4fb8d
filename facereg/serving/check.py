"""Whether a server gives what this process gives: every network, on a real picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from facereg.disk.replacing import file_sha256
from facereg.errors import FaceregError, WeightsError
from facereg.networks.opening import open_network
from facereg.networks.runner import Tensor
from facereg.networks.spec import NetworkSpec, TensorSpec, weights_version
from facereg.networks.triton.address import TritonAddress, parse_address
from facereg.networks.triton.runner import TritonRunner
from facereg.networks.triton.served import served_versions
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import Registry
from facereg.serving.repository import by_full_name, chosen_models, served_network
from facereg.types import Image

TOLERANCE = 1e-3  # of the largest value: a GPU adds up in another order, and ONNX Runtime lets it use TF32
ANY_SIDE = 320  # px of an axis of any size
ROWS = 3


@dataclass(frozen=True, slots=True)
class NetworkCheck:
    """What came of one network.

    Args:
        difference: the largest between the outputs here and there, as a share of the largest value.
        reason: why it failed or was skipped.
        version: of the weights here, which the server was asked for.
        versions: that the server holds; none where it does not say.
    """

    network: str
    model: str
    state: Literal["passed", "failed", "skipped"]
    difference: float | None = None
    reason: str = ""
    version: int | None = None
    versions: tuple[int, ...] = ()


def check_server(
    address: str,
    picture: Image,
    *,
    registry: Registry,
    models: Sequence[str] | None = None,
    weights: Mapping[str, str | Path] | None = None,
    tolerance: float = TOLERANCE,
) -> Iterator[NetworkCheck]:
    """Run every network here and on the server, on the same picture, and yield how far apart they are.

    Args:
        address: of the server, as a runner setting.
        picture: best one with a face.
        registry, models, weights: as for `build_repository`; networks without weights are skipped.
    Raises:
        UnknownNameError: if no such model is installed.
        RunnerError: if the address is none.
    """
    weights, place = by_full_name(registry, weights), parse_address(address)
    seen: set[str] = set()
    for model in chosen_models(registry, models):
        for spec in model.networks:
            if spec.name not in seen:
                seen.add(spec.name)
                yield _check(place, picture, model, spec, weights.get(model.full_name), tolerance)


def _check(
    address: TritonAddress,
    picture: Image,
    model: ModelSpec,
    spec: NetworkSpec,
    weights: str | Path | None,
    tolerance: float,
) -> NetworkCheck:
    try:
        path = spec.locate(weights)
    except WeightsError as error:
        return NetworkCheck(spec.name, model.full_name, "skipped", reason=str(error).removeprefix(f"{spec.title}: "))
    sha256 = file_sha256(path)
    version, versions = weights_version(sha256), served_versions(address, spec.name)
    try:
        inputs = inputs_from_picture(sized(spec, path), picture)
        with open_network(spec, weights=weights) as here, TritonRunner(spec, address, sha256=sha256) as there:
            mine, theirs = here.infer(inputs), there.infer(inputs)
    except FaceregError as error:
        reason = str(error).removeprefix(f"{spec.name}: ").removeprefix(f"{spec.title}: ")
        return NetworkCheck(spec.name, model.full_name, "failed", None, reason, version, versions)
    difference = max(_difference(mine[name], theirs[name]) for name in mine)
    if difference <= tolerance:
        return NetworkCheck(spec.name, model.full_name, "passed", difference, "", version, versions)
    wrong = f"expected a difference of at most {tolerance:g}, got {difference:.3g}; see the server's precision"
    return NetworkCheck(spec.name, model.full_name, "failed", difference, wrong, version, versions)


def sized(spec: NetworkSpec, path: Path) -> NetworkSpec:
    """Return the network with the sizes of its file, which may leave fewer open than a spec that many files fit.

    Raises:
        RunnerError: if the file is no network, or not that of the spec.
    """
    pairs = zip(spec.inputs, served_network(spec, path).inputs, strict=True)
    return replace(spec, inputs=tuple(replace(own, dims=held.dims) for own, held in pairs))


def inputs_from_picture(spec: NetworkSpec, picture: Image) -> dict[str, Tensor]:
    """Return inputs that a network may see: cuts of the picture where they are pictures, noise where not."""
    rows = min(ROWS, spec.max_batch)
    return {tensor.name: np.stack([_row(tensor, picture, row) for row in range(rows)]) for tensor in spec.inputs}


def _row(tensor: TensorSpec, picture: Image, row: int) -> Tensor:
    sizes = [ANY_SIDE if size is None else size for size in tensor.dims[1:]]
    if len(sizes) == 3 and sizes[2] in (3, 4):
        pixels = _cut(picture, sizes[0], sizes[1], sizes[2], row)
    elif len(sizes) == 3 and sizes[0] in (3, 4):
        pixels = _cut(picture, sizes[1], sizes[2], sizes[0], row).transpose(2, 0, 1)
    else:
        pixels = np.random.default_rng(row).integers(0, 256, sizes, dtype=np.uint8)
    return np.ascontiguousarray(pixels, tensor.dtype)


def _cut(picture: Image, height: int, width: int, channels: int, row: int) -> Image:
    """Return the picture, its upper half and so on, at a size; a fourth channel is 0: no pixel is outside."""
    part = picture[: max(1, picture.shape[0] // (row + 1))]
    resized = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    cut: Image = np.dstack([resized, np.zeros((height, width, channels - 3), np.uint8)]).astype(np.uint8)
    return cut


def _difference(mine: Tensor, theirs: Tensor) -> float:
    if mine.shape != theirs.shape or not np.isfinite(theirs).all():
        return float("inf")
    largest = max(float(np.abs(mine).max(initial=0.0)), 1e-12)
    return float(np.abs(mine.astype(np.float64) - theirs).max(initial=0.0)) / largest
