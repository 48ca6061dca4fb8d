"""Typed options: the one reader of words and values for `--option`, `--set`, pipeline files and addresses.

What may be set is said by a settings class, a dataclass whose fields have types, defaults and, under `Args:` of its
docstring, meanings:

```python
@dataclass(frozen=True)
class SkinOptions:
    \"\"\"Options of `skin-colour`.

    Args:
        least: px; narrower regions are no faces.
    \"\"\"

    least: int = 24
```

A field is bool, int, float, str, Path, a Literal, a tuple of these, or one of these or None. The typed keyword
parameters of a function or class are read alike.
"""

from __future__ import annotations

import inspect
import json
import math
import numbers
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union

from facereg.errors import ContractError, OptionError

TRUTH = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
WHOLE = re.compile(r"[+-]?[0-9]{1,19}")  # not \d: int() reads the digits of every script
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
LARGEST = 2**63 - 1  # what numpy and ONNX Runtime take
REQUIRED: Any = inspect.Parameter.empty
_ENTRY = re.compile(r"(?P<names>\w+(?:, \w+)*): (?P<meaning>.*)")


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that may be set: `kind` is its type, `default` REQUIRED where it has none."""

    name: str
    kind: Any
    default: Any = REQUIRED
    meaning: str = ""

    @property
    def type(self) -> str:
        """Return the type as people read it, like `float or none`."""
        return type_name(self.kind)

    def __str__(self) -> str:
        default = "needed" if self.default is REQUIRED else f"default {self.default}"
        return f"{self.name} ({self.type}, {default})"


@dataclass(frozen=True, slots=True)
class EmbedderOptions:
    """Options of an embedder; one with more of its own subclasses it.

    Args:
        flip: add the vector of the mirrored crop; twice the work.
    """

    flip: bool = True


LANDMARK_RANGES = (("factor", 0.1, 10), ("shift", -1, 1), ("passes", 1, 4), ("least", 0, 1), ("moved", 0.001, 100))


@dataclass(frozen=True, slots=True)
class LandmarkOptions:
    """Options of an aligner by a landmark network; one with more of its own subclasses it.

    Args:
        factor: side of the square about all points over the longer side of the detector's box; a pipeline sets it and
            `shift` as the detector states.
        shift: how much lower the centre of that square lies than the box's, over the box's longer side.
        passes: looks at each face; from the second on upright and about the points found before, whatever the box.
        least: how sure the network must be of a face, 0..1; one that does not say is sure of every face.
        moved: how far the second look may move the points, over the face's size; on no face they wander.
    Raises:
        ContractError: if an option is out of range.
    """

    factor: float = 1.0
    shift: float = 0.0
    passes: int = 2
    least: float = 0.0
    moved: float = 0.2

    def __post_init__(self) -> None:
        for name, low, high in LANDMARK_RANGES:
            if not low <= (value := getattr(self, name)) <= high:
                raise ContractError(f"{name}: expected {low:g} to {high:g}, got {value:g}")


def options_of(settings: Callable[..., object], *, skip: frozenset[str] = frozenset()) -> dict[str, Option] | None:
    """Return what a settings class, or a factory, lets people set, by name but for `skip`; None: any keyword."""
    try:
        parameters = list(inspect.signature(settings).parameters.values())
    except (TypeError, ValueError):  # written in C, and says nothing
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    hints, meanings = _hints(settings), _all_meanings(settings)
    return {
        one.name: Option(
            one.name, _kind(hints.get(one.name, REQUIRED), one.default), one.default, meanings.get(one.name, "")
        )
        for one in parameters
        if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD) and one.name not in skip
    }


def read_options(
    known: Mapping[str, Option], given: Mapping[str, object], *, owner: str, what: str = "option", place: str = ""
) -> dict[str, object]:
    """Return the values given, each of its option's type; words are read, values of another type refused.

    Args:
        known: what may be set.
        given: words or values, by name.
        owner: whose options these are, for messages.
        what: what they are called there.
        place: what goes before a name in messages; default: the owner and what they are called.
    Raises:
        OptionError: if a name is unknown or a value does not read as the option's type.
    """
    unknown = sorted(str(name) for name in set(given) - set(known))
    if unknown:
        close = {match for name in unknown for match in get_close_matches(name, known, 2)}
        nearest = "; nearest: " + ", ".join(str(known[name]) for name in known if name in close) if close else ""
        listed = ", ".join(map(printable, unknown))
        raise OptionError(f"no {what} named {listed}; {owner} has: {', '.join(known) or 'none'}{nearest}")
    read: dict[str, object] = {}
    for name, value in given.items():
        try:
            read[name] = read_value(known[name].kind, value)
        except ValueError as error:
            default = known[name].default
            rest = "" if default is REQUIRED else f"; default: {default}"
            shown = printable(_shown(value))
            raise OptionError(f"{place or f'{owner}: {what}'} {name}: expected {error}, got {shown}{rest}") from error
    return read


def read_value(kind: Any, value: object) -> object:
    """Return a word or value as the type `kind`.

    Raises:
        ValueError: if it does not read so; the error says what was expected.
    """
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _read_union(members, value)
    if origin is Literal:
        for member in members:
            if (type(value) is type(member) and value == member) or (isinstance(value, str) and str(member) == value):
                return member
        raise ValueError(type_name(kind))
    if origin in (tuple, list) or kind in (tuple, list):
        return _read_several(kind, members, value)
    if kind in READERS:
        return READERS[kind](value)
    if isinstance(value, str) and kind not in (REQUIRED, Any, object):
        raise ValueError(f"{type_name(kind)}, which no word can give")
    return value  # a type of the plugin's own: the plugin looks at it


def type_name(kind: Any) -> str:
    """Return a type as people read it."""
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        names = [type_name(member) for member in members if member is not types.NoneType]
        return " or ".join(names + ["none"] * (types.NoneType in members))
    if origin is Literal:
        return "one of " + ", ".join(map(str, members))
    if origin in (tuple, list) and members:
        kinds = [type_name(member) for member in members if member is not Ellipsis]
        each = kinds[0] if len(set(kinds)) == 1 else "(" + ", ".join(kinds) + ")"
        many = "several" if Ellipsis in members or origin is list else str(len(kinds))
        return f"{many} {each} with commas between"
    if kind is REQUIRED:
        return "any"
    return "path" if kind is Path else getattr(kind, "__name__", str(kind))


def printable(text: str, most: int = 200) -> str:
    """Return the text fit for one line of a terminal."""
    shown = "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)
    return shown if len(shown) <= most else f"{shown[:most]}..."


def _read_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in TRUTH:
        return TRUTH[value.strip().lower()]
    raise ValueError("bool")


def _read_int(value: object) -> int:
    if isinstance(value, str) and WHOLE.fullmatch(value.strip()):
        value = int(value.strip())
    if not isinstance(value, bool) and isinstance(value, numbers.Integral) and abs(int(value)) <= LARGEST:
        return int(value)
    raise ValueError("int")


def _read_float(value: object) -> float:
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        value = float(value.strip())
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValueError("float")


def _read_str(value: object) -> str:
    if isinstance(value, str) and "\0" not in value:
        return value
    raise ValueError("str")


def _read_path(value: object) -> Path:
    if isinstance(value, (str, Path)) and str(value) and "\0" not in str(value):
        return Path(value)
    raise ValueError("path")


def _read_none(value: object) -> None:
    if value is not None and not (isinstance(value, str) and value.strip().lower() in ("none", "null")):
        raise ValueError("none")


READERS: dict[Any, Callable[[object], object]] = {
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: _read_str,
    Path: _read_path,
    types.NoneType: _read_none,
    None: _read_none,
}


def _read_union(members: tuple[Any, ...], value: object) -> object:
    """Return the value as the first member that takes it; none goes first, that it is no word of a str."""
    problems: list[str] = []
    for member in sorted(members, key=lambda member: member is not types.NoneType):
        try:
            return read_value(member, value)
        except ValueError as error:
            problems.append(str(error))
    raise ValueError(" or ".join(problem for problem in problems if problem != "none"))


def _read_several(kind: Any, members: tuple[Any, ...], value: object) -> object:
    """Return a tuple or list: of a TOML array or a sequence, or of words with commas between, in brackets or not."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        except (ValueError, RecursionError):
            raise ValueError(type_name(kind)) from None
    if not isinstance(value, (tuple, list)):
        raise ValueError(type_name(kind))
    kinds = list(members) or [REQUIRED, Ellipsis]
    if Ellipsis in kinds or (typing.get_origin(kind) or kind) is list:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(type_name(kind))
    try:
        read = [read_value(each, one) for each, one in zip(kinds, value, strict=True)]
    except ValueError:
        raise ValueError(type_name(kind)) from None
    return read if (typing.get_origin(kind) or kind) is list else tuple(read)


