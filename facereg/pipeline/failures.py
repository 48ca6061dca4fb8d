"""Whose a failure is: of one image, of all images because the network cannot be reached or opened, of the plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from facereg.errors import (
    ClosedError,
    DeadlineError,
    DeadModelError,
    DeviceError,
    FaceregError,
    MissingExtraError,
    ModelMismatchError,
    ModelMissingError,
    ModelNotReadyError,
    PluginError,
    UnreachableError,
    WeightsError,
    words_of,
)

Work = TypeVar("Work")
# The network cannot be reached or opened, whatever the images: tried alone, each image would get the same error.
NO_NETWORK = (
    UnreachableError,
    ModelMissingError,
    ModelNotReadyError,
    ModelMismatchError,
    DeadModelError,
    DeviceError,
    MissingExtraError,
    WeightsError,
    ClosedError,
)


def error_of_image(error: Exception, number: int) -> Exception:
    """Return the error that the image of that number ends with: one of a plugin's names the image."""
    if isinstance(error, FaceregError) and not isinstance(error, PluginError):
        return error
    named = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {words_of(error)}"
    placed = PluginError(f"images[{number}]: {named}")
    placed.__cause__ = error.__cause__ or error
    return placed


def try_each_alone(
    failed: list[Work], work: Callable[[list[Work]], Exception | None], fail: Callable[[list[Work], Exception], None]
) -> None:
    """Call `work` again, for each alone, after the call for all together failed.

    Where `work` returns an error of the network, or one that says that a deadline passed, `fail` gets it for those
    that are left: each of them would wait for the same error.
    """
    for place, each in enumerate(failed, 1):
        error = work([each])
        if isinstance(error, (*NO_NETWORK, DeadlineError)):
            fail(failed[place:], error)
            return
