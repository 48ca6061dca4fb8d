"""Where a network runs: in this process (ONNX Runtime, torch) or on a server."""

from facereg.runners.base import Networks, Runner
from facereg.runners.spec import NetworkSpec, TensorSpec

__all__ = ["NetworkSpec", "Networks", "Runner", "TensorSpec"]
