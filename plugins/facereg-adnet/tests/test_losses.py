"""Losses against numbers worked out by hand, their gradients, and what must not change them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from facereg import Edge, layout

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from facereg_adnet.fitting import point_maps  # noqa: E402
from facereg_adnet.losses import (  # noqa: E402
    DISTANCES,
    WING,
    WING_CURVE,
    Distance,
    adaptive_wing,
    along_axes,
    direction,
    l2,
    neighbours,
    smooth_l1,
    star,
    tangents,
    wing,
)
from facereg_adnet.networks import StackMaps, soft_argmax  # noqa: E402
from torch import Tensor  # noqa: E402

NONE = torch.zeros(0)


def maps_of(heat: Tensor) -> StackMaps:
    return StackMaps(soft_argmax(heat), heat, NONE, NONE, NONE)


def placed(*points: tuple[float, float]) -> Tensor:
    rows: Tensor = torch.tensor([points], dtype=torch.float64)  # (1, P, 2)
    return rows


@pytest.mark.parametrize(
    ("length", "expected"), [(0.0, 0.0), (0.005, 0.00125), (0.01, 0.005), (0.03, 0.025)], ids=lambda value: f"{value:g}"
)
def test_smooth_l1_by_hand(length: float, expected: float) -> None:
    assert smooth_l1(torch.tensor(length**2, dtype=torch.float64)).item() == pytest.approx(expected)


def test_wing_is_a_logarithm_and_then_straight() -> None:
    lengths = torch.tensor([WING / 2, WING * (1 - 1e-9), WING, 2 * WING], dtype=torch.float64)
    half, before, at, twice = wing(lengths**2).tolist()
    assert half == pytest.approx(WING * math.log(1 + WING / 2 / WING_CURVE))
    assert before == pytest.approx(at)
    assert twice - at == pytest.approx(WING)


@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
def test_distances_have_gradients_at_zero(distance: Distance) -> None:
    squares = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    distance(squares).sum().backward()  # type: ignore[no-untyped-call]
    assert squares.grad is not None
    assert torch.isfinite(squares.grad).all()


def covariance(angle: float, major: float, minor: float) -> tuple[Tensor, Tensor, Tensor]:
    c, s = math.cos(angle), math.sin(angle)
    rows = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    matrix = rows @ torch.diag(torch.tensor([major, minor], dtype=torch.float64)) @ rows.T
    return matrix[0, 0], matrix[0, 1], matrix[1, 1]


def test_an_error_on_the_major_axis_is_all_along_it() -> None:
    """Of axes turned by 30 degrees: an error turned the other way would give itself away."""
    angle = math.radians(30)
    error = torch.tensor([2 * math.cos(angle), 2 * math.sin(angle)], dtype=torch.float64)
    values, squares = along_axes(error, *covariance(angle, 4.0, 1.0))
    assert values.tolist() == pytest.approx([4, 1], rel=1e-5)  # 1e-6 of MEETING
    assert squares.tolist() == pytest.approx([4, 0], abs=1e-5)


def test_axes_are_the_columns_of_the_eigenvectors() -> None:
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(200, 2, 2, dtype=torch.float64, generator=generator)
    matrices = factors @ factors.mT
    errors = torch.randn(200, 2, dtype=torch.float64, generator=generator)
    values, squares = along_axes(errors, matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1])
    expected, vectors = torch.linalg.eigh(matrices)  # ascending, vectors in columns
    projected = (vectors.mT @ errors[..., None])[..., 0] ** 2
    far = (expected[:, 1] - expected[:, 0]) / expected.sum(1) > 0.1  # where axes are well told apart
    assert far.sum() > 100
    assert values[far] == pytest.approx(expected[far].flip(1).numpy(), rel=1e-3, abs=1e-4)
    assert squares[far] == pytest.approx(projected[far].flip(1).numpy(), rel=1e-2, abs=1e-3)


def test_turning_error_and_covariance_together_changes_nothing() -> None:
    error = torch.tensor([0.3, -0.2], dtype=torch.float64)
    alone = along_axes(error, *covariance(0.0, 0.02, 0.005))
    for angle in (0.1, 0.7, 1.5, 2.0, 3.0, -0.4):
        c, s = math.cos(angle), math.sin(angle)
        turned = torch.tensor([[c, -s], [s, c]], dtype=torch.float64) @ error
        for one, other in zip(along_axes(turned, *covariance(angle, 0.02, 0.005)), alone, strict=True):
            assert one.tolist() == pytest.approx(other.tolist())


def test_where_eigenvalues_meet_values_and_gradients_are_finite() -> None:
    parts = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.01, 0.0, 0.01)]
    error = torch.tensor([0.3, 0.4], dtype=torch.float64, requires_grad=True)
    values, squares = along_axes(error, *parts)
    assert squares.tolist() == pytest.approx([0.125, 0.125])  # half of 0.25 each: there is no axis
    (squares.sqrt().sum() + values.sum()).backward()  # type: ignore[no-untyped-call]
    assert all(part.grad is not None and torch.isfinite(part.grad).all() for part in (*parts, error))
    empty = torch.zeros(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    star(maps_of(empty), placed((0.1, 0.2)), smooth_l1).sum().backward()  # type: ignore[no-untyped-call]
    assert empty.grad is not None
    assert torch.isfinite(empty.grad).all()


def two_cells() -> Tensor:
    """Half of the mass in each of two cells, at x = -0.25 and 0.25, y = 0.25: unbiased variances 0.125 and 0."""
    heat: Tensor = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    heat[0, 0, 2, 1] = heat[0, 0, 2, 2] = 3.0
    return heat


def test_star_by_hand() -> None:
    maps = maps_of(two_cells())
    along = star(maps, placed((0.1, 0.25)), smooth_l1).item()
    # an error of 0.1 is 0.095 in smooth L1; over the root of its variance, and the variances added
    assert along == pytest.approx(0.095 / math.sqrt(0.125) + 0.125, rel=1e-3)
    across = star(maps, placed((0.0, 0.35)), smooth_l1).item()
    assert across == pytest.approx(0.095 / math.sqrt(1e-5) + 0.125, rel=1e-2)  # EPS alone under the root
    first = star(maps, placed((0.1, 0.25)), smooth_l1, first=True).item()
    assert first == pytest.approx(0.1 / math.sqrt(0.125) - 0.005 + 0.125, rel=2e-3)  # MEETING squared over EPS


@pytest.mark.parametrize("first", [False, True], ids=["second", "first"])
def test_star_of_a_turned_face_is_the_same(first: bool) -> None:
    heat = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    targets = placed((0.1, 0.4), (-0.5, 0.2), (0.7, -0.6))
    turned = torch.stack([targets[..., 1], -targets[..., 0]], -1)  # by 90 degrees, as rot90 turns rows and columns
    alone = star(maps_of(heat), targets, smooth_l1, first=first)
    together = star(maps_of(heat.rot90(1, (2, 3))), turned, smooth_l1, first=first)
    assert together.tolist()[0] == pytest.approx(alone.tolist()[0])


@pytest.mark.parametrize("first", [False, True], ids=["second", "first"])
@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
def test_gradients_of_star(distance: Distance, first: bool) -> None:
    heat = torch.rand(1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 0.1
    targets = placed((0.2, 0.3), (-0.4, 0.1))

    def loss(values: Tensor) -> Tensor:
        return star(maps_of(values), targets, distance, first=first)

    assert torch.autograd.gradcheck(loss, heat.requires_grad_())


def test_the_direction_loss_by_hand() -> None:
    maps = StackMaps(placed((0.1, 0.0), (0.0, 0.1), (0.06, 0.08)), NONE, NONE, NONE, NONE)
    along = placed((1.0, 0.0), (1.0, 0.0), (0.0, 0.0))  # two on a level edge, one on none
    targets = torch.zeros_like(maps.points)
    fixed = direction(maps, targets, along, l2, None)
    assert fixed[0].tolist() == pytest.approx([0.01 * 2 / 3, 0.01 * 4 / 3, 0.01])  # lambda is 2
    # masses at x = +-0.5 and y = +-0.25 about the point found: variances 0.25 / 2 and 0.0625 / 2, so lambda is 4
    attended = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    middle = StackMaps(placed((0.125, 0.125)), NONE, NONE, NONE, NONE)
    attended[0, 0, 4, 2] = attended[0, 0, 4, 6] = attended[0, 0, 3, 4] = attended[0, 0, 5, 4] = 1.0
    across = direction(middle, placed((0.125, 0.025)), placed((1.0, 0.0)), l2, attended)
    assert across.item() == pytest.approx(0.01 * 2 * 4 / 5)


def test_gradients_of_the_direction_loss() -> None:
    targets, along = placed((0.2, 0.3), (-0.4, 0.1)), placed((0.6, 0.8), (0.0, 0.0))

    def loss(points: Tensor) -> Tensor:
        return direction(StackMaps(points, NONE, NONE, NONE, NONE), targets, along, smooth_l1, None)

    assert torch.autograd.gradcheck(loss, placed((0.25, 0.1), (-0.35, 0.3)).requires_grad_())


def test_edges_run_through_the_neighbours_of_a_point() -> None:
    beside = neighbours(layout("wflw-98"))
    assert beside[[0, 16, 32, 60, 67, 96]].tolist() == [[0, 1], [15, 17], [31, 32], [67, 61], [66, 60], [96, 96]]
    corner = replace(layout("cofw-29"), edges=(Edge((0, 1, 2)), Edge((3, 4, 5), closed=True)))
    points = torch.zeros(1, 29, 2)
    points[0, :6] = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 0], [2, 0], [1, 3]])
    directions = tangents(points, neighbours(corner))[0]
    half = math.sqrt(0.5)
    assert directions[:3].tolist() == [pytest.approx(row) for row in ([1, 0], [half, half], [0, 1])]
    assert directions[5].tolist() == pytest.approx([-1, 0], abs=1e-6)  # the tip of a level triangle
    assert directions[7].tolist() == [0, 0]


def test_adaptive_wing_by_hand() -> None:
    wanted = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    found = torch.full_like(wanted, 0.1)
    assert adaptive_wing(found, wanted).item() == pytest.approx(14 * math.log(1 + 0.1**2.1))
    wanted[0, 0, 2, 2] = 1.0  # nine places beside it count eleven times
    found = wanted.clone()
    found[0, 0, 1, 1] = 0.1
    assert adaptive_wing(found, wanted).item() == pytest.approx(11 * 14 * math.log(1 + 0.1**2.1) / 25, rel=1e-5)
    # from theta on straight, with the slope of the curve there: y = 0 gives 14 * 2.1 * 0.5 ** 1.1 / (1 + 0.5 ** 2.1)
    at, beyond = (adaptive_wing(torch.full_like(wanted, value), torch.zeros_like(wanted)) for value in (0.5, 0.7))
    assert at.item() == pytest.approx(14 * math.log(1 + 0.5**2.1))
    assert (beyond - at).item() == pytest.approx(0.2 * 14 * 2.1 * 0.5**1.1 / (1 + 0.5**2.1))


def test_gradients_of_adaptive_wing() -> None:
    generator = torch.Generator().manual_seed(3)
    found, wanted = (torch.rand(1, 1, 3, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    assert torch.autograd.gradcheck(lambda values: adaptive_wing(values, wanted), found.requires_grad_())


def test_maps_and_points_are_in_one_frame() -> None:
    """The published grid and targets are half a cell apart; here a point in the middle of a cell is exactly there."""
    point = torch.tensor([[[4 * 5 + 1.5, 4 * 3 + 1.5]]])  # px of a crop of 64, the middle of cell (5, 3)
    drawn = point_maps(point, 16, spread=0.75)
    assert drawn[0, 0].argmax().item() == 3 * 16 + 5
    assert drawn[0, 0, 3, 5].item() == 1
    target = (2 * point + 1) / 64 - 1
    assert soft_argmax(drawn)[0, 0].tolist() == pytest.approx(target[0, 0].tolist(), abs=1e-6)
    alone = torch.zeros(1, 1, 16, 16)
    alone[0, 0, 3, 5] = 2.0
    assert soft_argmax(alone).tolist() == target.tolist()
