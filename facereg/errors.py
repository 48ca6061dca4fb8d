"""Every error that facereg raises on purpose.

```
FaceregError                  base: `except FaceregError` catches all of them
├── ContractError             a value breaks the contract: shape, dtype, NaN, order
├── ImageError                a file or stream that gives no picture
├── PluginError               a plugin that is missing, broken or named twice
│   └── UnknownNameError      no model, recipe or command of that name
├── MissingExtraError         a package that an optional feature needs
├── WeightsError              a weights file that is missing or altered
├── RunnerError               a network that could not be opened or run
│   └── DeviceError           the device that was asked for is not there
├── DatasetError              a data set that is not laid out as stated
└── GalleryError              a gallery that cannot be used
    └── SpaceMismatchError    embeddings of two models were mixed
```

A message says what was wrong, what was expected, what was got and what to do, on one line.
"""

from __future__ import annotations


class FaceregError(Exception):
    """Base of every error raised by facereg on purpose."""


class ContractError(FaceregError, ValueError):
    """A value that breaks the contract between two stages."""


class ImageError(FaceregError):
    """A file or stream that gives no usable picture; `path` names it."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class PluginError(FaceregError):
    """A plugin that is missing, broken, or registers a name twice."""


class UnknownNameError(PluginError, LookupError):
    """No model, recipe or command of that name is installed."""


class MissingExtraError(FaceregError, ImportError):
    """A package that an optional feature needs is not installed."""


class WeightsError(FaceregError):
    """A weights file that is missing or whose checksum differs."""


class RunnerError(FaceregError):
    """A network that could not be opened or run."""


class DeviceError(RunnerError):
    """The device that was asked for is not there; never a silent fall to the CPU."""


class DatasetError(FaceregError):
    """A data set or annotation file that is not laid out as stated."""


class GalleryError(FaceregError):
    """A gallery that cannot be opened, read or written."""


class SpaceMismatchError(GalleryError, ContractError):
    """Embeddings of two different models (or weights) were mixed."""
