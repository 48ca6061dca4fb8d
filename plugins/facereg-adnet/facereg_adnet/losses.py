"""What the points and maps of a stack cost.

Points: STAR, by default in its second version (Zhou et al. 2023), or the anisotropic direction loss (Huang et al.
2021); maps: adaptive wing (Wang et al. 2019). Coordinates are in -1..1, the crop's outer corners. Distances take
squared lengths, so that no root has to be differentiated at zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from facereg import Layout
from facereg_adnet.networks import StackMaps, cell_centres, normalised

MAP_WEIGHT = 10.0  # of edge and of point maps, beside the points' 1 (ADNet)
SMALL = 0.01  # smooth L1: from where on it is straight (ADNet, STAR)
WING, WING_CURVE = 10 * 2 / 256, 2 * 2 / 256  # 10 px and 2 px of 256 (Feng et al. 2018, arXiv:1711.06753)
EPS = 1e-5  # of STAR
FIXED = 2.0  # lambda of the paper's direction loss
MEETING = 1e-3  # half the difference of two eigenvalues, over their mean, below which neither axis leads
OMEGA, THETA, EPSILON, ALPHA = 14.0, 0.5, 1.0, 2.1  # adaptive wing (Wang et al. 2019, arXiv:1904.07399)
NEAR, EXTRA = 0.2, 10.0  # its weights: places beside a map's value of NEAR count EXTRA times more

Distance = Callable[[Tensor], Tensor]  # of squared lengths


def smooth_l1(squares: Tensor) -> Tensor:
    """Return the smooth L1 of lengths: their squares over 2 SMALL up to SMALL, then straight."""
    return torch.where(squares < SMALL**2, squares * (0.5 / SMALL), squares.clamp(min=SMALL**2).sqrt() - 0.5 * SMALL)


def wing(squares: Tensor) -> Tensor:
    """Return the wing loss of lengths (Feng et al. 2018): a logarithm up to WING, then straight."""
    lengths = (squares + 1e-12).sqrt()
    offset = WING - WING * math.log1p(WING / WING_CURVE)
    return torch.where(lengths < WING, WING * torch.log1p(lengths / WING_CURVE), lengths - offset)


def l2(squares: Tensor) -> Tensor:
    """Return the squares."""
    return squares


DISTANCES: dict[str, Distance] = {"smooth-l1": smooth_l1, "wing": wing, "l2": l2}


def moments(shares: Tensor, middle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the second moments xx, xy, yy (B, P) about `middle` (B, P, 2) of maps (B, P, h, w) that sum to one."""
    xs = cell_centres(shares.shape[3], shares) - middle[..., :1]  # (B, P, w)
    ys = cell_centres(shares.shape[2], shares) - middle[..., 1:]
    xx = (shares.sum(2) * xs**2).sum(2)
    yy = (shares.sum(3) * ys**2).sum(2)
    xy = (torch.einsum("bphw,bpw->bph", shares, xs) * ys).sum(2)
    return xx, xy, yy


