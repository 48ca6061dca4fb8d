"""What a network takes and gives, stated without opening it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from facereg.disk.reading import kind_of
from facereg.disk.replacing import file_sha256
from facereg.errors import FaceregError, MissingExtraError, PluginError, WeightsError, words_of
from facereg.networks.weights import InstalledFile, own_weights, remedy

TRAINING = frozenset(
    {"torch", "torchvision", "lightning", "pytorch_metric_learning", "onnx", "onnxscript", "safetensors"}
)  # what the extra [train] brings
KNOWN_DIGITS = 15  # of a checksum: 60 bits, what a version tells of it; versions have 64 with a sign
DType = Literal["uint8", "float32", "int64"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named tensor; the first of `dims` is the batch, None is any size."""

    name: str
    dtype: DType
    dims: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.dims)
        return f"{self.name} {self.dtype} ({sizes})"


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """An ONNX file as far as it shows itself.

    Args:
        name: of the file, without its ending.
        inputs, outputs: its tensors, in order; sizes are None where the file leaves them open.
        scales_pixels: the first thing it does with its first input is to add, subtract, multiply or divide.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    scales_pixels: bool

    def __str__(self) -> str:
        return " to ".join("; ".join(map(str, tensors)) for tensors in (self.inputs, self.outputs))


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """One network of a plugin.

    Args:
        name: as a server knows it, like `mtcnn-pnet`.
        inputs, outputs: their tensors; dims include the batch.
        package: the package whose `weights/` folder holds the file; empty for weights that a user added.
        file: name of the ONNX file in that folder.
        sha256: of that file; None where no weights ship.
        max_batch: the largest batch one call may carry.
        module: `package.module:callable` that builds the torch module with the same tensors, for
            TorchRunner and for the check of an export; it is filled from the tensors of the ONNX file.
        tensors_by_position: files of many origins fit, whatever they name their tensors; the first is the first.
        bounded_calls: the plugin's calls are all of bounded size, whatever the pictures, though `dims` leave them open.
        installed: the file of another distribution that holds the weights, or that they are made of.
        addresses: where `facereg models fetch` brings the file from, tried in turn; opening brings nothing.
        size: bytes of the file; needed with addresses.
        local: the file itself, of weights that a user added.
        asked: the name that the plugin asks by, where it is another: of a network with a tag; the library's to fill in.
        model: `MODEL` or `MODEL:TAG` that the network belongs to, for messages; the library's to fill in.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    package: str
    file: str
    sha256: str | None = None
    max_batch: int = 64
    module: str | None = None
    tensors_by_position: bool = False
    bounded_calls: bool = False
    installed: InstalledFile | None = None
    addresses: tuple[str, ...] = ()
    size: int | None = None
    local: Path | None = None
    asked: str = ""
    model: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Return the name that the plugin asks by."""
        return self.asked or self.name

    @property
    def title(self) -> str:
        """Return what messages call it, its name or, where its weights have a tag, the model with it, and which."""
        if not self.asked:
            return self.name
        return self.model if self.model.partition(":")[0] == self.asked else f"{self.model}: {self.asked}"

    def tagged(self, tag: str) -> NetworkSpec:
        """Return the network as one with weights of a tag: a server, where a name has no colon, knows it by another."""
        return replace(self, name=f"{self.name}-{tag}", asked=self.name)

    @property
    def keeps_memory(self) -> bool:
        """Whether a runner may keep the memory that it worked in for the next call.

        ONNX Runtime's arena keeps the largest block of every size it ever saw: few where only the batch varies or sizes
        are bounded, and then calls spend no time on fresh pages; with pictures of all sizes, memory only grows.
        """
        return self.bounded_calls or all(size is not None for tensor in self.inputs for size in tensor.dims[1:])

    def locate(self, folder: str | Path | None = None, *, check: bool = True, made_in: Path | None = None) -> Path:
        """Return the ONNX file: in `folder`, or `folder` itself where it is a file, else the plugin's own.

        That is in the plugin, in another installed distribution, or in the cache; nothing is downloaded.

        Args:
            check: read the plugin's own and compare its checksum; not where `require_own` does so later.
            made_in: folder for a file that is made of another distribution's; by default the cache.
        Raises:
            WeightsError: if the file is missing, or is the plugin's own and its checksum differs.
        """
        if folder is not None:
            path = Path(folder) / self.file if Path(folder).is_dir() else Path(folder)
            if not path.is_file():
                raise WeightsError(
                    f"{self.title}: expected the weights file {path}, found {kind_of(path)}; check the path given"
                )
            return path
        path = own_weights(self, made_in=made_in).path
        if check and self.sha256 is not None:
            self.require_own(path, file_sha256(path))
        return path

    def require_own(self, path: Path, sha256: str) -> None:
        """Raise WeightsError unless a file with this checksum is the one that the plugin means, where it says so."""
        if self.sha256 is not None and sha256 != self.sha256:
            raise WeightsError(
                f"{path}: wrong checksum, expected sha256 {self.sha256[:12]}..., got {sha256[:12]}...; "
                f"{remedy(self, path)}"
            )


def weights_version(sha256: str) -> int:
    """Return the number under which a model server holds the network with these weights.

    Other weights are another version, so a request that names the version can never be answered by other weights.

    Args:
        sha256: of the ONNX file, 64 lower-case hex digits; the first 60 bits are the number, for servers keep 64 with a
            sign.
    Raises:
        WeightsError: if that is no sha256.
    """
    if re.fullmatch("[0-9a-f]{64}", sha256) is None:
        raise WeightsError(f"expected a sha256 as 64 hex digits, got {sha256[:80]!r}")
    return int(sha256[:KNOWN_DIGITS], 16)


def import_object(reference: str) -> Any:
    """Return what `package.module:name` names.

    Raises:
        MissingExtraError: if it needs a package that is not installed.
        PluginError: if it cannot be imported.
    """
    module, _, name = reference.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in TRAINING:
            raise MissingExtraError(f"{reference} needs {error.name}; pip install 'facereg-core[train]'") from error
        raise PluginError(f"{reference}: cannot be imported ({error}); reinstall its plugin") from error
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{reference}: cannot be imported ({error}); reinstall its plugin") from error
    except FaceregError:
        raise
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        text = f"{type(error).__name__}: {words_of(error)}"
        raise PluginError(f"{reference}: cannot be imported ({text}); mend or reinstall its plugin") from error
