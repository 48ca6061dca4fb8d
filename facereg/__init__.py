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
    from facereg.builtin.exact import ExactMatcher
    from facereg.errors import FaceregError
    from facereg.folders.walking import find_images
    from facereg.gallery import Gallery
    from facereg.images import Picture, load_images, read_image, read_picture, write_image
    from facereg.pipeline.composer import Pipeline
    from facereg.pipeline.stages import Result
    from facereg.registry.installed import Registry
    from facereg.roles import Aligner, Detector, Embedder, Matcher
    from facereg.types import Crops, Embeddings, Faces, Matches

_HOMES = {
    "facereg.errors": ("FaceregError",),
    "facereg.folders.walking": ("find_images",),
    "facereg.gallery": ("Gallery",),
    "facereg.images": ("Picture", "load_images", "read_image", "read_picture", "write_image"),
    "facereg.roles": ("Aligner", "Detector", "Embedder", "Matcher"),
    "facereg.builtin.exact": ("ExactMatcher",),
    "facereg.pipeline.composer": ("Pipeline",),
    "facereg.registry.installed": ("Registry",),
    "facereg.pipeline.stages": ("Result",),
    "facereg.types": ("Crops", "Embeddings", "Faces", "Matches"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CONTRACT",
    "Aligner",
    "Crops",
    "Detector",
    "Embedder",
    "Embeddings",
    "ExactMatcher",
    "FaceregError",
    "Faces",
    "Gallery",
    "Matcher",
    "Matches",
    "Picture",
    "Pipeline",
    "Registry",
    "Result",
    "find_images",
    "load_images",
    "read_image",
    "read_picture",
    "write_image",
]


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'facereg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
