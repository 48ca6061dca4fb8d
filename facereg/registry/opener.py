"""`MtcnnDetector.open(min_face=40, runner="onnx")`: a model made in Python, its options known to editors and mypy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Generic, ParamSpec, TypeVar

from facereg.errors import PluginError
from facereg.networks.opening import Where
from facereg.registry.installed import default_registry
from facereg.roles import Stage

Opening = ParamSpec("Opening")
Made = TypeVar("Made", bound=Stage)
PLACES = frozenset(field.name for field in fields(Where))


class Opener(Generic[Opening]):
    """The `open` of a model's class: takes its options and where its networks run, and gives the model ready to use.

    ```python
    @dataclass(frozen=True)
    class Opening(MtcnnOptions, Where):
        \"\"\"What `MtcnnDetector.open` takes.\"\"\"

    class MtcnnDetector(Detector):
        open = Opener("mtcnn", Opening)
    ```

    Args:
        name: of the installed model.
        takes: a dataclass of the model's options and of `Where`.
    """

    def __init__(self, name: str, takes: Callable[Opening, object]) -> None:
        self.name, self.takes = name, takes

    def __get__(self, instance: object, owner: type[Made]) -> Callable[Opening, Made]:
        """Return `open`.

        It raises what `Registry.make` does, and PluginError if the model's factory makes something else than `owner`.
        """

        def open(*values: Opening.args, **keywords: Opening.kwargs) -> Made:
            """Return the model, ready to use."""
            given: dict[str, Any] = {**inspect.signature(self.takes).bind_partial(*values).arguments, **keywords}
            where = Where(**{name: given.pop(name) for name in PLACES & set(given)})
            made = default_registry().make(self.name, given, role=owner.role, where=where)
            if not isinstance(made, owner):
                made.close()
                raise PluginError(f"{self.name}: expected a model of {owner.__name__}, got {type(made).__name__}")
            return made

        vars(open)["__signature__"] = inspect.signature(self.takes)  # for help() and notebooks
        return open
