"""Weights that a user added to an installed model: `weights.toml` in the folder of settings.

```toml
["yolov5s-face:mine"]
file = "yolo/mine.onnx"    # relative to this file; of a model of several networks the folder of its files
sha256 = "5d41..."         # of it, where it is to be checked
licence = "ours"
card = "yolo/README.md"

["yolov5s-face:big"]
address = "https://example.org/big.onnx"  # or several in a list; 'facereg models fetch yolov5s-face:big' brings it
sha256 = "7c21..."
size = 84123456            # bytes

["mtcnn:big".networks.mtcnn-pnet]         # of several networks, each by itself
file = "big/p.onnx"
```
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from facereg.disk.homes import settings_folder
from facereg.disk.reading import MAX_SETTINGS, parse_toml, read_text
from facereg.errors import FaceregError, PluginError, WeightsError
from facereg.networks.spec import NetworkSpec
from facereg.registry.hooks import ModelSpec
from facereg.registry.requiring import NAME
from facereg.registry.tags import WeightsSpec

FILE = "weights.toml"
FILE_KEYS: Mapping[str, type | tuple[type, ...]] = {"file": str, "address": (str, list), "sha256": str, "size": int}
KEYS = {**FILE_KEYS, "licence": str, "card": str, "summary": str, "networks": dict}


def added_weights(model: ModelSpec) -> tuple[WeightsSpec, ...]:
    """Return the weights that the user added to a model.

    Raises:
        WeightsError: if `weights.toml` cannot be read, or what it says of this model is not as stated above.
    """
    table, entries = _table()
    taken = {weights.tag for weights in model.weights}
    found = []
    for key, entry in entries.items():
        name, _, tag = key.partition(":")
        if name == model.name:
            place = _place(table, key)
            if not NAME.fullmatch(tag):
                raise WeightsError(
                    f"{place}: expected MODEL:TAG, as '{name}:mine', the tag of small letters and digits with single "
                    "hyphens, dots or underscores between"
                )
            if tag in taken:
                raise WeightsError(f"{place}: {name} has weights of that tag already; choose another")
            if not model.networks:
                raise WeightsError(f"{place}: {name} has no networks, and so no weights; remove the entry")
            found.append(_read(entry, tag, model, table.parent, place))
    return tuple(found)


def weights_of_nobody(models: Collection[str]) -> tuple[str, ...]:
    """Return a line for each entry of `weights.toml` that is no installed model's, and so is passed over.

    Args:
        models: the names of those installed.
    Raises:
        WeightsError: if the file cannot be read.
    """
    table, entries = _table()
    lines = []
    for key in entries:
        name = key.partition(":")[0]
        if name not in models:
            close = get_close_matches(name, models, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            lines.append(f"{_place(table, key)}: no model named {name!r:.80} is installed; {hint}see 'facereg models'")
    return tuple(lines)


def _table() -> tuple[Path, Mapping[str, object]]:
    """Return `weights.toml` and what it holds; nothing where there is none."""
    try:
        table = settings_folder() / FILE
    except FaceregError:  # no home
        return Path(FILE), {}
    if not os.path.lexists(table):  # which a folder of somebody else's says no to
        return table, {}
    expected = "a table of weights"
    text = read_text(table, expected=expected, limit=MAX_SETTINGS, error=WeightsError)
    return table, parse_toml(text, place=str(table), expected=expected, error=WeightsError)


def _place(table: Path, key: str) -> str:
    return f"{table}, [{key!r:.100}]"


def _read(entry: object, tag: str, model: ModelSpec, folder: Path, place: str) -> WeightsSpec:
    held = _checked(entry, KEYS, place)
    each = _checked(held.pop("networks", {}), {network.name: dict for network in model.networks}, f"{place}: networks")
    files = {key: held.pop(key) for key in FILE_KEYS if key in held}
    several = len(model.networks) > 1
    if several and set(files) - {"file"}:
        raise WeightsError(f"{place}: expected {', '.join(files)} of each network, as [...networks.NETWORK] says them")
    networks = []
    for network in model.networks:
        own = _checked(each.get(network.name, files), FILE_KEYS, f"{place}: networks.{network.name}")
        if not own.get("file") and not own.get("address"):
            raise WeightsError(f"{place}: expected a file or an address for {network.name}, got neither")
        networks.append(_network(network, own, folder, in_folder=several and network.name not in each))
    try:
        return WeightsSpec(tag, tuple(networks), **held)
    except PluginError as error:
        raise WeightsError(f"{place}: {error}") from error


def _network(network: NetworkSpec, own: Mapping[str, Any], folder: Path, *, in_folder: bool) -> NetworkSpec:
    address, local = own.get("address", ()), None
    if "file" in own:
        local = folder / own["file"] / network.file if in_folder else folder / own["file"]
    return replace(
        network,
        package="",
        installed=None,
        sha256=own.get("sha256"),
        size=own.get("size"),
        addresses=(address,) if isinstance(address, str) else tuple(address),
        local=local,
    )


def _checked(given: object, allowed: Mapping[str, type | tuple[type, ...]], place: str) -> dict[str, Any]:
    """Return a table, each key known and of its type."""
    if not isinstance(given, dict):
        raise WeightsError(f"{place}: expected a table, got {given!r:.120}")
    for key, value in given.items():
        if key not in allowed:
            raise WeightsError(f"{place}: unknown key {key!r:.80}; allowed: {', '.join(allowed)}")
        if not isinstance(value, allowed[key]) or isinstance(value, bool):
            raise WeightsError(f"{place}: {key}: expected a {TYPES[allowed[key]]}, got {value!r:.120}")
    return dict(given)


TYPES = {str: "text", int: "whole number", dict: "table", (str, list): "text or a list of texts"}