def _hints(settings: Any) -> dict[str, Any]:
    """Return the types that a class, dataclass or function states; none where one of them cannot be resolved."""
    plain = inspect.isclass(settings) and not hasattr(settings, "__dataclass_fields__")
    try:
        return typing.get_type_hints(settings.__init__ if plain else settings)
    except Exception:  # names that are imported for type checkers alone
        return {}


def _kind(hint: Any, default: object) -> Any:
    """Return a parameter's type: that of its default where it states none."""
    return type(default) if hint in (REQUIRED, Any, object) and type(default) in (bool, int, float, str) else hint


def _all_meanings(settings: Callable[..., object]) -> dict[str, str]:
    """Return the meaning of each name: what a class does not say, the class that it inherits from does."""
    found: dict[str, str] = {}
    for each in reversed(getattr(settings, "__mro__", (settings,))):
        found |= _meanings(inspect.cleandoc(each.__doc__ or ""))
    return found


def _meanings(text: str) -> dict[str, str]:
    """Return what stands behind each name under `Args:` of a docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    lines = iter(text.partition("Args:\n")[2].splitlines())
    for line in lines:
        if line.strip() and not line.startswith(" "):
            break
        entry = _ENTRY.fullmatch(line.strip())
        if entry and len(line) - len(line.lstrip()) == 4:
            names = entry["names"].split(", ")
            found |= dict.fromkeys(names, entry["meaning"])
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # of a type of somebody's own
        return type(value).__name__
