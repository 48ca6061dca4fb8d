"""What the four roles share: a name, networks, closing, and whose a failure is."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal, Self

from facereg.errors import ClosedError, FaceregError, PluginError, words_of
from facereg.networks.runner import Networks

RoleName = Literal["detector", "aligner", "embedder", "matcher"]


class Stage(ABC):
    """What all roles share: networks, closing, use as a context manager.

    One instance may be shared between threads.
    """

    role: ClassVar[RoleName]
    name: str = ""  # of the model; the class's own until the registry gives it
    networks: Networks = Networks()  # none; also where a subclass forgets to call our __init__
    _closed = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def __init__(self, networks: Networks | None = None) -> None:
        self.networks = Networks() if networks is None else networks

    @property
    def in_flight(self) -> int:
        """Return how many calls of this stage to make at once: 1 unless its networks run on a server."""
        return self.networks.in_flight

    def close(self) -> None:
        """Free the networks, for good; closing twice is allowed."""
        self._closed = True
        self.networks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Give what a subclass raises the model's name; the errors that facereg raises on purpose stay as they are.

        Raises:
            ClosedError: if the stage was closed.
            PluginError: if the subclass raises anything else; `sys.exit()` ends no program.
        """
        if self._closed:
            raise ClosedError(f"{self.role} {self.name!r} is closed; make it again")
        try:
            yield
        except FaceregError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self.role} {self.name!r} failed: {type(error).__name__}: {words_of(error)}") from error
