"""A network as a server has it: the version that holds the weights asked for, checked against the plugin's spec."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

from facereg.errors import ModelMismatchError
from facereg.names import shown
from facereg.networks.matching import Kind, dims_fit, rows_of_declared
from facereg.networks.spec import KNOWN_DIGITS, NetworkSpec, weights_version
from facereg.networks.triton.address import TritonAddress
from facereg.networks.triton.reaching import SHORTEST_S
from facereg.networks.triton.transport import DTYPES, Transport, TransportError, open_transport

OPENING_S, SHORTEST_OPENING_S = 5.0, 2.0  # for all questions about the server's model
Stated = tuple[tuple[str, str, tuple[int, ...]], ...]  # tensors by name, datatype and shape


@dataclass(frozen=True, slots=True)
class Served:
    """The server's model: its names are in the order of the spec's tensors."""

    version: str
    fingerprint: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    max_batch: int


def find_served(transport: Transport, spec: NetworkSpec, version: str, sha256: str | None) -> Served:
    """Return the server's model.

    Args:
        version: as `wanted_version` gave it; where it is empty, ours or the only one that the server has is taken.
        sha256: of the weights of this process, where they are known.
    Raises:
        TransportError: if the server does not answer, or has no such model or version.
        ModelMismatchError: if the model has other tensors, or several versions and none was asked for.
    """
    address = transport.address
    until = time.monotonic() + max(SHORTEST_OPENING_S, min(OPENING_S, address.timeout_s))
    own = "" if sha256 is None else str(weights_version(sha256))
    if not version:
        version = _only_version(address, spec, own, transport.model(spec.name, "", _left(until)).versions)
    stated = transport.model(spec.name, version, _left(until))
    inputs = _matched(address, spec, "inputs", stated.inputs)
    outputs = _matched(address, spec, "outputs", stated.outputs)
    largest = transport.largest_batch(spec.name, version, _left(until))
    if largest < 1:
        raise ModelMismatchError(
            f"{spec.name}: expected max_batch_size of at least 1 at {address.target}, got {largest}; "
            "write the repository with 'facereg triton build'"
        )
    # of weights that are not here, the version tells so much of the checksum
    fingerprint = sha256 if sha256 is not None and own == version else f"{int(version):0{KNOWN_DIGITS}x}"
    return Served(version, fingerprint, inputs, outputs, min(spec.max_batch, largest))


def served_versions(address: TritonAddress, network: str) -> tuple[int, ...]:
    """Return the versions of a network that a server holds, none where it does not say."""
    try:
        transport = open_transport(address)
        with closing(transport):
            stated = transport.model(network, "", OPENING_S).versions
    except TransportError:
        return ()
    return tuple(sorted(int(version) for version in stated if version.isascii() and version.isdecimal()))


def wanted_version(address: TritonAddress, sha256: str | None) -> str:
    """Return the version to open: the address's, else that of our weights, else '' for the server's only one."""
    if address.version:
        return address.version
    return "" if sha256 is None or address.weights == "any" else str(weights_version(sha256))


def _left(until: float) -> float:
    return max(SHORTEST_S, until - time.monotonic())


def _only_version(address: TritonAddress, spec: NetworkSpec, own: str, versions: tuple[str, ...]) -> str:
    """Return our weights' version if it is among them, else the only one."""
    if own in versions:
        return own
    numbers = [version for version in versions if version.isascii() and version.isdecimal()]
    if len(numbers) == len(versions) == 1 and int(numbers[0]) < 2**63:
        return numbers[0]
    got = ", ".join(shown(version)[:20] for version in versions[:20]) or "none"
    raise ModelMismatchError(
        f"{spec.name}: expected one version at {address.target}, for no local weights say which, got {got}; "
        "choose with ?version="
    )


def _matched(address: TritonAddress, spec: NetworkSpec, kind: Kind, found: Stated) -> tuple[str, ...]:
    """Return the server's names of the declared tensors."""
    declared = spec.inputs if kind == "inputs" else spec.outputs
    names = [name for name, _, _ in found]
    rows = rows_of_declared(spec, kind, names)
    if rows is None:
        raise ModelMismatchError(
            f"{spec.name}: expected the {kind} {[tensor.name for tensor in declared]}, got "
            f"{[shown(name)[:100] for name in dict.fromkeys(names)][:20]} from {address.target}; write the repository "
            "with 'facereg triton build'"
        )
    for tensor, (name, datatype, shape) in zip(declared, (found[row] for row in rows), strict=True):
        dims = [-1 if size is None else size for size in tensor.dims[1:]] or [1]
        if not dims_fit([-1, *dims], shape) or datatype != DTYPES[tensor.dtype]:
            raise ModelMismatchError(
                f"{spec.name}: {shown(name)[:100]}: expected {DTYPES[tensor.dtype]} {[-1, *dims]} (-1: any), got "
                f"{shown(datatype)[:20]} {list(shape[:20])} from {address.target}; write the repository with "
                "'facereg triton build'"
            )
    return tuple(names[row] for row in rows)
