"""Every error that facereg raises on purpose.

```
FaceregError                  base: `except FaceregError` catches all of them
├── ContractError             a value breaks the contract: shape, dtype, NaN, order
├── ImageError                a file or stream that gives no picture
├── PluginError               a plugin that is missing, broken or named twice
│   ├── UnknownNameError      no model, recipe or command of that name
│   └── OptionError           an option that is unknown or does not read as its type
├── ClosedError               a stage or network used after it was closed
├── MissingExtraError         a package that an optional feature needs
├── WeightsError              a weights file that is missing or altered
│   └── BrokenNetworkError    one that holds no network, or another; a RunnerError, too
├── RunnerError               a network that could not be opened or run
│   ├── DeviceError           the device that was asked for is not there
│   ├── UnreachableError      no server answers at the address, or it let us not in
│   ├── ModelMissingError     the server has no such model
│   ├── ModelNotReadyError    the server has the model, but does not serve it
│   ├── ModelMismatchError    the server's model is not the one that the plugin declares
│   ├── InputRefusedError     the server found the tensors unfit
│   ├── DeadlineError         no answer in the time given
│   └── ServerFaultError      the server failed while it worked
│       └── DeadModelError    the model's process is gone, though the server calls it ready
├── DatasetError              a data set that is not laid out as stated
└── GalleryError              a gallery that cannot be used
    ├── GalleryUnreachableError  its database does not answer, or was lost
    └── SpaceMismatchError    embeddings of two models were mixed
```

A message says what was wrong, what was expected, what was got and what to do, on one line.
"""

from __future__ import annotations

from importlib.util import find_spec


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


class OptionError(PluginError, ContractError):
    """An option of a model or a setting of a recipe that is unknown, or does not read as its type."""


class ClosedError(FaceregError):
    """A stage or network that was closed is used again; make a new one."""


class MissingExtraError(FaceregError, ImportError):
    """A package that an optional feature needs is not installed."""


class WeightsError(FaceregError):
    """A weights file that is missing or whose checksum differs."""


class RunnerError(FaceregError):
    """A network that could not be opened or run."""


class DeviceError(RunnerError):
    """The device that was asked for is not there; never a silent fall to the CPU."""


class UnreachableError(RunnerError):
    """No server answers at the address, or it refused to talk to us."""


class ModelMissingError(RunnerError):
    """The server has no model of that name or version."""


class ModelNotReadyError(RunnerError):
    """The server has the model, but it is not loaded or could not be."""


class ModelMismatchError(RunnerError):
    """The server's model has other tensors or weights than the plugin declares."""


class InputRefusedError(RunnerError):
    """The server found the tensors of a request unfit."""


class DeadlineError(RunnerError):
    """The server gave no answer in the time given."""


class ServerFaultError(RunnerError):
    """The server failed while it worked on a request."""


class DeadModelError(ServerFaultError):
    """The model's process is gone, though the server still calls the model ready; load it anew."""


class BrokenNetworkError(WeightsError, RunnerError):
    """A weights file that holds no network, or another one than the plugin declares."""


class DatasetError(FaceregError):
    """A data set or annotation file that is not laid out as stated."""


class GalleryError(FaceregError):
    """A gallery that cannot be opened, read or written."""


class GalleryUnreachableError(GalleryError):
    """The database of a gallery does not answer, or was lost: try again, nothing is added twice."""


class SpaceMismatchError(GalleryError, ContractError):
    """Embeddings of two different models (or weights) were mixed."""


def require_package(name: str, needed_by: str, *, extra: str = "app") -> None:
    """Refuse work that needs a package of an extra, before it begins; nothing is imported.

    Args:
        name: that the package is imported by.
        needed_by: what needs it, and its name as pip has it, as 'drawing needs supervision'.
    Raises:
        MissingExtraError: if it is not installed.
    """
    if find_spec(name) is None:
        raise MissingExtraError(f"{needed_by}; pip install 'facereg-core[{extra}]'")


def words_of(error: BaseException, longest: int = 500) -> str:
    """Return an error's message in one line, its kind where it says nothing, and that it cannot be printed if so."""
    try:
        return " ".join(str(error).split())[:longest] or type(error).__name__
    except BaseException:  # whatever its __str__ does
        return "its message cannot be printed"
