"""Face recognition whose every model is a plugin and every network runs here or on a server.

```python
from facereg import Pipeline, read_image

with Pipeline.create() as pipeline:
    [result] = pipeline.run([read_image("photo.jpg")])
```

Names are imported on first use, so that `import facereg` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from facereg.errors import FaceregError
    from facereg.gallery import Gallery
    from facereg.images import find_images, load_images, read_image, write_image
    from facereg.interfaces import Aligner, Detector, Embedder, Matcher
    from facereg.matching.exact import ExactMatcher
    from facereg.pipeline import Pipeline
    from facereg.registry import Registry
    from facereg.stages import Result
    from facereg.types import Crops, Embeddings, Faces, Matches

_HOMES = {
    "facereg.errors": ("FaceregError",),
    "facereg.gallery": ("Gallery",),
    "facereg.images": ("find_images", "load_images", "read_image", "write_image"),
    "facereg.interfaces": ("Aligner", "Detector", "Embedder", "Matcher"),
    "facereg.matching.exact": ("ExactMatcher",),
    "facereg.pipeline": ("Pipeline",),
    "facereg.registry": ("Registry",),
    "facereg.stages": ("Result",),
    "facereg.types": ("Crops", "Embeddings", "Faces", "Matches"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
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
    "Pipeline",
    "Registry",
    "Result",
    "find_images",
    "load_images",
    "read_image",
    "write_image",
]


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'facereg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
