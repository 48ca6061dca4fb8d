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

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from facereg.disk.homes import settings_folder
from facereg.disk.reading import MAX_SETTINGS, parse_toml, read_text
from facereg.errors import FaceregError, PluginError, WeightsError
from facereg.networks.spec import NetworkSpec
from facereg.registry.hooks import ModelSpec
from facereg.registry.tags import WeightsSpec

FILE = "weights.toml"
FILE_KEYS: Mapping[str, type | tuple[type, ...]] = {"file": str, "address": (str, list), "sha256": str, "size": int}
KEYS = {**FILE_KEYS, "licence": str, "card": str, "summary": str, "networks": dict}


def added_weights(model: ModelSpec) -> tuple[WeightsSpec, ...]:
    """Return the weights that the user added to a model.

    Raises:
        WeightsError: if `weights.toml` cannot be read, or what it says of this model is not as stated above.
    """
    try:
        table = settings_folder() / FILE
        if not table.is_file():
            return ()
    except (FaceregError, OSError):  # no home, or somebody else's
        return ()
    expected = "a table of weights"
    text = read_text(table, expected=expected, limit=MAX_SETTINGS, error=WeightsError)
    document = parse_toml(text, place=str(table), expected=expected, error=WeightsError)
    taken = {weights.tag for weights in model.weights}
    found = []
    for key, entry in document.items():
        name, _, tag = key.partition(":")
        if name == model.name:
            place = f"{table}, [{key!r:.100}]"
            if tag in taken:
                raise WeightsError(f"{place}: {name} has weights of that tag already; choose another")
            found.append(_read(entry, tag, model, table.parent, place))
    return tuple(found)


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
