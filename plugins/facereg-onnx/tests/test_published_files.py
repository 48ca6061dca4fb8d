"""A network of each published layout, made here with known answers: described, written as a pipeline, run as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from facereg_onnx import decoding
from facereg_onnx.detectors import Scrfd
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from facereg.builtin.landmarks import LandmarkAligner
from facereg.cli.app import app
from facereg.errors import ContractError, WeightsError
from facereg.images import write_image
from facereg.networks.opening import Where, open_network
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.composition import Composition
from facereg.pipeline.describing import DescribedFile, PassedOver, describe_files, write_pipeline
from facereg.registry.installed import default_registry
from facereg.serving.check import inputs_from_picture, sized
from facereg.serving.repository import build_repository, models_of
from facereg.testing.pictures import placed, portraits
from facereg.types import Faces, Image

WIDTH, HEIGHT = 96, 64  # px; multiples of every stride
COLUMN, ROW = 5, 3  # cell of 8 px that is painted
COLOURS = {"RGB": 0, "BGR": 2}  # the channel painted, so that the file sees it first
POINTS = np.array([[0, 0], [1, 0], [0.5, 0.5], [0, 1], [1, 1]], np.float32)


class Toy:
    """A network that sees one thing: how much of its first channel there is in each cell.

    Args:
        dims: of its input; None is open, and the first the batch.
        with_batch: whether its heads have the batch's axis; else the rows of all pictures lie under one another.
        low, high: what the first channel is where nothing is painted and where all is, once the pixels are scaled.
    """

    def __init__(self, *dims: int | None, with_batch: bool = True, low: float = 0.0, high: float = 1.0) -> None:
        self.dims, self.with_batch, self.low, self.high, self.opset = dims, with_batch, low, high, 17
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def constant(self, values: object, kind: npt.DTypeLike = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.array(values, kind), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [f"n{len(self.nodes)}"], **attributes))
        return str(self.nodes[-1].output[0])

    def seen(self, stride: int) -> str:
        """Return how much of the first channel there is in each cell, 0..1: (N, cells, 1)."""
        first = self.add("Gather", "data", self.constant([0], np.int64), axis=1)
        pooled = self.add("AveragePool", first, kernel_shape=[stride, stride], strides=[stride, stride])
        share = self.add("Div", self.add("Sub", pooled, self.constant(self.low)), self.constant(self.high - self.low))
        return self.add("Reshape", share, self.constant([self.dims[0] or 0, -1, 1], np.int64))

    def reshaped(self, name: str, tail: Sequence[int]) -> str:
        """Return a tensor with other axes behind its batch, stated as an export with that batch states it."""
        shape = [self.dims[0] or 0, *tail] if self.with_batch else tail
        return self.add("Reshape", name, self.constant(shape, np.int64))

    def scores(self, stride: int, shares: Sequence[float]) -> str:
        """Return a score for each anchor of each cell: (N, cells * anchors, 1)."""
        return self.reshaped(self.add("Mul", self.seen(stride), self.constant([[shares]])), [-1, 1])

    def alike(self, stride: int, rows: object) -> str:
        """Return the same rows (anchors, C), or all of them (cells, C), for each picture: (N, cells * anchors, C)."""
        table = np.array(rows, np.float32)
        nothing = self.add("Mul", self.seen(stride), self.constant(0.0))
        whole = table[None] if len(table) > 2 else table.reshape(1, 1, -1)
        return self.reshaped(self.add("Add", nothing, self.constant(whole)), [-1, table.shape[1]])

    def give(self, name: str, *dims: int | None) -> None:
        sizes = [f"d{axis}" if size is None else size for axis, size in enumerate(dims)]
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes))

    def write(self, path: Path) -> Path:
        sizes = [f"i{axis}" if size is None else size for axis, size in enumerate(self.dims)]
        data = helper.make_tensor_value_info("data", TensorProto.FLOAT, sizes)
        graph = helper.make_graph(self.nodes, "toy", [data], self.outputs, self.constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8), path)
        return path


def scrfd(path: Path, *, by_stride: bool = False, batch: int | None = None, with_batch: bool = True) -> Path:
    """Write an SCRFD network: two anchors a cell, the second worth nothing; nine outputs in one of the two orders."""
    toy = Toy(batch, 3, None, None, with_batch=with_batch, low=-127.5 / 128, high=127.5 / 128)
    heads = {}
    for stride in (8, 16, 32):
        anchors = {1: toy.scores(stride, [1, 0.1]), 4: toy.alike(stride, [[1, 2, 3, 4]] * 2)}
        anchors[10] = toy.alike(stride, [POINTS.ravel()] * 2)
        for width, name in anchors.items():
            heads[stride, width] = name
    strides, widths = (8, 16, 32), (1, 4, 10)
    order = [(s, w) for s in strides for w in widths] if by_stride else [(s, w) for w in widths for s in strides]
    for stride, width in order:
        rows = 2 * 640 // stride * 640 // stride  # as InsightFace's files say of any picture
        toy.give(heads[stride, width], *([batch, None] if with_batch else [rows]), width)
    return toy.write(path)


def retinaface(path: Path) -> Path:
    """Write a RetinaFace network: the first prior of a cell moved to the right and twice as wide, the second not."""
    toy = Toy(1, 3, HEIGHT, WIDTH, low=-104, high=255 - 104)  # blue
    parts: dict[int, list[str]] = {4: [], 2: [], 10: []}
    for stride in (8, 16, 32):
        score = toy.scores(stride, [1, 0.1])
        parts[2].append(toy.add("Concat", toy.add("Sub", toy.constant(1.0), score), score, axis=2))
        parts[4].append(toy.alike(stride, [[5, 0, np.log(2) / 0.2, 0]] * 2))
        parts[10].append(toy.alike(stride, [10 * POINTS.ravel()] * 2))
    for width, names in parts.items():
        toy.give(toy.add("Concat", *names, axis=1), 1, 2 * (96 + 24 + 6), width)
    return toy.write(path)


def yolo_rows() -> npt.NDArray[np.float32]:
    """Return x y w h and five points of each cell of 8 px, (96, 14): boxes of 16 x 32 px about the cell's corner."""
    y, x = np.divmod(np.arange(WIDTH * HEIGHT // 64), WIDTH // 8)
    corner = np.stack([x, y], 1).astype(np.float32) * 8
    sides = np.tile(np.array([16, 32], np.float32), (len(corner), 1))
    return np.concatenate([corner, sides, (corner[:, None] + 8 * POINTS).reshape(-1, 10)], 1)


def yolov5(path: Path) -> Path:
    """Write a YOLOv5-face network: rows of x y w h, object, points, class, which is one half."""
    toy, rows = Toy(1, 3, HEIGHT, WIDTH), yolo_rows()
    before, behind = toy.alike(8, rows[:, :4]), toy.alike(8, rows[:, 4:])
    score = toy.scores(8, [1])
    half = toy.alike(8, np.full((len(rows), 1), 0.5))
    double = toy.add("Mul", score, toy.constant(1.5))
    toy.give(toy.add("Concat", before, double, behind, half, axis=2), 1, len(rows), 16)
    return toy.write(path)


def yolov8(path: Path) -> Path:
    """Write a YOLOv8-face network: columns of x y w h, score, points each with how visible it is."""
    toy, rows = Toy(1, 3, HEIGHT, WIDTH), yolo_rows()
    points = np.concatenate([rows[:, 4:].reshape(-1, 5, 2), np.full((len(rows), 5, 1), 0.9)], 2).reshape(-1, 15)
    parts = [toy.alike(8, rows[:, :4]), toy.scores(8, [1]), toy.alike(8, points)]
    toy.give(toy.add("Transpose", toy.add("Concat", *parts, axis=2), perm=[0, 2, 1]), 1, 20, len(rows))
    return toy.write(path)


def embedder(
    path: Path,
    size: int = 112,
    *,
    batch: int | None = None,
    last: bool = False,
    scales: bool = False,
    more: bool = False,
) -> Path:
    """Write an embedder: the first 64 pixels of the first row and channel; `more`: their sum beside them, as a norm."""
    toy = Toy(batch, *((size, size, 3) if last else (3, size, size)))
    data = toy.add("Mul", toy.add("Sub", "data", toy.constant(127.5)), toy.constant(1 / 128)) if scales else "data"
    axes = ([1, 2, 3], [0, 0, 0], [1, 64, 1]) if last else ([1, 2, 3], [0, 0, 0], [1, 1, 64])
    row = toy.add("Slice", data, *(toy.constant(each, np.int64) for each in (axes[1], axes[2], axes[0])))
    toy.give(toy.reshaped(row, [64]), batch, 64)
    if more:
        toy.give(toy.add("ReduceSum", toy.outputs[0].name, toy.constant([1], np.int64)), batch, 1)
    return toy.write(path)


def constant_output(path: Path, width: int, size: int = 192) -> Path:
    """Write a network from (N, 3, size, size) to zeros, (N, width)."""
    toy = Toy(None, 3, size, size)
    mean = toy.add("ReduceMean", "data", axes=[1, 2, 3], keepdims=0)
    row = toy.add("Reshape", mean, toy.constant([-1, 1], np.int64))
    toy.give(toy.add("MatMul", row, toy.constant(np.zeros((1, width)))), None, width)
    return toy.write(path)


class YuNetAs(Toy):
    """The published YuNet with heads of another layout computed from its own: a network that finds real faces."""

    def __init__(self, file: Path, *dims: int | None) -> None:
        super().__init__(*dims)
        model = onnx.load(file)
        self.opset = model.opset_import[0].version
        self.nodes = [helper.make_node("Identity", ["data"], ["input"]), *model.graph.node]
        self.constants = list(model.graph.initializer)

    def linear(self, name: str, factor: float, shift: float = 0.0) -> str:
        return self.add("Add", self.add("Mul", name, self.constant(factor)), self.constant(shift))

    def score(self, stride: int) -> str:
        product = self.add("Mul", f"cls_{stride}", f"obj_{stride}")
        return self.add("Sqrt", self.add("Clip", product, self.constant(0.0), self.constant(1.0)))

    def box(self, stride: int) -> tuple[str, str]:
        """Return how far the centre is from the cell, in strides, and the logarithm of the sides in strides."""
        ends = [[self.constant([number], np.int64) for number in (first, first + 2, 2)] for first in (0, 2)]
        near, large = (self.add("Slice", f"bbox_{stride}", *each) for each in ends)
        return near, large

    def scrfd(self) -> list[str]:
        heads = []
        for stride in decoding.STRIDES:
            near, large = self.box(stride)
            half = self.linear(self.add("Exp", large), 0.5)
            distances = self.add("Concat", self.add("Sub", half, near), self.add("Add", half, near), axis=2)
            heads.append((self.score(stride), distances, self.add("Identity", f"kps_{stride}")))
        return [head for kind in zip(*heads, strict=True) for head in kind]

    def retinaface(self) -> list[str]:
        """As the first prior of each cell; the second has no score."""
        heads = []
        for stride, (side, _) in zip(decoding.STRIDES, decoding.PRIORS, strict=True):
            near, large = self.box(stride)
            unit = stride / (0.1 * side)
            sides = self.linear(large, 5, 5 * np.log(stride / side))
            offsets = self.add("Concat", self.linear(near, unit, -0.5 * unit), sides, axis=2)
            score = self.score(stride)
            none = self.linear(score, 0)
            both = [self.linear(score, -1, 1), score, self.linear(none, 0, 1), none]
            points = self.linear(f"kps_{stride}", unit, -0.5 * unit)
            twice = [self.add("Concat", each, each, axis=2) for each in (offsets, points)]
            rows = (twice[0], self.add("Concat", *both, axis=2), twice[1])
            heads.append([self.reshaped(name, [-1, width]) for name, width in zip(rows, (4, 2, 10), strict=True)])
        return [self.add("Concat", *kind, axis=1) for kind in zip(*heads, strict=True)]

    def yolo(self, *, visible: bool) -> list[str]:
        """As rows of YOLOv5-face, or as columns of YOLOv8-face where each point has how `visible` it is."""
        strides = []
        for stride in decoding.STRIDES:
            cells = self.constant(decoding._cells(640, 640, stride)[None])
            near, large = self.box(stride)
            centre, sides = self.add("Add", near, cells), self.add("Exp", large)
            points = self.add("Add", f"kps_{stride}", self.add("Concat", *[cells] * 5, axis=2))
            lengths = [self.linear(each, stride) for each in (centre, sides, points)]
            score = self.score(stride)
            parts = [*lengths[:2], score, lengths[2], self.linear(score, 0, 1)]
            if visible:
                pairs = self.reshaped(parts.pop(3), [-1, 5, 2])
                ends = [self.constant([number], np.int64) for number in (0, 1, 3)]
                seen = self.linear(self.add("Slice", pairs, *ends), 0, 1)
                parts[3] = self.reshaped(self.add("Concat", pairs, seen, axis=3), [-1, 15])
            strides.append(self.add("Concat", *parts, axis=2))
        rows = self.add("Concat", *strides, axis=1)
        return [self.add("Transpose", rows, perm=[0, 2, 1]) if visible else rows]


@pytest.mark.weights
@pytest.mark.parametrize(
    ("model", "heads", "dims"),
    [
        ("onnx-scrfd", YuNetAs.scrfd, (None, None)),
        ("onnx-retinaface", YuNetAs.retinaface, (None, None)),
        ("onnx-yolov5-face", partial(YuNetAs.yolo, visible=False), (640, 640)),
        ("onnx-yolov8-face", partial(YuNetAs.yolo, visible=True), (640, 640)),
    ],
    ids=["scrfd", "retinaface", "yolov5", "yolov8"],
)
def test_a_real_detector_in_each_layout_finds_the_faces_that_it_finds_in_its_own(
    model: str,
    heads: Callable[[YuNetAs], list[str]],
    dims: tuple[int | None, int | None],
    tmp_path: Path,
    reference_weights: Path,
) -> None:
    file = reference_weights / "yunet_n_dynamic.onnx"
    toy = YuNetAs(file, None, 3, *dims)
    for name in heads(toy):
        toy.give(name, None, None, None)
    options: dict[str, object] = {"mean": 0.0, "scale": 1.0, "bgr": True, "threshold": 0.6, "overlap": 0.45}
    options |= {"canvas": dims} if dims[0] else {"longest": 640}
    # what fills the canvas of YOLO's: around a picture it is grey, and black with YuNet
    image = np.concatenate([placed(each, 512, 512, scale=1, at=(0, 0)).image for each in portraits()], 1)
    images = [image[:, :512].copy(), image[:, 512:].copy(), *([] if dims[0] else [image])]
    registry, where = default_registry(), Where(weights=toy.write(tmp_path / "file.onnx"), threads=1)
    with registry.make(model, options, role="detector", where=where) as detector:
        found = detector.detect(images)
    with registry.make("yunet", options, role="detector", where=Where(weights=file, threads=1)) as yunet:
        expected = yunet.detect(images)
    assert [len(faces) for faces in expected] == [1, 1, 2][: len(images)]
    for faces, own in zip(found, expected, strict=True):
        assert faces.boxes == pytest.approx(own.boxes, abs=0.01)  # px
        assert faces.scores == pytest.approx(own.scores, abs=1e-4)
        assert faces.landmarks == pytest.approx(own.landmarks, abs=0.01)


def painted(channel: int, *, enlarged: int = 1) -> Image:
    """Return a black picture with one cell of a channel painted."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[8 * ROW : 8 * ROW + 8, 8 * COLUMN : 8 * COLUMN + 8, channel] = 255
    return image.repeat(enlarged, 0).repeat(enlarged, 1)


def described(*paths: Path) -> list[DescribedFile]:
    found = describe_files(paths, default_registry())
    assert all(isinstance(each, DescribedFile) for each in found), found
    return [each for each in found if isinstance(each, DescribedFile)]


def detected(path: Path, images: Sequence[Image]) -> list[Faces]:
    """Return what the detector of a file finds, as `facereg models describe` writes it."""
    out = path.with_suffix(".toml")
    write_pipeline(described(path), out)
    with Composition.read(out).make_detector(default_registry()) as detector:
        return detector.detect(images)


ANCHOR = (8 * COLUMN, 8 * ROW)  # (40, 24)
SCRFD_BOX = [40 - 8, 24 - 16, 40 + 24, 24 + 32]  # distances 1, 2, 3 and 4 in strides
RETINA_BOX = [52 - 16, 28 - 8, 52 + 16, 28 + 8]  # prior of 16 px about (44, 28), 5 * 0.1 * 16 px to the right
YOLO_BOX = [40 - 8, 24 - 16, 40 + 8, 24 + 16]


@pytest.mark.parametrize(
    ("write", "model", "colours", "box", "first", "step", "score"),
    [
        (scrfd, "onnx-scrfd", "RGB", SCRFD_BOX, ANCHOR, 8, 1),
        (lambda path: scrfd(path, by_stride=True), "onnx-scrfd", "RGB", SCRFD_BOX, ANCHOR, 8, 1),
        (lambda path: scrfd(path, batch=1), "onnx-scrfd", "RGB", SCRFD_BOX, ANCHOR, 8, 1),
        (lambda path: scrfd(path, batch=1, with_batch=False), "onnx-scrfd", "RGB", SCRFD_BOX, ANCHOR, 8, 1),
        (retinaface, "onnx-retinaface", "BGR", RETINA_BOX, (44, 28), 16, 1),
        (yolov5, "onnx-yolov5-face", "RGB", YOLO_BOX, ANCHOR, 8, 0.75),
        (yolov8, "onnx-yolov8-face", "RGB", YOLO_BOX, ANCHOR, 8, 1),
    ],
    ids=["scrfd", "scrfd by stride", "scrfd of one", "scrfd without batch", "retinaface", "yolov5", "yolov8"],
)
def test_a_file_of_each_kind_is_recognised_and_finds_the_face_at_its_place(
    write: Callable[[Path], Path],
    model: str,
    colours: str,
    box: list[float],
    first: tuple[float, float],
    step: float,
    score: float,
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "file.onnx")
    [found] = described(path)
    assert (found.role, found.model.name) == ("detector", model)
    seen, unseen = painted(COLOURS[colours]), painted(1)
    [faces, none] = detected(path, [seen, unseen])
    assert faces.boxes == pytest.approx(np.array([box]), abs=1e-3)
    assert faces.scores == pytest.approx([score], abs=1e-3)
    assert faces.landmarks[0] == pytest.approx(np.array(first) + step * POINTS, abs=1e-3)
    assert len(none) == 0


@pytest.mark.parametrize("write", [yolov5, yolov8], ids=["yolov5", "yolov8"])
def test_a_larger_picture_is_letterboxed_and_its_faces_come_back(write: Callable[[Path], Path], tmp_path: Path) -> None:
    [faces] = detected(write(tmp_path / "file.onnx"), [painted(0, enlarged=4)])
    assert faces.boxes == pytest.approx(4 * (np.array([YOLO_BOX]) + 0.5) - 0.5, abs=1e-3)


def test_a_detector_opens_by_its_class_too(tmp_path: Path) -> None:
    with Scrfd.open(weights=scrfd(tmp_path / "det.onnx"), threshold=0.9, threads=1) as detector:
        assert (detector.name, len(detector.detect([painted(0)])[0])) == ("onnx-scrfd", 1)


@pytest.mark.parametrize(
    ("decoder", "shapes", "expected"),
    [
        (decoding.scrfd, [(8, 1)] * 3 + [(8, 4)] * 6, "three outputs of each width of 1, 4 and 10"),
        (decoding.retinaface, [(8, 4), (8, 2), (8, 6)], "outputs of widths 4, 2 and 10"),
        (decoding.yolov5_face, [(8, 85)], "anchors of 16 numbers"),
        (decoding.yolov8_face, [(5, 8)], "anchors of 20 numbers"),
    ],
    ids=["scrfd", "retinaface", "yolov5", "yolov8"],
)
def test_heads_of_another_kind_are_named(
    decoder: decoding.Decoder, shapes: list[tuple[int, int]], expected: str
) -> None:
    with pytest.raises(ContractError, match=f"expected {expected}, got .*; is the file of another kind"):
        decoder([np.zeros(shape, np.float32) for shape in shapes], 32, 32)


def test_a_file_of_one_size_of_batch_gets_a_copy_of_any(tmp_path: Path) -> None:
    path = yolov8(tmp_path / "file.onnx")
    [found] = described(path)
    assert found.copy is not None
    (tmp_path / "copy.onnx").write_bytes(found.copy)
    [spec] = found.model.networks
    rows = np.random.default_rng(0).uniform(0, 1, (3, 3, HEIGHT, WIDTH)).astype(np.float32)
    with open_network(spec, weights=path) as alone, open_network(spec, weights=tmp_path / "copy.onnx") as together:
        assert (alone.spec.max_batch, together.spec.max_batch) == (1, 16)
        given = alone.infer({"input": rows})["output_0"]  # one by one
        assert given == pytest.approx(together.infer({"input": rows})["output_0"], abs=1e-5)
    assert describe_files([tmp_path / "copy.onnx"], default_registry())[0].copy is None  # type: ignore[union-attr]


def test_sizes_that_a_file_states_within_are_opened(tmp_path: Path) -> None:
    """As those of a pyramid of maps after a simplifier: of two pictures too."""
    toy = Toy(1, 3, 112, 112)
    half = toy.add("Resize", "data", "", "", toy.constant([1, 3, 56, 56], np.int64), mode="nearest")
    pixels = toy.add("Reshape", half, toy.constant([1, 3 * 56 * 56], np.int64))
    ends = [toy.constant([number], np.int64) for number in (0, 64, 1)]
    toy.give(toy.add("Slice", pixels, *ends), 1, 64)
    [found] = described(toy.write(tmp_path / "resized.onnx"))
    assert (found.copy is not None, found.note) == (True, "")


def test_a_file_of_other_numbers_is_nobodys(tmp_path: Path) -> None:
    path = embedder(tmp_path / "bytes.onnx", last=True)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, path)
    with pytest.raises(WeightsError, match="no installed model takes data float16"):
        describe_files([path], default_registry())


def test_what_cannot_be_opened_stays_as_it_is_and_says_so(tmp_path: Path) -> None:
    toy = Toy(1, 3, 112, 112)  # its vector is the sum over the batch: of two rows it is another
    row = toy.add("ReduceSum", "data", toy.constant([0, 2, 3], np.int64), keepdims=0)
    wide = toy.add("MatMul", toy.add("Reshape", row, toy.constant([1, 3], np.int64)), toy.constant(np.ones((3, 64))))
    toy.give(wide, 1, 64)
    [found] = described(toy.write(tmp_path / "sum.onnx"))
    assert found.copy is None
    assert found.note.startswith("its batch stays of the size it has, so that no server takes it: ")
    assert f"# {found.note}" in write_pipeline([found], tmp_path / "sum.toml")


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("w600k_r50", {}, {"size": 112, "mean": 127.5, "scale": 127.5, "bgr": False}),
        ("adaface_ir50", {"more": True}, {"size": 112, "mean": 127.5, "scale": 127.5, "bgr": True}),
        ("face_recognition_sface", {"batch": 1, "scales": True}, {"size": 112, "mean": 0.0, "scale": 1.0, "bgr": True}),
        ("facenet", {"size": 160}, {"size": 160, "mean": 127.5, "scale": 128.0, "bgr": False}),
        (
            "keras",
            {"size": 160, "last": True},
            {"size": 160, "channels_last": True, "mean": 127.5, "scale": 128.0, "bgr": False},
        ),
        ("mine", {"size": 128}, {"size": 128, "mean": 127.5, "scale": 127.5, "bgr": False}),
    ],
    ids=["arcface", "adaface", "sface", "facenet", "keras", "128"],
)
def test_an_embedder_gets_pixels_as_its_file_shows_or_its_name_says(
    name: str, settings: dict[str, bool], expected: dict[str, object], tmp_path: Path
) -> None:
    path = embedder(tmp_path / f"{name}.onnx", **settings)
    [found] = described(path)
    assert {option: value for option, (value, _) in found.options.items()} == expected
    out = tmp_path / "pipeline.toml"
    write_pipeline([found], out)
    size = int(expected["size"])  # type: ignore[call-overload]
    crop = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with Composition.read(out).make_embedder(default_registry()) as made:
        assert (made.crop_size, made.dim) == (size, 64)
        assert made.template[0].tolist() == pytest.approx(
            [(38.2946 + 0.5) * size / 112 - 0.5, (51.6963 + 0.5) * size / 112 - 0.5]
        )
        vectors = made._embed(crop)
    first = crop[:, 0, :64, 2 if expected["bgr"] else 0].astype(np.float32)
    whole = {"mean": 127.5, "scale": 128.0} if settings.get("scales") else expected
    assert vectors == pytest.approx((first - whole["mean"]) / whole["scale"], abs=1e-5)  # type: ignore[operator]


def test_an_embedder_may_have_a_template_of_its_own_and_a_space_of_its_own(tmp_path: Path) -> None:
    path, registry = embedder(tmp_path / "mine.onnx"), default_registry()
    template = "30,40,80,40,55,60,35,85,75,85"
    with registry.create("onnx-arcface", role="embedder", weights=path, template=template) as made:
        assert made.template.tolist() == [[30, 40], [80, 40], [55, 60], [35, 85], [75, 85]]
        with registry.create("onnx-arcface", role="embedder", weights=path) as usual:
            assert made.space.startswith(f"{usual.space}:template")
    with pytest.raises(ContractError, match="expected x and y of five landmarks, got 2 numbers"):
        registry.create("onnx-arcface", role="embedder", weights=path, template="1,2")


def test_a_pack_is_one_argument(tmp_path: Path) -> None:
    """As InsightFace's: what no model takes is passed over, and the landmark network is there to be taken."""
    pack = tmp_path / "buffalo_l"
    pack.mkdir()
    scrfd(pack / "det_10g.onnx", batch=1, with_batch=False)
    embedder(pack / "w600k_r50.onnx")
    constant_output(pack / "2d106det.onnx", 212)
    constant_output(pack / "genderage.onnx", 3, 96)
    out = tmp_path / "pack.toml"
    text = write_pipeline(describe_files([pack], default_registry()), out)
    assert "# Passed over: genderage.onnx: no installed model takes data float32 (any, 3, 96, 96) to " in text
    assert '# layout = "insightface-106"  # shown: 106 points' in text
    chosen = Composition.read(out)
    assert (chosen.detector.name, chosen.aligner.name, chosen.embedder.name) == ("onnx-scrfd", "", "onnx-arcface")
    with Pipeline.from_file(out) as pipeline:
        [result] = pipeline.run([painted(0)])
        assert (len(result.faces), pipeline.aligner.name) == (1, "five-point")

    out.write_text(text.replace("\n# [", "\n[").replace("\n# name", "\nname").replace("\n# weights", "\nweights"))
    assert Composition.read(out).aligner.name == "onnx-landmarks"


def test_points_of_insightface_are_half_sides_from_the_middle(tmp_path: Path) -> None:
    """What gives zeros puts every point at the middle of the crop: no face, and refused."""
    path = constant_output(tmp_path / "2d106det.onnx", 212)
    [found] = described(path)
    options = {name: value for name, (value, _) in found.options.items()}
    assert (options["layout"], options["side"], options["centred"], options["margin"]) == (
        "insightface-106",
        192,
        True,
        1.5,
    )
    with default_registry().make("onnx-landmarks", options, role="aligner", where=Where(weights=path)) as aligner:
        assert isinstance(aligner, LandmarkAligner)
        points, _ = aligner._find(np.zeros((1, 192, 192, 3), np.uint8))
    assert points.shape == (1, 106, 2)
    assert (points == 96).all()


def test_a_described_pipeline_is_served_with_no_further_word(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    scrfd(pack / "det_500m.onnx", batch=1, with_batch=False)
    embedder(pack / "w600k_mbf.onnx", batch=1)
    out = tmp_path / "pack.toml"
    write_pipeline(describe_files([pack], default_registry()), out)
    found = models_of(Composition.read(out), default_registry())
    assert list(found) == ["onnx-scrfd", "onnx-arcface"]
    result = CliRunner().invoke(app, ["triton", "build", "--pipeline", str(out), "--out", str(tmp_path / "repository")])
    assert result.exit_code == 0, result.output
    config = (tmp_path / "repository" / "onnx-scrfd" / "config.pbtxt").read_text()
    assert "max_batch_size: 16" in config
    assert "dims: [ -1, 10 ]" in config
    assert (tmp_path / "repository" / "onnx-arcface" / "config.pbtxt").is_file()
    with pytest.raises(WeightsError, match="no weights ship"):
        build_repository(tmp_path / "other", registry=default_registry(), models=["onnx-scrfd"])


def test_what_a_check_sends_to_a_server_has_the_size_that_the_file_states(tmp_path: Path) -> None:
    path = embedder(tmp_path / "mine.onnx", size=160)
    [spec] = default_registry().model("onnx-arcface").networks
    assert inputs_from_picture(sized(spec, path), painted(0))["input"].shape == (3, 3, 160, 160)


def test_the_command_writes_tries_and_says_what_is_guessed(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    path, out = embedder(tmp_path / "mine.onnx", batch=1), tmp_path / "mine.toml"
    result = CliRunner().invoke(app, ["models", "describe", str(path), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert 'weights = "mine-any-batch.onnx"  # mine.onnx, its batch made one of any size' in out.read_text()
    assert "bgr = false  # guessed: RGB, as most; AdaFace and SFace: BGR" in result.output
    assert "# tried on a photograph: 1 face, " in result.output
    again = CliRunner().invoke(app, ["models", "describe", str(path), "--out", str(out)])
    assert again.exit_code == 1
    assert "is there already, and may have been changed; remove it, or name another --out" in str(again.exception)


def test_a_detector_that_finds_nothing_on_the_photograph_is_status_1(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    path = constant_output(tmp_path / "x.onnx", 3)
    with pytest.raises(WeightsError, match=r"x.onnx: no installed model takes data float32 \(any, 3, 192, 192\) to "):
        describe_files([path], default_registry())
    blind = scrfd(tmp_path / "blind.onnx")
    picture = tmp_path / "black.png"
    write_image(picture, np.zeros((64, 96, 3), np.uint8))
    arguments = [
        "models",
        "describe",
        str(blind),
        "--out",
        str(tmp_path / "a.toml"),
        "--picture",
        str(picture),
        "--json",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert '"faces": 0' in result.output


def test_bad_places_are_named(tmp_path: Path) -> None:
    registry = default_registry()
    with pytest.raises(WeightsError, match="expected a folder with ONNX files, found none"):
        describe_files([tmp_path], registry)
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(WeightsError, match="text.onnx: not a network that ONNX Runtime"):
        describe_files([tmp_path], registry)
    embedder(tmp_path / "a.onnx")
    embedder(tmp_path / "b.onnx")
    found = describe_files([tmp_path], registry)
    assert isinstance(found[2], PassedOver)
    with pytest.raises(
        ContractError, match=r"expected one embedder, got .*a.onnx and .*b.onnx; name the files to take"
    ):
        write_pipeline(found, tmp_path / "out.toml")
