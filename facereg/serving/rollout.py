"""New weights beside old ones on a running server, and out again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facereg.disk.replacing import file_sha256
from facereg.errors import RunnerError
from facereg.networks.spec import NetworkSpec, weights_version
from facereg.networks.triton.address import parse_address
from facereg.registry.installed import Registry
from facereg.serving.repository import build_repository, by_full_name, networks_of
from facereg.serving.versions import check_retirable, retire, version_folders

LOOK_S = 0.5  # between two looks whether a server has taken up a version


@dataclass(frozen=True, slots=True)
class RolledOut:
    """A network whose new weights are there; `versions` are all that the repository holds of it."""

    network: str
    model: str
    version: int
    sha256: str
    versions: tuple[int, ...]


def roll_out(
    repository: str | Path,
    *,
    registry: Registry,
    models: Sequence[str],
    weights: Mapping[str, str | Path] | None = None,
    address: str | None = None,
    timeout_s: float = 120.0,
) -> Iterator[RolledOut]:
    """Put weights beside those in a repository, and yield each network when its new version is there.

    A server over the repository takes them up by itself; clients that opened the old weights notice nothing.

    Args:
        repository: of the running server.
        models, weights: as for `build_repository`.
        address: of a server, as a runner setting; each network is yielded when that server answers for its version.
        timeout_s: for a server to take up one network.
    Raises:
        RunnerError: if the repository cannot be written, the new weights have other tensors than the old, or the
            server does not take them up in time.
    """
    built = build_repository(repository, registry=registry, models=models, weights=weights, beside=True)
    specs = {spec.name: spec for _, spec in networks_of(registry, models)}
    for entry in built:
        if address is not None:
            _wait(specs[entry.network], weights_version(entry.sha256), address, timeout_s)
        held = tuple(version_folders(Path(repository) / entry.network))
        yield RolledOut(entry.network, entry.model, weights_version(entry.sha256), entry.sha256, held)


def roll_back(
    repository: str | Path,
    *,
    registry: Registry,
    models: Sequence[str],
    weights: Mapping[str, str | Path] | None = None,
) -> list[tuple[str, int]]:
    """Take the versions of these weights out of a repository; return what went, as networks and versions.

    Raises:
        RunnerError: if one is not there or is the only one of its network: then nothing goes.
    """
    weights, folder = by_full_name(registry, weights), Path(repository)
    going = [
        (spec.name, weights_version(file_sha256(spec.locate(weights.get(model.full_name)))))
        for model, spec in networks_of(registry, models)
    ]
    for network, number in going:
        check_retirable(folder, network, number)
    for network, number in going:
        retire(folder, network, number)
    return going


def _wait(spec: NetworkSpec, version: int, address: str, timeout_s: float) -> None:
    """Wait until a client that asks for the version gets it."""
    from facereg.networks.triton.runner import TritonRunner

    place = replace(parse_address(address), version=str(version))
    until = time.monotonic() + timeout_s
    while True:
        try:
            TritonRunner(spec, place).close()
        except RunnerError as error:  # while it loads, it says one thing or another
            if time.monotonic() > until:
                raise RunnerError(
                    f"{spec.name}: the new weights are in the repository, but the server did not take them up in "
                    f"{timeout_s:g} s: {error}; it must serve this repository, and its log says more"
                ) from error
        else:
            return
        time.sleep(LOOK_S)
