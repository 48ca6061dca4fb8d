"""The user's own folders: of settings, and of what can be made or brought again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from facereg.errors import FaceregError

HOME = "FACEREG_HOME"  # environment: folder of what facereg remembers
CACHE = "FACEREG_CACHE"  # environment: folder of what it can make or bring again


def settings_folder() -> Path:
    """Return where settings are kept: FACEREG_HOME, or `facereg` among the user's settings.

    That is `$XDG_CONFIG_HOME/facereg`, by default `~/.config/facereg`, on Linux.

    Raises:
        FaceregError: if the user has no folder for settings.
    """
    return _folder(HOME, "config")


def cache_folder() -> Path:
    """Return where weights are kept that were brought, and what was made: FACEREG_CACHE, or `facereg` in the user's.

    That is `$XDG_CACHE_HOME/facereg`, by default `~/.cache/facereg`, on Linux.

    Raises:
        FaceregError: if the user has no such folder.
    """
    return _folder(CACHE, "cache")


def _folder(variable: str, kind: Literal["config", "cache"]) -> Path:
    if given := os.environ.get(variable):
        return Path(given)
    import platformdirs

    what = {"config": "settings", "cache": "cached files"}[kind]
    reason = f"no folder for {what}: expected a home folder, found none; set {variable} to a folder"
    find = platformdirs.user_config_path if kind == "config" else platformdirs.user_cache_path
    try:
        folder = find("facereg", appauthor=False)
    except RuntimeError as error:  # a user without a home, as in many containers; earlier versions give "~/..."
        raise FaceregError(reason) from error
    if not folder.is_absolute() or os.environ.get("HOME") == "":
        raise FaceregError(reason)
    return folder
