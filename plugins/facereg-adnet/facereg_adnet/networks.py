"""ADNet in torch: stacked hourglasses whose heat maps attend to the edges and points of a face (Huang et al. 2021).

Written from the paper's figures and from what is known of the published network. Two things differ on purpose: no
block has layers that it does not use, and map cells and points are in one frame, where the published grid and targets
are half a cell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facereg import Layout, layout

STRIDE = 4  # px of the crop to a cell of the maps
LEVELS = 4  # times that an hourglass halves its maps
MULTIPLE = STRIDE * 2**LEVELS  # px; of the crop's side
WIDTH = 256  # channels, as published
EDGE_SEEN = 0.05  # of the edge maps: where any is over it, the next hourglass is told x and y once more


class StackMaps(NamedTuple):
    """What one stack says; maps are (B, ., S/4, S/4) in float32."""

    points: Tensor  # (B, P, 2) in -1..1, the crop's outer corners
    heat: Tensor  # (B, P, ...) fused: attended to by edges and points; not normalised
    mask: Tensor  # (B, P, ...) what attends: edges times points
    edge_logits: Tensor  # (B, E, ...)
    point_logits: Tensor  # (B, P, ...)


def cell_centres(size: int, like: Tensor) -> Tensor:
    """Return (size,), of the dtype of `like`: each cell's centre in -1..1, the outer sides of the first and last."""
    return (torch.arange(size, dtype=like.dtype, device=like.device) * 2 + 1) / size - 1


