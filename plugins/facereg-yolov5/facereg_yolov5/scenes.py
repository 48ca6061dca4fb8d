"""Training scenes: four pictures about a point or one alone, placed, mirrored and recoloured, on any device.

What a scene shows is planned on the CPU, in a few arrays; its pixels are gathered where the pictures are. The
plan is a function of a seed, so that a resumed run sees what it would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from facereg import MIRRORED, BoolArray, FloatArray, IntArray
from facereg_yolov5.detector import GREY
from facereg_yolov5.losses import Labels
from facereg_yolov5.pictures import LEVELS, Pictures

Doubles = npt.NDArray[np.float64]
CHUNK = 8_000_000  # output pixels gathered at a time; bounds memory
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
NEAR = 0.25, 0.75  # where the point between four pictures may lie, as shares of the side


@dataclass(frozen=True, slots=True)
class Look:
    """How scenes are made."""

    size: int = 640  # px
    mosaic: float = 0.5  # share of scenes with four pictures (YOLO5Face)
    smallest: float = 0.25  # of the scene, the longer side of a picture shown smallest
    largest: float = 2.0  # and shown largest, when only a part of it is seen
    hand: float = 0.5  # share of pictures drawn from those with boxes by hand
    visible: float = 0.4  # share of a face that must be seen for it to count; less is ignored
    least: float = 4.0  # px; smaller faces are ignored
    hue: float = 0.015  # shares of a turn and gains of saturation and value (YOLO5Face)
    saturation: float = 0.7
    value: float = 0.4
    blur: float = 0.1  # share of scenes blurred
    noise: float = 0.2  # share of scenes with noise


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """B scenes of four tiles: top left, top right, bottom left, bottom right.

    Args:
        middle: (B, 2) int64; the tiles meet at this pixel corner. A picture alone has it at the bottom right.
        picture: (B, 4) int64.
        ratio: (B, 4) float64; px of the scene for one of the picture.
        origin: (B, 4, 2) float64; where the corner of the picture lies.
        mirrored: (B, 4) bool.
    """

    size: int
    middle: IntArray
    picture: IntArray
    ratio: Doubles
    origin: Doubles
    mirrored: BoolArray

    @property
    def tiles(self) -> IntArray:
        """Return (B, 4, 2, 2): the first and the last corner of each tile, x and y."""
        return tiles_about(self.middle, self.size)


def tiles_about(middle: IntArray, size: int) -> IntArray:
    """Return (B, 4, 2, 2) corners of the tiles that meet at `middle` (B, 2)."""
    x, y = middle[:, 0], middle[:, 1]
    zero, end = np.zeros_like(x), np.full_like(x, size)
    corners = [(zero, zero, x, y), (x, zero, end, y), (zero, y, x, end), (x, y, end, end)]
    return np.stack([np.stack(four, 1) for four in corners], 1).reshape(-1, 4, 2, 2)


def plan_scenes(pictures: Pictures, count: int, look: Look, rng: np.random.Generator) -> Plan:
    """Draw `count` scenes. A picture smaller than its tile lies in it anywhere; of a larger one some part is seen."""
    near, far = (round(look.size * share) for share in NEAR)
    middle = rng.integers(near, far + 1, (count, 2))
    middle[rng.random(count) >= look.mosaic] = look.size
    hand = pictures.pack.hand
    by_hand = rng.random((count, 4)) < (look.hand if hand < len(pictures) else 1.0)
    by_hand &= hand > 0
    low, high = np.where(by_hand, 0, hand % len(pictures)), np.where(by_hand, hand, len(pictures))
    picture = rng.integers(low, high)
    sides = pictures.sides[picture, 0]  # (B, 4, 2)
    share = np.exp(rng.uniform(math.log(look.smallest), math.log(look.largest), (count, 4)))
    ratio = share * look.size / sides.max(2)
    tiles = tiles_about(middle, look.size)
    flush_first, flush_last = tiles[:, :, 0], tiles[:, :, 1] - sides * ratio[..., None]
    origin = rng.uniform(np.minimum(flush_first, flush_last), np.maximum(flush_first, flush_last))
    return Plan(look.size, middle, picture, ratio, origin, rng.random((count, 4)) < 0.5)


def place_faces(pictures: Pictures, plan: Plan, look: Look) -> Labels:
    """Return the faces of the scenes; those hardly seen or too small are ignored ones."""
    pack, picture = pictures.pack, plan.picture.reshape(-1)
    first = np.cumsum(pack.faces) - pack.faces
    counts = pack.faces[picture]
    tile = np.repeat(np.arange(len(picture)), counts)  # (T,) rows of the B * 4 tiles
    rows = np.arange(len(tile)) - np.repeat(np.cumsum(counts) - counts, counts) + first[picture[tile]]
    boxes, points = pack.boxes[rows].reshape(-1, 2, 2), pack.points[rows]
    turned = plan.mirrored.reshape(-1)[tile]
    width = pictures.sides[picture[tile], 0, 0][turned]
    boxes[turned] = _mirror(boxes[turned], width)[:, ::-1] * [1, 0] + boxes[turned] * [0, 1]
    points[turned] = _mirror(points[turned], width)[:, MIRRORED]
    ratio, origin = plan.ratio.reshape(-1)[tile, None, None], plan.origin.reshape(-1, 1, 2)[tile]
    whole, marks = ((values + 0.5) * ratio + origin - 0.5 for values in (boxes, points))
    edges = plan.tiles.reshape(-1, 2, 2)[tile] - 0.5  # of the tile, with pixel centres at integers
    seen = np.clip(whole, edges[:, :1], edges[:, 1:])
    share = (seen[:, 1] - seen[:, 0]).prod(1) / np.maximum((whole[:, 1] - whole[:, 0]).prod(1), 1e-6)
    counted = ~pack.ignored[rows] & (share >= look.visible) & ((seen[:, 1] - seen[:, 0]).min(1) >= look.least)
    ignored = ~counted & (share > 0)
    marks[((marks < edges[:, :1]) | (marks > edges[:, 1:])).any(2)] = np.nan
    return Labels(
        torch.from_numpy(seen[counted].reshape(-1, 4).astype(np.float32)),
        torch.from_numpy(marks[counted].astype(np.float32)),
        torch.from_numpy(tile[counted] // 4),
        torch.from_numpy(seen[ignored].reshape(-1, 4).astype(np.float32)),
        torch.from_numpy(tile[ignored] // 4),
    )


def _mirror(points: FloatArray, width: IntArray) -> FloatArray:
    mirrored = points.copy()
    mirrored[..., 0] = width[:, None] - 1 - points[..., 0]
    return mirrored


def draw_pixels(pictures: Pictures, plan: Plan) -> Tensor:
    """Return the scenes (B, 3, S, S) float32 in 0..255, where the pictures' pixels are."""
    rows = max(1, CHUNK // plan.size**2)
    parts = range(0, len(plan.middle), rows)
    return torch.cat([_draw_some(pictures, plan, slice(start, start + rows)) for start in parts])


def _draw_some(pictures: Pictures, plan: Plan, part: slice) -> Tensor:
    device = pictures.pixels.device
    picture = plan.picture[part]
    level = np.clip(np.floor(np.log2(1 / plan.ratio[part])), 0, LEVELS - 1).astype(np.int64)  # (b, 4)
    sides = pictures.sides[picture, level]  # (b, 4, 2)
    ratio = plan.ratio[part][..., None] * pictures.sides[picture, 0] / sides  # (b, 4, 2) scene over level
    sign = np.where(plan.mirrored[part], -1.0, 1.0)
    # level's x = slope * scene's x + shift, both measured from corners; mirrored pictures count from the right
    slope = np.stack([sign, np.ones_like(sign)], -1) / ratio
    shift = -plan.origin[part] * slope + np.where(sign < 0, 1, 0)[..., None] * sides * [1, 0]
    tile = _tile_of(plan, part, device)  # (b, S * S)

    def spread(values: IntArray | Doubles, kind: torch.dtype) -> Tensor:
        return torch.as_tensor(values, dtype=kind, device=device).gather(1, tile)

    grid = torch.arange(plan.size, device=device) + 0.5
    x, y = grid.repeat(plan.size), grid.repeat_interleave(plan.size)  # (S * S,)
    starts, wide = spread(pictures.starts[picture, level], torch.int64), spread(sides[..., 0], torch.int64)
    high = spread(sides[..., 1], torch.int64)
    u = x * spread(slope[..., 0], torch.float32) + spread(shift[..., 0], torch.float32)
    v = y * spread(slope[..., 1], torch.float32) + spread(shift[..., 1], torch.float32)
    inside = (u >= 0) & (u <= wide) & (v >= 0) & (v <= high)
    u, v = u - 0.5, v - 0.5
    left, top = u.floor(), v.floor()
    across, down = (u - left)[..., None], (v - top)[..., None]
    left, top = left.long(), top.long()

    def at(column: Tensor, row: Tensor) -> Tensor:
        column, row = column.clamp(min=0).minimum(wide - 1), row.clamp(min=0).minimum(high - 1)
        place = (starts + row * wide + column) * inside
        return pictures.pixels[place].float()  # (b, S * S, 3)

    upper = torch.lerp(at(left, top), at(left + 1, top), across)
    lower = torch.lerp(at(left, top + 1), at(left + 1, top + 1), across)
    pixels = torch.where(inside[..., None], torch.lerp(upper, lower, down), float(GREY))
    return pixels.permute(0, 2, 1).reshape(-1, 3, plan.size, plan.size)


def _tile_of(plan: Plan, part: slice, device: torch.device) -> Tensor:
    """Return (b, S * S) int64: the tile, 0 to 3, that each pixel belongs to."""
    middle = torch.as_tensor(plan.middle[part], device=device)
    grid = torch.arange(plan.size, device=device)
    right, below = (grid >= middle[:, :1]).long(), (grid >= middle[:, 1:]).long()  # (b, S)
    return (2 * below[:, :, None] + right[:, None]).flatten(1)


def change_light(pixels: Tensor, look: Look, rng: np.random.Generator) -> Tensor:
    """Return scenes (B, 3, S, S) in 0..255 with hue, saturation and value changed, some blurred, some with noise."""
    count, device = len(pixels), pixels.device
    matrices = colour_matrices(
        rng.uniform(-look.hue, look.hue, count),
        rng.uniform(1 - look.saturation, 1 + look.saturation, count),
        rng.uniform(1 - look.value, 1 + look.value, count),
    )
    pixels = torch.einsum("bij,bjhw->bihw", torch.as_tensor(matrices, dtype=torch.float32, device=device), pixels)
    blurred = torch.from_numpy(np.flatnonzero(rng.random(count) < look.blur)).to(device)
    if len(blurred):
        pixels[blurred] = functional.gaussian_blur(pixels[blurred], [7, 7], [float(rng.uniform(0.5, 2.5))])
    strength = np.where(rng.random(count) < look.noise, rng.uniform(2, 15, count), 0.0)
    if strength.any():
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(pixels.shape, generator=generator, device=device)
        pixels = pixels + noise * torch.as_tensor(strength, dtype=torch.float32, device=device)[:, None, None, None]
    return pixels.clamp(0, 255)


def colour_matrices(hue: Doubles, saturation: Doubles, value: Doubles) -> Doubles:
    """Return (B, 3, 3) matrices on RGB: a turn about the grey axis, distance from grey, and brightness.

    Args:
        hue: (B,) shares of a turn.
        saturation, value: (B,) factors.
    """
    axis = np.full(3, 1 / math.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    angle = 2 * math.pi * np.asarray(hue)[:, None, None]
    # Rodrigues' formula
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    grey = np.tile(np.array(LUMA), (3, 1))
    matrices: Doubles = np.asarray(value)[:, None, None] * (
        grey + np.asarray(saturation)[:, None, None] * (turn @ (np.eye(3) - grey))
    )
    return matrices
