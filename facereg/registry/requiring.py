"""What the fields of a spec must be: each fault in one line that names the spec and the field."""

from __future__ import annotations

import re
from collections.abc import Mapping

from facereg.disk.paths import relative_parts
from facereg.errors import ContractError, PluginError
from facereg.networks.spec import NetworkSpec
from facereg.networks.weights import InstalledFile

NAME = re.compile(r"[a-z0-9]+([-._][a-z0-9]+)*")
REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # packaging.python.org, names
WEB = re.compile(r"https?://[!-~]+")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def require_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or len(name) > 80 or not NAME.fullmatch(name):
        raise PluginError(
            f"{kind}: name: expected small letters and digits, with single hyphens, dots or underscores between, "
            f"got {name!r:.120}"
        )


def require_reference(place: str, reference: object) -> None:
    if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
        raise PluginError(f"{place}: expected 'package.module:name', got {reference!r}")


def require_line(place: str, text: object) -> None:
    if not isinstance(text, str) or not text.isprintable():
        raise PluginError(f"{place}: expected one line of text, got {text!r:.120}")


def require_network_specs(model: str, networks: object) -> None:
    if not isinstance(networks, tuple) or not all(isinstance(network, NetworkSpec) for network in networks):
        raise PluginError(f"{model}: networks: expected a tuple of NetworkSpec, got {networks!r}")
    for network in networks:
        require_name("NetworkSpec", network.name)
        if not FILE.fullmatch(network.file):
            raise PluginError(f"{network.name}: file: expected the name of a file in weights/, got {network.file!r}")
        if network.sha256 is not None:
            _require_sha256(network.name, network.sha256)
        if network.installed is not None:
            _require_installed(network, network.installed)
        _require_addresses(network)
    if len({network.name for network in networks}) != len(networks):
        raise PluginError(f"{model}: networks: a name comes twice; give each its own")


def _require_sha256(place: str, sha256: object) -> None:
    if not re.fullmatch("[0-9a-f]{64}", str(sha256)):
        raise PluginError(f"{place}: sha256: expected 64 small hex digits, got {sha256!r:.120}")


def _require_installed(network: NetworkSpec, file: InstalledFile) -> None:
    place = f"{network.name}: installed"
    if not isinstance(file, InstalledFile):
        raise PluginError(f"{place}: expected an InstalledFile, got {file!r}")
    for name in ("distribution", "path"):
        require_line(f"{place}: {name}", getattr(file, name))
    try:
        relative_parts(file.path)
    except ContractError as error:
        raise PluginError(f"{place}: path: {error}") from error
    if not DISTRIBUTION.fullmatch(file.distribution):
        raise PluginError(f"{place}: expected the name of a distribution, got {file.distribution!r}")
    _require_sha256(place, file.sha256)
    if file.convert:
        require_reference(f"{place}: convert", file.convert)
    if network.sha256 is None or (file.sha256 != network.sha256 and not file.convert):
        raise PluginError(f"{network.name}: sha256: expected that of the ONNX file, got {network.sha256!r:.120}")


def _require_addresses(network: NetworkSpec) -> None:
    place, addresses, size = network.name, network.addresses, network.size
    if not isinstance(addresses, tuple) or not all(isinstance(one, str) and WEB.fullmatch(one) for one in addresses):
        raise PluginError(f"{place}: addresses: expected a tuple of https:// addresses, got {addresses!r:.200}")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise PluginError(f"{place}: size: expected the bytes of the file, got {size!r:.80}")
    if addresses and (network.sha256 is None or size is None):
        raise PluginError(f"{place}: addresses: expected the sha256 and the size of what they give beside them")


def require_same_network(model: str, tag: str, network: NetworkSpec, other: NetworkSpec) -> None:
    """Refuse weights of another network than the model's own."""
    if (network.inputs, network.outputs) != (other.inputs, other.outputs):
        raise PluginError(
            f"{model}:{tag}: {network.name}: expected the tensors of the model's own network, got others; "
            "make it a model of its own"
        )


def require_thresholds(model: str, thresholds: object) -> None:
    if not isinstance(thresholds, Mapping):
        raise PluginError(f"{model}: thresholds: expected cosines by false accept rate, got {thresholds!r}")
    for far, cosine in thresholds.items():
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (far, cosine))
        if not (numbers and 0 < far <= 1 and -1 <= cosine <= 1):
            raise PluginError(
                f"{model}: thresholds: expected cosines in -1..1 by false accept rates in 0..1, got {far!r}: {cosine!r}"
            )


def require_square(model: str, square: object) -> None:
    """Raise PluginError unless it is None or two numbers, of a factor and a shift."""
    good = isinstance(square, tuple) and len(square) == 2 and all(isinstance(value, (int, float)) for value in square)
    if square is not None and not (good and 0.1 <= square[0] <= 10 and -1 <= square[1] <= 1):  # type: ignore[index]
        raise PluginError(f"{model}: square: expected a factor 0.1 to 10 and a shift -1 to 1, got {square!r}")
