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
    from facereg.builtin.alignment import FivePointAligner
    from facereg.builtin.exact import ExactMatcher
    from facereg.builtin.layouts import LAYOUTS, Edge, Layout, layout, layout_with
    from facereg.cli.options import Json, print_json
    from facereg.errors import (
        BrokenNetworkError,
        ClosedError,
        ContractError,
        DatasetError,
        DeadlineError,
        DeadModelError,
        DeviceError,
        FaceregError,
        GalleryError,
        ImageError,
        InputRefusedError,
        MissingExtraError,
        ModelMismatchError,
        ModelMissingError,
        ModelNotReadyError,
        OptionError,
        PluginError,
        RunnerError,
        ServerFaultError,
        SpaceMismatchError,
        UnknownNameError,
        UnreachableError,
        WeightsError,
    )
    from facereg.folders.walking import find_images
    from facereg.gallery import Gallery
    from facereg.geometry import (
        MIRRORED,
        box_areas,
        box_overlap,
        non_maximum_suppression,
        similarity_from_points,
        template,
        transform_points,
        warp,
    )
    from facereg.images import Picture, image_size, load_images, read_image, read_picture, write_image
    from facereg.networks.opening import Where, open_network
    from facereg.networks.runner import Networks, Runner, Tensor
    from facereg.networks.spec import NetworkSpec, TensorSpec, import_object
    from facereg.networks.weights import InstalledFile
    from facereg.options import EmbedderOptions
    from facereg.pipeline.composer import Pipeline
    from facereg.pipeline.stages import FoundFace, Result
    from facereg.pipeline.videos import identify_video
    from facereg.registry.hooks import CommandSpec, ModelSpec, RecipeSpec, hookimpl
    from facereg.registry.installed import Registry, default_registry
    from facereg.registry.opener import Opener
    from facereg.roles import Aligner, Detector, Embedder, Matcher, RoleName, Stage
    from facereg.types import BoolArray, Crops, Embeddings, Face, Faces, FloatArray, Image, IntArray, Match, Matches
    from facereg.video import Video

_HOMES = {
    "facereg.builtin.alignment": ("FivePointAligner",),
    "facereg.builtin.exact": ("ExactMatcher",),
    "facereg.builtin.layouts": (
        "LAYOUTS",
        "Edge",
        "Layout",
        "layout",
        "layout_with",
    ),
    "facereg.cli.options": (
        "Json",
        "print_json",
    ),
    "facereg.errors": (
        "BrokenNetworkError",
        "ClosedError",
        "ContractError",
        "DatasetError",
        "DeadlineError",
        "DeadModelError",
        "DeviceError",
        "FaceregError",
        "GalleryError",
        "ImageError",
        "InputRefusedError",
        "MissingExtraError",
        "ModelMismatchError",
        "ModelMissingError",
        "ModelNotReadyError",
        "OptionError",
        "PluginError",
        "RunnerError",
        "ServerFaultError",
        "SpaceMismatchError",
        "UnknownNameError",
        "UnreachableError",
        "WeightsError",
    ),
    "facereg.folders.walking": ("find_images",),
    "facereg.gallery": ("Gallery",),
    "facereg.geometry": (
        "MIRRORED",
        "box_areas",
        "box_overlap",
        "non_maximum_suppression",
        "similarity_from_points",
        "template",
        "transform_points",
        "warp",
    ),
    "facereg.images": (
        "Picture",
        "image_size",
        "load_images",
        "read_image",
        "read_picture",
        "write_image",
    ),
    "facereg.networks.opening": ("Where", "open_network"),
    "facereg.networks.runner": (
        "Networks",
        "Runner",
        "Tensor",
    ),
    "facereg.networks.spec": (
        "NetworkSpec",
        "TensorSpec",
        "import_object",
    ),
    "facereg.networks.weights": ("InstalledFile",),
    "facereg.options": ("EmbedderOptions",),
    "facereg.pipeline.composer": ("Pipeline",),
    "facereg.pipeline.stages": (
        "FoundFace",
        "Result",
    ),
    "facereg.pipeline.videos": ("identify_video",),
    "facereg.registry.hooks": (
        "CommandSpec",
        "ModelSpec",
        "RecipeSpec",
        "hookimpl",
    ),
    "facereg.registry.installed": (
        "Registry",
        "default_registry",
    ),
    "facereg.registry.opener": ("Opener",),
    "facereg.roles": (
        "Aligner",
        "Detector",
        "Embedder",
        "Matcher",
        "RoleName",
        "Stage",
    ),
    "facereg.types": (
        "BoolArray",
        "Crops",
        "Embeddings",
        "Face",
        "Faces",
        "FloatArray",
        "Image",
        "IntArray",
        "Match",
        "Matches",
    ),
    "facereg.video": ("Video",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CONTRACT",
    "LAYOUTS",
    "MIRRORED",
    "Aligner",
    "BoolArray",
    "BrokenNetworkError",
    "ClosedError",
    "CommandSpec",
    "ContractError",
    "Crops",
    "DatasetError",
    "DeadModelError",
    "DeadlineError",
    "Detector",
    "DeviceError",
    "Edge",
    "Embedder",
    "EmbedderOptions",
    "Embeddings",
    "ExactMatcher",
    "Face",
    "FaceregError",
    "Faces",
    "FivePointAligner",
    "FloatArray",
    "FoundFace",
    "Gallery",
    "GalleryError",
    "Image",
    "ImageError",
    "InputRefusedError",
    "InstalledFile",
    "IntArray",
    "Json",
    "Layout",
    "Match",
    "Matcher",
    "Matches",
    "MissingExtraError",
    "ModelMismatchError",
    "ModelMissingError",
    "ModelNotReadyError",
    "ModelSpec",
    "NetworkSpec",
    "Networks",
    "Opener",
    "OptionError",
    "Picture",
    "Pipeline",
    "PluginError",
    "RecipeSpec",
    "Registry",
    "Result",
    "RoleName",
    "Runner",
    "RunnerError",
    "ServerFaultError",
    "SpaceMismatchError",
    "Stage",
    "Tensor",
    "TensorSpec",
    "UnknownNameError",
    "UnreachableError",
    "Video",
    "WeightsError",
    "Where",
    "box_areas",
    "box_overlap",
    "default_registry",
    "find_images",
    "hookimpl",
    "identify_video",
    "image_size",
    "import_object",
    "layout",
    "layout_with",
    "load_images",
    "non_maximum_suppression",
    "open_network",
    "print_json",
    "read_image",
    "read_picture",
    "similarity_from_points",
    "template",
    "transform_points",
    "warp",
    "write_image",
]


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'facereg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
