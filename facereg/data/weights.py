"""Weights of models from the network into the cache folder: only when they are asked for, checked, resumed, whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from facereg.data.download import DownloadLimits
from facereg.data.fetch import ATTEMPTS, PAUSE_S, Source, fetch
from facereg.disk.homes import CACHE
from facereg.disk.replacing import file_sha256, locked, writing
from facereg.errors import DatasetError, WeightsError
from facereg.networks.spec import NetworkSpec
from facereg.networks.weights import by_hand, cached_file, find_weights
from facereg.registry.hooks import ModelSpec


@dataclass(frozen=True, slots=True)
class FetchedWeights:
    """The weights of one network, in place.

    Args:
        brought: they were not here; of these, `resumed` bytes had come before.
    """

    network: str
    path: Path
    size: int
    sha256: str
    brought: bool = False
    resumed: int = 0


def fetch_weights(
    model: ModelSpec,
    *,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    attempts: int = ATTEMPTS,
    pause_s: float = PAUSE_S,
) -> Iterator[FetchedWeights]:
    """Bring the weights of a model that are not here into the cache, and yield each network's when they are.

    Several processes may ask at once: one brings a file, the others wait for it.

    Args:
        model: as `Registry.model` gives it, with a tag for weights that have one.
        progress: called with the bytes of a file that are here, and those it has.
        attempts, pause_s: see `facereg.data.fetch.fetch`.
    Raises:
        WeightsError: if they are altered, come from no address, cannot be brought or written.
    """
    for spec in model.networks:
        found = find_weights(spec)
        if spec.addresses and (found is None or found.place == "cache"):
            yield _brought(spec, progress, attempts, pause_s)
        else:
            path = spec.locate()
            yield FetchedWeights(spec.name, path, path.stat().st_size, spec.sha256 or file_sha256(path))


def _brought(
    spec: NetworkSpec, progress: Callable[[int, int | None], None], attempts: int, pause_s: float
) -> FetchedWeights:
    path, sha256 = cached_file(spec), str(spec.sha256)
    if path is None:
        raise WeightsError(f"{spec.title}: no folder to bring its weights to; set {CACHE} to a folder")
    if path.is_file() and file_sha256(path) == sha256:
        return FetchedWeights(spec.name, path, path.stat().st_size, sha256)
    try:
        with writing(path, WeightsError, remedy=f"set {CACHE} to a folder that can"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.with_name(f".{path.name}.lock")):
                if path.is_file() and file_sha256(path) != sha256:
                    path.unlink()  # damaged since
                there = path.is_file()  # brought by whom we waited for
                fetched = fetch(
                    Source(spec.addresses, sha256),
                    path,
                    progress=lambda done, total: progress(done, total or spec.size),
                    attempts=attempts,
                    pause_s=pause_s,
                    limits=DownloadLimits(bytes=int(spec.size or 0)),
                )
    except DatasetError as error:
        raise WeightsError(f"{spec.title}: {error}; without a network, {by_hand(spec)}") from error
    return FetchedWeights(spec.name, path, fetched.size, sha256, not there, fetched.resumed)
