"""What an export leaves in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from facereg.networks.spec import NetworkSpec, TensorSpec

pytest.importorskip("torch")
pytestmark = pytest.mark.train


def test_an_exported_file_holds_no_path_of_the_machine(tmp_path: Path) -> None:
    import torch

    from facereg.training.export import export_onnx

    class Doubled(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * 2

    spec = NetworkSpec(
        name="doubled",
        inputs=(TensorSpec("images", "float32", (None, 4)),),
        outputs=(TensorSpec("twice", "float32", (None, 4)),),
        package="tests",
        file="doubled.onnx",
    )
    export_onnx(Doubled(), spec, tmp_path / spec.file)
    assert str(Path(__file__).parent).encode() not in (tmp_path / spec.file).read_bytes()
