"""Memory that this process and a Triton server both map: tensors lie there instead of crossing a socket."""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import numpy.typing as npt

from facereg.errors import DeviceError, MissingExtraError
from facereg.runners.base import Tensor
from facereg.runners.transport import Transport, TransportError

PAGE = 4096


class Region(ABC):
    """A piece of memory under a name that is never used again."""

    def __init__(self, size: int) -> None:
        self.name, self.size = f"facereg-{uuid.uuid4().hex}", size

    @abstractmethod
    def register(self, client: Any) -> None:
        """Let the server map it."""

    @abstractmethod
    def known(self, client: Any) -> None:
        """Raise if the server does not map it."""

    @abstractmethod
    def unregister(self, client: Any) -> None:
        """Let the server forget it; refused while a request uses it."""

    @abstractmethod
    def write(self, offset: int, value: Tensor) -> None:
        """Put a tensor there."""

    @abstractmethod
    def read(self, offset: int, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Tensor:
        """Return a copy of a tensor."""

    @abstractmethod
    def free(self) -> None:
        """Give the memory back; what the server still maps stays its own."""


class SystemRegion(Region):
    """POSIX shared memory."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._memory = SharedMemory(self.name, create=True, size=size)

    def register(self, client: Any) -> None:
        client.register_system_shared_memory(self.name, f"/{self.name}", self.size)

    def known(self, client: Any) -> None:
        client.get_system_shared_memory_status(self.name)

    def unregister(self, client: Any) -> None:
        client.unregister_system_shared_memory(self.name)

    def write(self, offset: int, value: Tensor) -> None:
        np.ndarray(value.shape, value.dtype, buffer=self._memory.buf, offset=offset)[...] = value

    def read(self, offset: int, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Tensor:
        return np.ndarray(shape, dtype, buffer=self._memory.buf, offset=offset).copy()

    def free(self) -> None:
        self._memory.close()
        self._memory.unlink()


class CudaRegion(Region):
    """Memory of the first GPU."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._cuda = _cuda_module()
        self._handle = self._cuda.create_shared_memory_region(self.name, size, 0)

    def register(self, client: Any) -> None:
        raw = self._cuda.get_raw_handle(self._handle)
        client.register_cuda_shared_memory(self.name, raw, 0, self.size)

    def known(self, client: Any) -> None:
        client.get_cuda_shared_memory_status(self.name)

    def unregister(self, client: Any) -> None:
        client.unregister_cuda_shared_memory(self.name)

    def write(self, offset: int, value: Tensor) -> None:
        self._cuda.set_shared_memory_region(self._handle, [np.ascontiguousarray(value)], offset)

    def read(self, offset: int, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Tensor:
        return np.array(self._cuda.get_contents_as_numpy(self._handle, np.dtype(dtype), list(shape), offset))

    def free(self) -> None:
        self._cuda.destroy_shared_memory_region(self._handle)


class RegionPool:
    """Regions that are registered with a server, each lent to one request at a time."""

    def __init__(self, transport: Transport, kind: type[Region]) -> None:
        self._transport, self._kind = transport, kind
        self._free: list[Region] = []
        self._retired: list[Region] = []  # the server may still write into its own mapping of these
        self._lock = threading.Lock()

    def take(self, size: int, timeout_s: float) -> Region:
        """Return a region of at least `size` bytes that nobody uses; raises TransportError."""
        with self._lock:
            fitting = [region for region in self._free if region.size >= size]
            if fitting:
                region = min(fitting, key=lambda each: each.size)
                self._free.remove(region)
                return region
            smaller = self._free.pop() if self._free else None
        if smaller is not None:
            self.retire(smaller)
        region = self._kind(-(-size // PAGE) * PAGE)
        try:
            self._transport.ask(region.register, timeout_s)
        except BaseException:
            region.free()
            raise
        return region

    def give(self, region: Region) -> None:
        """Take back a region whose request was answered."""
        with self._lock:
            self._free.append(region)

    def lost(self, region: Region, timeout_s: float) -> bool:
        """Return whether the server no longer knows a region, as after a restart."""
        try:
            self._transport.ask(region.known, timeout_s)
        except TransportError as error:
            return error.cause in ("missing", "refused")
        return False

    def retire(self, region: Region) -> None:
        """Never lend a region again: a request without an answer may yet write into it."""
        region.free()
        with self._lock:
            waiting, self._retired = [*self._retired, region], []
        for each in waiting:
            try:
                self._transport.ask(each.unregister, 1.0)
            except TransportError as error:
                if error.cause not in ("missing", "lost"):  # in use still: try at the next turn
                    with self._lock:
                        self._retired.append(each)

    def close(self) -> None:
        """Free every region."""
        with self._lock:
            regions, self._free = self._free, []
        for region in regions:
            self.retire(region)


def region_pool(transport: Transport) -> RegionPool | None:
    """Return the pool that the address asks for, if it does.

    Raises:
        DeviceError: if the GPU's memory is asked for and there is no GPU.
        MissingExtraError: if it is asked for and cuda-python is not installed.
    """
    if transport.address.shared_memory == "none":
        return None
    if transport.address.shared_memory == "system":
        return RegionPool(transport, SystemRegion)
    _cuda_module()
    return RegionPool(transport, CudaRegion)


def _cuda_module() -> Any:
    try:
        from cuda.bindings import runtime  # what tritonclient's module builds on
    except ImportError as error:
        raise MissingExtraError("shared_memory=cuda needs cuda-python; pip install 'tritonclient[cuda]'") from error
    try:
        found, count = runtime.cudaGetDeviceCount()
    except RuntimeError as error:  # no driver library at all
        raise DeviceError(_NO_GPU) from error
    if int(found) != 0 or count < 1:
        raise DeviceError(_NO_GPU)
    from tritonclient.utils import cuda_shared_memory

    return cuda_shared_memory


_NO_GPU = "shared_memory=cuda was asked for, but this machine has no GPU that CUDA can use; use shared_memory=system"
