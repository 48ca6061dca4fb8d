"""Face recognition whose every model is a plugin and every network runs here or on a server.

```python
from facereg import Pipeline, read_image

with Pipeline.create() as pipeline:
    [result] = pipeline.run([read_image("photo.jpg")])
```

Names are imported on first use, so that `import facereg` is quick.

Nothing leaves the machine: whoever imports any part of facereg before ONNX Runtime has the usage reports of that
library turned off, for this process and those that it starts.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
CONTRACT = 1  # between the library and its plugins: a plugin states the one it was written for

# ONNX Runtime from 1.29 on reports its use to its maker, and keeps a device id in the user's cache folder, unless this
# is set before it is imported; it takes an empty value, 0 and off for no, so what is set already does not count.
if "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
    warnings.warn(
        "onnxruntime was imported before facereg and may report its use to its maker; "
        "import facereg first, or set ORT_DISABLE_TELEMETRY=1 in the environment",
        RuntimeWarning,
        stacklevel=2,
    )
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from facereg.builtin.alignment import FivePointAligner as FivePointAligner
    from facereg.builtin.embedding import EmbedderOpening as EmbedderOpening
    from facereg.builtin.embedding import NetworkEmbedder as NetworkEmbedder
    from facereg.builtin.exact import ExactMatcher as ExactMatcher
    from facereg.builtin.indexed import IndexedMatcher as IndexedMatcher
    from facereg.builtin.indexed import RowIndex as RowIndex
    from facereg.builtin.landmarks import LandmarkAligner as LandmarkAligner
    from facereg.builtin.landmarks import crops_of_boxes as crops_of_boxes
    from facereg.builtin.layouts import LAYOUTS as LAYOUTS
    from facereg.builtin.layouts import Edge as Edge
    from facereg.builtin.layouts import Layout as Layout
    from facereg.builtin.layouts import layout as layout
    from facereg.builtin.layouts import layout_with as layout_with
    from facereg.cli.options import Json as Json
    from facereg.cli.options import print_json as print_json
    from facereg.errors import BrokenNetworkError as BrokenNetworkError
    from facereg.errors import ClosedError as ClosedError
    from facereg.errors import ContractError as ContractError
    from facereg.errors import DatasetError as DatasetError
    from facereg.errors import DeadlineError as DeadlineError
    from facereg.errors import DeadModelError as DeadModelError
    from facereg.errors import DeviceError as DeviceError
    from facereg.errors import FaceregError as FaceregError
    from facereg.errors import GalleryError as GalleryError
    from facereg.errors import GalleryUnreachableError as GalleryUnreachableError
    from facereg.errors import ImageError as ImageError
    from facereg.errors import InputRefusedError as InputRefusedError
    from facereg.errors import MissingExtraError as MissingExtraError
    from facereg.errors import ModelMismatchError as ModelMismatchError
    from facereg.errors import ModelMissingError as ModelMissingError
    from facereg.errors import ModelNotReadyError as ModelNotReadyError
    from facereg.errors import OptionError as OptionError
    from facereg.errors import PluginError as PluginError
    from facereg.errors import RunnerError as RunnerError
    from facereg.errors import ServerFaultError as ServerFaultError
    from facereg.errors import SpaceMismatchError as SpaceMismatchError
    from facereg.errors import UnknownNameError as UnknownNameError
    from facereg.errors import UnreachableError as UnreachableError
    from facereg.errors import WeightsError as WeightsError
    from facereg.folders.walking import find_images as find_images
    from facereg.gallery import Gallery as Gallery
    from facereg.geometry import MIRRORED as MIRRORED
    from facereg.geometry import Resized as Resized
    from facereg.geometry import box_areas as box_areas
    from facereg.geometry import box_overlap as box_overlap
    from facereg.geometry import grey_levels as grey_levels
    from facereg.geometry import non_maximum_suppression as non_maximum_suppression
    from facereg.geometry import resize as resize
    from facereg.geometry import similarity_from_points as similarity_from_points
    from facereg.geometry import template as template
    from facereg.geometry import transform_points as transform_points
    from facereg.geometry import warp as warp
    from facereg.images import Picture as Picture
    from facereg.images import image_size as image_size
    from facereg.images import load_images as load_images
    from facereg.images import read_image as read_image
    from facereg.images import read_picture as read_picture
    from facereg.images import write_image as write_image
    from facereg.names import Address as Address
    from facereg.networks.opening import Where as Where
    from facereg.networks.opening import open_network as open_network
    from facereg.networks.runner import Networks as Networks
    from facereg.networks.runner import Runner as Runner
    from facereg.networks.runner import Tensor as Tensor
    from facereg.networks.spec import NetworkSpec as NetworkSpec
    from facereg.networks.spec import PublishedFile as PublishedFile
    from facereg.networks.spec import TensorSpec as TensorSpec
    from facereg.networks.spec import import_object as import_object
    from facereg.networks.weights import InstalledFile as InstalledFile
    from facereg.options import EmbedderOptions as EmbedderOptions
    from facereg.options import LandmarkOptions as LandmarkOptions
    from facereg.pipeline.composer import Pipeline as Pipeline
    from facereg.pipeline.stages import FoundFace as FoundFace
    from facereg.pipeline.stages import Result as Result
    from facereg.pipeline.tables import EmbeddedFiles as EmbeddedFiles
    from facereg.pipeline.tables import embed_files as embed_files
    from facereg.pipeline.videos import identify_video as identify_video
    from facereg.registry.hooks import CommandSpec as CommandSpec
    from facereg.registry.hooks import ModelSpec as ModelSpec
    from facereg.registry.hooks import RecipeSpec as RecipeSpec
    from facereg.registry.hooks import StoreSpec as StoreSpec
    from facereg.registry.hooks import hookimpl as hookimpl
    from facereg.registry.installed import Registry as Registry
    from facereg.registry.installed import default_registry as default_registry
    from facereg.registry.opener import Opener as Opener
    from facereg.registry.tags import WeightsSpec as WeightsSpec
    from facereg.roles import Aligner as Aligner
    from facereg.roles import Detector as Detector
    from facereg.roles import Embedder as Embedder
    from facereg.roles import Matcher as Matcher
    from facereg.roles import RoleName as RoleName
    from facereg.roles import Stage as Stage
    from facereg.types import BoolArray as BoolArray
    from facereg.types import Crops as Crops
    from facereg.types import Embeddings as Embeddings
    from facereg.types import Face as Face
    from facereg.types import Faces as Faces
    from facereg.types import FloatArray as FloatArray
    from facereg.types import Image as Image
    from facereg.types import IntArray as IntArray
    from facereg.types import Match as Match
    from facereg.types import Matches as Matches
    from facereg.video import Video as Video

_HOMES = {
    "facereg.builtin.alignment": "FivePointAligner",
    "facereg.builtin.embedding": "EmbedderOpening NetworkEmbedder",
    "facereg.builtin.exact": "ExactMatcher",
    "facereg.builtin.indexed": "IndexedMatcher RowIndex",
    "facereg.builtin.landmarks": "LandmarkAligner crops_of_boxes",
    "facereg.builtin.layouts": "LAYOUTS Edge Layout layout layout_with",
    "facereg.cli.options": "Json print_json",
    "facereg.errors": (
        "BrokenNetworkError ClosedError ContractError DatasetError DeadlineError DeadModelError DeviceError "
        "FaceregError GalleryError GalleryUnreachableError ImageError InputRefusedError MissingExtraError "
        "ModelMismatchError "
        "ModelMissingError ModelNotReadyError OptionError PluginError RunnerError ServerFaultError SpaceMismatchError "
        "UnknownNameError UnreachableError WeightsError"
    ),
    "facereg.folders.walking": "find_images",
    "facereg.gallery": "Gallery",
    "facereg.geometry": (
        "MIRRORED Resized box_areas box_overlap grey_levels non_maximum_suppression resize similarity_from_points "
        "template transform_points warp"
    ),
    "facereg.images": "Picture image_size load_images read_image read_picture write_image",
    "facereg.names": "Address",
    "facereg.networks.opening": "Where open_network",
    "facereg.networks.runner": "Networks Runner Tensor",
    "facereg.networks.spec": "NetworkSpec PublishedFile TensorSpec import_object",
    "facereg.networks.weights": "InstalledFile",
    "facereg.options": "EmbedderOptions LandmarkOptions",
    "facereg.pipeline.composer": "Pipeline",
    "facereg.pipeline.stages": "FoundFace Result",
    "facereg.pipeline.tables": "EmbeddedFiles embed_files",
    "facereg.pipeline.videos": "identify_video",
    "facereg.registry.hooks": "CommandSpec ModelSpec RecipeSpec StoreSpec hookimpl",
    "facereg.registry.installed": "Registry default_registry",
    "facereg.registry.opener": "Opener",
    "facereg.registry.tags": "WeightsSpec",
    "facereg.roles": "Aligner Detector Embedder Matcher RoleName Stage",
    "facereg.types": "BoolArray Crops Embeddings Face Faces FloatArray Image IntArray Match Matches",
    "facereg.video": "Video",
}


def _lazy(
    package: str, homes: Mapping[str, str], *own: str
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose names are imported on first use.

    Args:
        homes: by module, the names that lie there, blanks between them; the package's `if TYPE_CHECKING:` says the
            same to type checkers.
        own: what the package defines itself.
    """
    module_of = {name: module for module, names in homes.items() for name in names.split()}

    def get(name: str) -> object:
        if name in module_of:
            return getattr(import_module(module_of[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    names = sorted({*module_of, *own})
    return get, lambda: names, [name for name in names if not name.startswith("_")]


__getattr__, __dir__, __all__ = _lazy(__name__, _HOMES, "CONTRACT", "__version__")