class CoordConv(nn.Module):
    """A convolution that is told where it is: x, y and the distance from the middle (Liu et al. 2018).

    Args:
        edges: two more channels for x and y where a map given at the call is over EDGE_SEEN.
    """

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1, *, edges: bool = False) -> None:
        super().__init__()
        self.edges = edges
        self.conv = nn.Conv2d(inputs + (5 if edges else 3), outputs, size, stride, size // 2)

    def forward(self, x: Tensor, edge: Tensor | None = None) -> Tensor:
        batch, _, height, width = x.shape
        columns = torch.linspace(-1, 1, width, device=x.device).expand(batch, 1, height, width)
        rows = torch.linspace(-1, 1, height, device=x.device)[:, None].expand(batch, 1, height, width)
        distance = (columns**2 + rows**2).sqrt() / 2**0.5  # 1 in the corners
        told = [columns, rows, distance]
        if self.edges and edge is not None:
            seen = edge.clamp(0, 1) > EDGE_SEEN  # (B, 1, h, w)
            told += [columns * seen, rows * seen]
        joined: Tensor = self.conv(torch.cat([x, *(part.to(x.dtype) for part in told)], 1))
        return joined


class Residual(nn.Module):
    """1x1, 3x3, 1x1, each after batch norm and ReLU (He et al. 2016), with a 1x1 past them where channels change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, half, 1)),
            *(nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1)),
            *(nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, outputs, 1)),
        )
        self.past: nn.Module = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x) + self.past(x)
        return y


class Hourglass(nn.Module):
    """Halves its maps level by level and adds each level's own back on the way up (Newell et al. 2016)."""

    def __init__(self, channels: int, levels: int = LEVELS) -> None:
        super().__init__()
        self.past, self.down, self.up = (Residual(channels, channels) for _ in range(3))
        self.inner: nn.Module = Hourglass(channels, levels - 1) if levels > 1 else Residual(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        below = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        joined: Tensor = self.past(x) + F.interpolate(below, size=x.shape[2:], mode="nearest")
        return joined


class Stack(nn.Module):
    """One hourglass, its three heads, and what attends to what."""

    points_from_edges: Tensor  # (P, E): 1 where a point is on an edge
    off_edges: Tensor  # (P, 1, 1): 1 for points that are on none

    def __init__(self, known: Layout, width: int, *, first: bool) -> None:
        super().__init__()
        edges, points = len(known.edges), known.points
        self.begin = CoordConv(width, width, edges=not first)
        self.hourglass = Hourglass(width)
        self.features = nn.Sequential(
            Residual(width, width), nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.heat, self.edges, self.points = (nn.Conv2d(width, count, 1) for count in (points, edges, points))
        on = torch.zeros(points, edges)
        for number, edge in enumerate(known.edges):
            on[list(edge.points), number] = 1
        self.register_buffer("points_from_edges", on, persistent=False)
        self.register_buffer("off_edges", (on.sum(1) == 0).float()[:, None, None], persistent=False)

    def forward(self, x: Tensor, edge: Tensor | None) -> tuple[Tensor, StackMaps, Tensor]:
        """Return the features (B, width, h, w), the maps, and the raw heat maps as the next stack is shown them."""
        features = self.features(self.hourglass(self.begin(x, edge)))
        heat, edge_logits, point_logits = self.heat(features), self.edges(features), self.points(features)
        with torch.autocast(heat.device.type, enabled=False):
            raw = F.relu(F.instance_norm(heat.float()))
            edge_logits, point_logits = edge_logits.float(), point_logits.float()
            attended = torch.einsum("pe,behw->bphw", self.points_from_edges, edge_logits.sigmoid()) + self.off_edges
            mask = attended * point_logits.sigmoid()
            fused = mask * raw
            return features, StackMaps(soft_argmax(fused), fused, mask, edge_logits, point_logits), raw


def soft_argmax(heat: Tensor) -> Tensor:
    """Return the mean place (B, P, 2) in -1..1 of heat maps (B, P, h, w) that are not negative."""
    shares = normalised(heat)
    x = torch.einsum("bphw,w->bp", shares, cell_centres(heat.shape[3], heat))
    y = torch.einsum("bphw,h->bp", shares, cell_centres(heat.shape[2], heat))
    return torch.stack([x, y], -1)


def normalised(heat: Tensor) -> Tensor:
    """Return heat maps (B, P, h, w) that sum to one each, or to zero where they are empty."""
    return heat / heat.sum((2, 3), keepdim=True).clamp(min=1e-6)


class Merge(nn.Module):
    """What one stack tells the next: the sum of 1x1 convolutions of its features and maps."""

    def __init__(self, inputs: Sequence[int], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(count, width, 1) for count in inputs)

    def forward(self, *shown: Tensor) -> Tensor:
        return torch.stack([layer(part) for layer, part in zip(self.layers, shown, strict=True)]).sum(0)


class AdNet(nn.Module):
    """Stacked hourglasses with the anisotropic attention module.

    Args:
        known: the layout of its points.
        stacks: hourglasses, one after the other; the last one's points count.
        width: channels of the maps, a multiple of 4.
    """

    def __init__(self, known: Layout, *, stacks: int = 4, width: int = WIDTH) -> None:
        super().__init__()
        self.layout, self.width = known, width
        first = width // 4
        self.stem = nn.Sequential(
            *(CoordConv(3, first, 7, 2), nn.BatchNorm2d(first), nn.ReLU()),
            *(Residual(first, width // 2), nn.MaxPool2d(2)),
            *(Residual(width // 2, width // 2), Residual(width // 2, width)),
        )
        self.stacks = nn.ModuleList(Stack(known, width, first=index == 0) for index in range(stacks))
        shown = (width, known.points, len(known.edges), known.points)
        self.merges = nn.ModuleList(Merge(shown, width) for _ in range(stacks - 1))

    def forward(self, pixels: Tensor) -> list[StackMaps]:
        """Return what each stack says of (B, 3, S, S) pixels in -1..1; S is a multiple of 64."""
        x = self.stem(pixels)
        edge, found = None, []
        for index, stack in enumerate(self.stacks):
            features, maps, raw = stack(x, edge)
            found.append(maps)
            if index < len(self.merges):
                edges = maps.edge_logits.sigmoid()
                edge = edges.amax(1, keepdim=True)
                x = x + self.merges[index](features, raw, edges, maps.point_logits.sigmoid())
        return found


class DeployedAdNet(nn.Module):
    """Crops in, points in px of the crop and the peak of each point's map out.

    It takes the stacks and channels of the weights that it is given.
    """

    def __init__(self, network: AdNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (B, P, 2) and scores (B, P) for (B, S, S, 3) uint8 RGB."""
        maps = self.network(images.permute(0, 3, 1, 2).float() / 127.5 - 1)[-1]
        points = (maps.points + 1) * images.shape[2] / 2 - 0.5
        return points, maps.point_logits.sigmoid().amax((2, 3))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Become a network of as many stacks and channels as the state is of, and fill it."""
        stacks = {key.split(".")[2] for key in state_dict if key.startswith("network.stacks.")}
        features = state_dict.get("network.stacks.0.features.1.bias")
        if stacks and features is not None:
            self.network = AdNet(self.network.layout, stacks=len(stacks), width=len(features))
        return super().load_state_dict(state_dict, strict, assign)


def build_68() -> DeployedAdNet:
    """Return the module behind `adnet-68`, without weights."""
    return DeployedAdNet(AdNet(layout("300w-68"))).eval()


def build_98() -> DeployedAdNet:
    """Return the module behind `adnet-98`, without weights."""
    return DeployedAdNet(AdNet(layout("wflw-98"))).eval()