def along_axes(errors: Tensor, xx: Tensor, xy: Tensor, yy: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues (..., 2), larger first, of [[xx, xy], [xy, yy]], and the squares of errors along its axes.

    In closed form: the major axis lies at half the angle of (xx - yy, 2 xy), and the squared projection on a direction
    needs no more than the cosine and sine of twice its angle. Where the eigenvalues meet there is no axis, and both
    squares tend to half of the whole: values and gradients stay finite.

    Args:
        errors: (..., 2).
    """
    mean, half = (xx + yy) / 2, (xx - yy) / 2
    spread = (half**2 + xy**2 + (MEETING * mean) ** 2 + 1e-20).sqrt()
    cosine, sine = half / spread, xy / spread  # of twice the angle
    x, y = errors.unbind(-1)
    whole = (x**2 + y**2) / 2
    turned = ((x**2 - y**2) * cosine + 2 * x * y * sine) / 2
    return torch.stack([mean + spread, mean - spread], -1), torch.stack([whole + turned, whole - turned], -1)


def star(maps: StackMaps, targets: Tensor, distance: Distance, *, first: bool = False) -> Tensor:
    """Return the STAR loss (B, P): errors along the axes of a heat map, each over its spread, and the spread itself.

    Args:
        targets: (B, P, 2).
        first: the first version: the length of the scaled error, instead of the sum over its axes.
    """
    shares = normalised(maps.heat)
    total, squared = shares.sum((2, 3)) + EPS, (shares**2).sum((2, 3)) + EPS
    unbiased = total - squared / total
    xx, xy, yy = (value / unbiased for value in moments(shares, maps.points))
    values, squares = along_axes(targets - maps.points, xx, xy, yy)
    values = values.clamp(min=0)
    if first:
        return distance((squares / (values + EPS)).sum(-1)) + values.sum(-1)
    return (distance(squares) / (values + EPS).sqrt()).sum(-1) + values.sum(-1)


def neighbours(known: Layout) -> Tensor:
    """Return (P, 2) int64: the points before and after each on its first edge; itself where there is none."""
    rows = [[point, point] for point in range(known.points)]
    seen = set[int]()
    for edge in known.edges:
        order = edge.points
        for place, point in enumerate(order):
            if point in seen:
                continue
            seen.add(point)
            if place > 0 or edge.closed:
                rows[point][0] = order[place - 1]
            if place < len(order) - 1 or edge.closed:
                rows[point][1] = order[(place + 1) % len(order)]
    return torch.tensor(rows)


def tangents(points: Tensor, beside: Tensor) -> Tensor:
    """Return the unit direction (B, P, 2) of the edge at each labelled point (B, P, 2); zero where it is on none.

    Args:
        beside: of `neighbours`.
    """
    before, after = (F.normalize(points[:, beside[:, side]] - points, dim=-1) for side in (0, 1))
    return F.normalize(after - before, dim=-1)


def direction(maps: StackMaps, targets: Tensor, along: Tensor, distance: Distance, attended: Tensor | None) -> Tensor:
    """Return the anisotropic direction loss (B, P): errors across an edge count more than errors along it.

    Args:
        along: (B, P, 2) of `tangents`; where it is zero, errors count alike in all directions.
        attended: the last stack's mask, whose spread along and across the edge gives lambda, 1 to 9, as published;
            None takes the paper's fixed one.
    """
    errors = maps.points - targets
    across = torch.stack([-along[..., 1], along[..., 0]], -1)
    if attended is None:
        weight: Tensor | float = FIXED
    else:
        with torch.no_grad():
            xx, xy, yy = moments(normalised(attended), maps.points)
            spreads = [
                xx * axis[..., 0] ** 2 + 2 * xy * axis[..., 0] * axis[..., 1] + yy * axis[..., 1] ** 2
                for axis in (along, across)
            ]
            weight = (spreads[0] / spreads[1].clamp(min=1e-6)).clamp(1, 9)
    uneven = (2 * weight * (errors * across).sum(-1) ** 2 + 2 * (errors * along).sum(-1) ** 2) / (weight + 1)
    return distance(torch.where((along**2).sum(-1) > 0.25, uneven, (errors**2).sum(-1)))


def adaptive_wing(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean adaptive wing loss of maps (B, C, h, w) in 0..1, places near what is wanted weighted more."""
    error = (found - wanted).abs()
    power = ALPHA - wanted
    ratio = THETA / EPSILON
    steep = OMEGA * power * ratio ** (power - 1) / (1 + ratio**power) / EPSILON
    curved = OMEGA * torch.log1p((error.clamp(min=1e-8) / EPSILON) ** power)
    straight = steep * (error - THETA) + OMEGA * torch.log1p(ratio**power)
    weights = 1 + EXTRA * (F.max_pool2d(wanted, 3, 1, 1) >= NEAR).to(wanted.dtype)
    return (torch.where(error < THETA, curved, straight) * weights).mean()
