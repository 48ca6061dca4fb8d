"""What a training starts from."""

from __future__ import annotations

from pathlib import Path

from torchvision.models.detection.ssd import SSD

from facereg import WeightsError
from facereg.training import load_checkpoint, read_checkpoint
from facereg_ssd.networks import DeployedSsd, vgg_convolutions

VGG_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # the convolutions of torchvision's vgg16().features


def load_network(network: SSD, path: Path) -> None:
    """Fill a network from the ONNX or `.safetensors` file of a run, or its VGG16 part from torchvision's features.

    Raises:
        WeightsError: if the file is missing or of another network.
    """
    if not path.is_file():
        raise WeightsError(f"init: expected a file of weights, found none at {path}; check --set init")
    if path.suffix in (".onnx", ".safetensors"):
        load_checkpoint(DeployedSsd(network), path)
        return
    state = read_checkpoint(path, expected="VGG16's weights as torchvision names them")
    try:
        for convolution, layer in zip(vgg_convolutions(network), VGG_LAYERS, strict=True):
            convolution.load_state_dict({name: state[f"features.{layer}.{name}"] for name in ("weight", "bias")})
    except (RuntimeError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: expected VGG16's weights as torchvision names them, got something else") from error
