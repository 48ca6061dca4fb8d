"""The seam every network runs behind, and the set of networks a model asks for by name."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from facereg.errors import BrokenNetworkError, ClosedError, ContractError, UnknownNameError
from facereg.networks.spec import KNOWN_DIGITS, NetworkSpec, TensorSpec

Tensor = npt.NDArray[Any]


class Runner(ABC):
    """Runs one network. Safe to share between threads.

    A remote runner counts in `retries` the calls that it made again.
    """

    retries: int = 0

    def __init__(self, spec: NetworkSpec, *, fingerprint: str) -> None:
        self.spec = spec
        # sha256 of the weights in use; of a server's that are not here too, its first KNOWN_DIGITS digits
        self.fingerprint = fingerprint

    @final
    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the network on any number of rows, `spec.max_batch` at a time; no rows give empty outputs.

        Raises:
            ContractError: if a tensor is missing, or of a wrong dtype or shape.
            RunnerError: if the network fails.
            BrokenNetworkError: if it gives NaN, infinity or another shape than it declares.
        """
        batch = self._check(inputs)
        if batch == 0:
            return {t.name: np.empty((0, *(n or 0 for n in t.dims[1:])), t.dtype) for t in self.spec.outputs}
        if batch <= self.spec.max_batch:
            return self._checked(inputs, batch)
        parts = []
        for start in range(0, batch, self.spec.max_batch):
            part = {name: value[start : start + self.spec.max_batch] for name, value in inputs.items()}
            parts.append(self._checked(part, min(self.spec.max_batch, batch - start)))
        return {t.name: np.concatenate([part[t.name] for part in parts]) for t in self.spec.outputs}

    def _checked(self, inputs: Mapping[str, Tensor], batch: int) -> dict[str, Tensor]:
        outputs = self._infer(inputs)
        for tensor in self.spec.outputs:
            self._check_output(tensor, outputs[tensor.name], batch)
        return outputs

    @abstractmethod
    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the network on 1 to `spec.max_batch` rows; the inputs are checked already."""

    def close(self) -> None:  # noqa: B027  (a runner that holds nothing has nothing to free)
        """Free what the runner holds; closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _check_output(self, tensor: TensorSpec, value: Tensor, batch: int) -> None:
        wrong = None
        if value.ndim != len(tensor.dims) or any(
            n is not None and n != m for n, m in zip((batch, *tensor.dims[1:]), value.shape, strict=True)
        ):
            wrong = f"shape {(batch, *tensor.dims[1:])} (None: any), got {value.shape}"
        elif value.dtype.kind == "f" and not np.isfinite(value).all():
            wrong = "finite numbers, got NaN or infinity"
        if wrong is not None:
            raise BrokenNetworkError(
                f"{self.spec.title}: {tensor.name}: expected {wrong}; its weights (sha256 {self.fingerprint[:12]}) are "
                "damaged or of another network; copy them again"
            )

    def _check(self, inputs: Mapping[str, Tensor]) -> int:
        if set(inputs) != {t.name for t in self.spec.inputs}:
            raise ContractError(
                f"{self.spec.title}: expected the tensors {[t.name for t in self.spec.inputs]}, got {sorted(inputs)}"
            )
        sizes = {_check_tensor(self.spec.title, t, inputs[t.name]) for t in self.spec.inputs}
        if len(sizes) != 1:
            raise ContractError(f"{self.spec.title}: expected one batch size in all inputs, got {sorted(sizes)}")
        return sizes.pop()


def _check_tensor(network: str, tensor: TensorSpec, value: Tensor) -> int:
    if value.dtype != np.dtype(tensor.dtype):
        raise ContractError(f"{network}: {tensor.name}: expected {tensor.dtype}, got {value.dtype}")
    if value.ndim != len(tensor.dims) or any(
        n is not None and n != m for n, m in zip(tensor.dims[1:], value.shape[1:], strict=False)
    ):
        raise ContractError(f"{network}: {tensor.name}: expected shape {tensor.dims} (None: any), got {value.shape}")
    return int(value.shape[0])


class Networks:
    """The networks of one model, opened on first use by the setting the user chose.

    A plugin asks by name and never learns where the network runs: `networks["mtcnn-pnet"].infer(...)`.

    Args:
        specs: none by default: a model without networks.
        own_weights: the weights are the plugin's own, not a user's.
        in_flight: how many calls to make at once: 1 unless they run on a server.
    """

    def __init__(
        self,
        specs: Sequence[NetworkSpec] = (),
        open_network: Callable[[NetworkSpec], Runner] | None = None,
        *,
        own_weights: bool = True,
        in_flight: int = 1,
    ) -> None:
        self.specs = {spec.key: spec for spec in specs}
        self.own_weights = own_weights
        self.in_flight = in_flight
        self._open_network = open_network
        self._opened: dict[str, Runner] = {}
        self._around: Callable[[Runner], Runner] = lambda runner: runner
        self._retries = 0  # of runners that are closed
        self._lock = Lock()
        self._closed = False

    def __getitem__(self, name: str) -> Runner:
        if name not in self.specs or self._open_network is None:
            declared = ", ".join(self.specs) or "none"
            raise UnknownNameError(f"no network named {name!r} in this model; it declares: {declared}")
        with self._lock:
            if self._closed:
                raise ClosedError(f"{name}: this network is closed; make the model again")
            if name not in self._opened:
                self._opened[name] = self._around(self._open_network(self.specs[name]))
            return self._opened[name]

    def wrap(self, around: Callable[[Runner], Runner]) -> None:
        """Have `around(runner)` stand for each network opened from now on: to time, record or change its calls."""
        self._around = around

    @property
    def fingerprint(self) -> str:
        """Return what tells the weights in use from others: the beginning of their sha256 is the same on a server."""
        return joint_fingerprint([self[name].fingerprint for name in sorted(self.specs)])

    @property
    def retries(self) -> int:
        """Return how many calls were made again, by all runners opened so far."""
        with self._lock:
            return self._retries + sum(runner.retries for runner in self._opened.values())

    def close(self) -> None:
        """Close every network that was opened, for good."""
        with self._lock:
            self._closed = True
            while self._opened:
                runner = self._opened.popitem()[1]
                runner.close()
                self._retries += runner.retries


def joint_fingerprint(prints: Sequence[str]) -> str:
    """Return what tells the weights of several networks, in the order of their names, from others.

    Of one it is its own; of several the sha256 of what each one's weights are known by everywhere.
    """
    known = "\n".join(each[:KNOWN_DIGITS] for each in prints)
    return prints[0] if len(prints) == 1 else hashlib.sha256(known.encode()).hexdigest()
