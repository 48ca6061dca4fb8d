"""Where the file of a network is: in its plugin, in another installed distribution, or in the user's cache.

Looking for it brings nothing from the network: that is `facereg models fetch`, which puts it into the cache.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from facereg.disk.homes import CACHE, cache_folder
from facereg.disk.reading import kind_of, read_bytes
from facereg.disk.replacing import write_file
from facereg.errors import FaceregError, PluginError, WeightsError

if TYPE_CHECKING:
    from facereg.networks.spec import NetworkSpec

MOST = 4 << 30  # bytes of a file to convert; what converts it holds it in memory


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """A file that another installed distribution brings; it is found by that one's metadata, and nothing is imported.

    Args:
        distribution: as pip names it, like `face-recognition-models`.
        path: of the file in it, as its RECORD has it.
        sha256: of that file.
        convert: `package.module:callable` that makes the ONNX file of it, bytes of bytes, always the same: the result
            has the checksum of its NetworkSpec, and is kept in the cache. Empty where it is the ONNX file already.
    """

    distribution: str
    path: str
    sha256: str
    convert: str = ""

    def find(self) -> Path | None:
        """Return the file, or None where the distribution is not installed or has none there."""
        path = self._place()
        return path if path is not None and path.is_file() else None

    def require(self, needed_by: str) -> Path:
        """Return the file.

        Args:
            needed_by: what begins the message, as the name of a network.
        Raises:
            WeightsError: saying whether the distribution is missing, or its file, and how to get it.
        """
        path, name = self._place(), self.distribution
        if path is None:
            raise WeightsError(
                f"{needed_by}: its weights come with the distribution {name} ({self.path}), which is not installed; "
                f"pip install {name}"
            )
        if not path.is_file():  # pip finds nothing to do then
            raise WeightsError(
                f"{needed_by}: its weights come with the distribution {name}, which is installed: expected {path}, "
                f"found {kind_of(path)}; pip install --force-reinstall --no-deps {name}"
            )
        return path

    def _place(self) -> Path | None:
        """Return where the file would be; None where the distribution is not installed."""
        try:
            return Path(str(metadata.distribution(self.distribution).locate_file(self.path)))
        except metadata.PackageNotFoundError:
            return None


@dataclass(frozen=True, slots=True)
class FoundWeights:
    """A file of weights, and where it was found: a user's, with the plugin, in another distribution, in the cache."""

    path: Path
    place: Literal["yours", "plugin", "distribution", "cache"]


def find_weights(spec: NetworkSpec) -> FoundWeights | None:
    """Return where a network's own ONNX file is, None where it is nowhere; nothing is read, made or brought."""
    if spec.local is not None and spec.local.is_file():
        return FoundWeights(spec.local, "yours")
    if (shipped := file_with_plugin(spec)) is not None and shipped.is_file():
        return FoundWeights(shipped, "plugin")
    if spec.installed is not None and not spec.installed.convert and (path := spec.installed.find()) is not None:
        return FoundWeights(path, "distribution")
    cached = cached_file(spec)
    if cached is not None and os.path.isfile(cached):  # which a folder of somebody else's says no to
        return FoundWeights(cached, "cache")
    return None


def file_with_plugin(spec: NetworkSpec) -> Path | None:
    """Return where a plugin has, or would have, a network's file; None where there is no such plugin."""
    try:
        return Path(str(resources.files(spec.package))) / "weights" / spec.file if spec.package else None
    except ImportError:
        return None


def cached_file(spec: NetworkSpec) -> Path | None:
    """Return where the cache has, or would have, a network's file; None where it has no checksum, or no cache is."""
    if spec.sha256 is None:
        return None
    try:
        return cache_folder() / "weights" / f"{spec.name}-{spec.sha256[:12]}.onnx"
    except FaceregError:  # a user without a home
        return None


def own_weights(spec: NetworkSpec, *, made_in: Path | None = None) -> FoundWeights:
    """Return where a network's own ONNX file is; one that is made of another file is made here, once.

    Args:
        made_in: folder for what is made; by default the user's cache.
    Raises:
        WeightsError: if it is nowhere, in one line with what to do, or what it is made of was altered.
    """
    found = find_weights(spec)
    if found is not None:
        return found
    if spec.installed is None:
        raise WeightsError(f"{spec.title}: {_missing(spec)}")
    source = spec.installed.require(spec.title)
    target = cached_file(spec) if made_in is None else made_in / f"{spec.name}.onnx"
    if target is None:
        raise WeightsError(f"{spec.title}: no folder to keep what is made of {source}; set {CACHE} to a folder")
    return FoundWeights(_converted(spec, spec.installed, source, target), "cache")


def remedy(spec: NetworkSpec, path: Path) -> str:
    """Return what to do about a file of a network that is not what it should be."""
    if path == spec.local:
        return "correct sha256 where you added it, or copy the file again"
    if path == cached_file(spec):
        return f"bring it again with 'facereg models fetch {spec.model}'" if spec.addresses else "remove it"
    if spec.installed is not None and path == spec.installed.find():
        return f"reinstall {spec.installed.distribution}"
    return f"reinstall {spec.package}"


def _missing(spec: NetworkSpec) -> str:
    if spec.addresses:
        return f"its weights are not here; run 'facereg models fetch {spec.model}', or {by_hand(spec)}"
    if spec.local is not None:
        return (
            f"expected the weights file {spec.local}, found {kind_of(spec.local)}; correct its place where you added it"
        )
    return (
        f"no weights ship with {spec.package} ({file_with_plugin(spec) or 'the package'} is missing); "
        f"train or export them and pass their folder: weights= in Python, --weights on the command line"
    )


def by_hand(spec: NetworkSpec) -> str:
    """Return how to do without a network: what file to put where."""
    place = cached_file(spec) or f"a folder that {CACHE} names"
    return f"put {spec.addresses[0]} ({spec.size:,} bytes, sha256 {spec.sha256}) at {place}"


def _converted(spec: NetworkSpec, installed: InstalledFile, source: Path, target: Path) -> Path:
    """Make the ONNX file of a network of another distribution's file at `target`, and return that."""
    from facereg.networks.spec import import_object

    content = read_bytes(source, expected=f"the weights of {spec.title}", limit=MOST, error=WeightsError)
    _require_sha256(content, installed.sha256, f"{source}: ", f"reinstall {installed.distribution}")
    made = import_object(installed.convert)(content)
    if not isinstance(made, bytes):
        raise PluginError(f"{spec.title}: expected {installed.convert} to give bytes, got {type(made).__name__}")
    _require_sha256(made, str(spec.sha256), f"{spec.title}: {installed.convert}: ", f"reinstall {spec.package}")
    write_file(target, made, WeightsError, remedy=f"set {CACHE} to a folder that can")
    return target


def _require_sha256(content: bytes, expected: str, place: str, remedy: str) -> None:
    got = hashlib.sha256(content).hexdigest()
    if got != expected:
        raise WeightsError(f"{place}wrong checksum, expected sha256 {expected[:12]}..., got {got[:12]}...; {remedy}")
