"""Every reader of what others wrote: how to make a file of it, how to read it, and what its answer may be."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from scipy.io import savemat

from facereg.builtin.exact import ExactMatcher
from facereg.collection import File, Index, Seen
from facereg.data.bins import read_bin
from facereg.data.fetch import read_sources
from facereg.data.formats import read_boxes
from facereg.data.groups import read_groups
from facereg.data.pairs import read_lfw_pairs, read_pairs
from facereg.data.points import read_68_points, read_cofw, read_five_points, read_pts, read_wflw
from facereg.data.records import Record
from facereg.data.templates import read_templates
from facereg.data.unpack import unpack
from facereg.data.wider import read_wider_predictions
from facereg.errors import DatasetError
from facereg.gallery.keeping import read_kept
from facereg.gallery.rows import Source
from facereg.gallery.store import Gallery
from facereg.gallery.thresholds import Calibration, calibration_for, store_calibration
from facereg.images import read_image
from facereg.networks.onnx import OnnxRunner
from facereg.pipeline.composition import Composition
from facereg.registry.added import added_weights
from facereg.registry.installed import default_registry
from facereg.study import read_study
from facereg.testing.pictures import noise, vectors
from facereg.video import Video
from tests.data.layouts import cells, pictures, write_record


class UnsoundError(Exception):
    """An answer that breaks its own contract."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader.

    Args:
        make: writes a sound file into a folder and returns it.
        read: reads the file and returns the whole of its answer.
        sealed: the format tells that it was changed, by a checksum or a seal: any other answer is wrong.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    sealed: bool = False


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pictures(folder / "images", "a.jpg", "b/c.jpg")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return make


def _boxes(format: str, *, folder: bool = False) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        images = (path.parent.parent if folder else path.parent) / "images"
        items = read_boxes(format, path.parent if folder else path, images, strict=False)
        for item in read_boxes(format, path.parent if folder else path, images):
            kept = item.boxes[~item.ignored]
            if not np.isfinite(item.boxes).all() or not (kept[:, 2:] > kept[:, :2]).all():
                raise UnsoundError(f"counts {kept.tolist()} as faces")
        return [(str(item.path), item.boxes.tolist(), item.ignored.tolist()) for item in items]

    return read


def _picture(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path, exif = folder / f"picture{suffix}", Pillow.Exif()
        exif[0x0112] = 6  # orientation
        exif[0x010E] = "a description"
        Pillow.fromarray(noise(48, 64)).save(path, exif=exif)
        return path

    return make


def _read_picture(path: Path) -> object:
    image = read_image(path)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UnsoundError(f"a picture of {image.dtype} {image.shape}")
    return hashlib.sha256(image.tobytes()).hexdigest()


def _video(folder: Path) -> Path:
    path = folder / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))  # type: ignore[attr-defined]
    for seed in range(4):
        writer.write(noise(48, 64, seed=seed))
    writer.release()
    return path


def _read_video(path: Path) -> object:
    frames = [frame for frame, _ in zip(Video(path), range(50), strict=False)]
    times = [frame.time_s for frame in frames]
    if times != sorted(times) or not np.isfinite(times).all():
        raise UnsoundError(f"frames at {times}")
    return [(frame.time_s, frame.image.shape) for frame in frames]


def _shipped(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import facereg_mtcnn

        return Path(shutil.copy(Path(str(facereg_mtcnn.__file__)).parent / "weights" / name, folder))

    return make


def _read_onnx(path: Path) -> object:
    from facereg_mtcnn.plugin import networks

    spec = networks()[0]
    tensor = spec.inputs[0]
    batch = np.random.default_rng(0).uniform(0, 255, (1, *(size or 24 for size in tensor.dims[1:]))).astype(np.float32)
    with OnnxRunner(spec, path, threads=1) as runner:
        return {name: value.tolist() for name, value in runner.infer({tensor.name: batch}).items()}


def _safetensors(folder: Path) -> Path:
    import torch
    from safetensors.torch import save_file

    save_file({"network.weight": torch.linspace(-1, 1, 60).reshape(5, 12)}, folder / "w.safetensors")
    return folder / "w.safetensors"


def _read_tensors(path: Path) -> object:
    from facereg.networks.checkpoints import read_tensors

    state = read_tensors(path, expected="weights")
    return {name: value.tolist() for name, value in state.items()}


def _checkpoint(folder: Path) -> Path:
    import torch

    torch.save({"state_dict": {"weight": torch.arange(64.0)}, "step": 3}, folder / "last.ckpt")
    return folder / "last.ckpt"


def _read_checkpoint(path: Path) -> object:
    from facereg.networks.checkpoints import read_checkpoint

    return repr(read_checkpoint(path, expected="a checkpoint"))


def _gallery(folder: Path) -> Path:
    with Gallery.open(folder / "gallery.db", space="model:1", create=True) as gallery:
        for row, name in enumerate(("Eva", "Jan", "Ola")):
            sources = [Source(f"{name}{number}", f"{number:064x}") for number in (1, 2)]
            gallery.enroll(name, vectors(2, 8, "model:1", seed=row), sources)
    return folder / "gallery.db"


def _index(folder: Path) -> Path:
    with Index.open(folder / "photos.index", space="model:1", create=True) as index:
        for row in range(3):
            boxes = np.arange(8, dtype=np.float32).reshape(2, 4)
            faces = vectors(2, 8, "model:1", seed=row).vectors
            index.add([Seen(File(Path(f"/{row}.jpg"), 1, row), f"{row:064x}", boxes, boxes[:, 0], faces)])
    return folder / "photos.index"


def _read_index(path: Path) -> object:
    with Index.open(path, space="model:1") as index:
        return index.counts(), [
            (faces.files, faces.sha256, faces.boxes.tolist(), faces.scores.tolist(), faces.embeddings.vectors.tolist())
            for faces in index.faces()
        ]


def _kept(folder: Path) -> Path:
    with Gallery.open(_gallery(folder)) as gallery, ExactMatcher(threshold=0.5) as matcher:
        matcher.kept_from = 1
        gallery.fill(matcher)
        return Path(f"{folder / 'gallery.db'}.{matcher.kept_as}.index")


def _read_kept(path: Path) -> object:
    with Gallery.open(path.with_name("gallery.db")) as gallery, ExactMatcher(threshold=0.5) as matcher:
        kept = read_kept(path, gallery._store, matcher.kept_as)
        matcher.load(kept.arrays, gallery.space)
        found = matcher.match(vectors(2, 8, "model:1", seed=1))
        return kept.state, found.labels, found.similarities.tolist()


def _held(gallery: Gallery) -> object:
    names, embeddings = gallery.embeddings()
    return names, embeddings.vectors.tolist(), [(one.name, one.sources) for one in gallery.people()]


def _read_gallery(path: Path) -> object:
    with Gallery.open(path, space="model:1") as gallery:
        return _held(gallery)


def _export(folder: Path) -> Path:
    with Gallery.open(_gallery(folder)) as gallery:
        gallery.export(folder / "export.npz")
    return folder / "export.npz"


def _read_export(path: Path) -> object:
    with (
        tempfile.TemporaryDirectory() as folder,
        Gallery.open(Path(folder) / "g.db", space="model:1", create=True) as gallery,
    ):
        gallery.import_(path)
        return _held(gallery)


def _calibrations(folder: Path) -> Path:
    os.environ["FACEREG_HOME"] = str(folder)
    return store_calibration("model:1", Calibration({0.1: 0.2, 0.001: 0.4}, "a test"))


def _read_calibrations(path: Path) -> object:
    os.environ["FACEREG_HOME"] = str(path.parent)
    held = calibration_for("model:1", default_registry())
    return sorted(held.thresholds.items()), held.origin


def _mat(packed: bool) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pictures(folder / "images", "E/a.jpg")
        boxes = np.array([[1, 2, 30, 40], [5, 6, 70, 80]], float)
        held = {"event_list": ["E"], "file_list": [cells(["a"])], "face_bbx_list": [cells([boxes])]}
        savemat(folder / "a.mat", {key: cells(value) for key, value in held.items()}, do_compression=packed)  # type: ignore[arg-type]
        return folder / "a.mat"

    return make


def _archive(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "in/sub").mkdir(parents=True)
        for name in ("in/a.txt", "in/sub/b.txt"):
            (folder / name).write_text(f"{name}\n" * 20)
        path = folder / f"archive{suffix}"
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in ("in/a.txt", "in/sub/b.txt"):
                    archive.write(folder / name, name)
        else:
            with tarfile.open(path, f"w:{suffix.rpartition('.')[2].replace('tar', '')}") as tar:  # type: ignore[call-overload]
                tar.add(folder / "in", "in")
        return path

    return make


def _read_archive(path: Path) -> object:
    with tempfile.TemporaryDirectory() as folder:
        unpack(path, Path(folder) / "out")
        if sorted(one.name for one in Path(folder).iterdir()) != ["out"]:
            raise UnsoundError("something lies beside the folder")
        inside = sorted(one for one in (Path(folder) / "out").rglob("*") if one.is_file())
        return [(str(one.relative_to(folder)), one.read_bytes()) for one in inside]


def _points(read: Callable[[Path, Path], object]) -> Callable[[Path], object]:
    return lambda path: repr(read(path, path.parent / "images"))


def _pairs(format: str) -> Callable[[Path], object]:
    return lambda path: repr(read_pairs(format, path, path.parent / "images"))


def _bin(folder: Path) -> Path:
    (folder / "pairs.bin").write_bytes(pickle.dumps(([b"one", b"two"] * 2, [True, False])))
    return folder / "pairs.bin"


def _read_record(path: Path) -> object:
    def refuse(text: str) -> None:  # what is left out of a damaged file is said
        raise DatasetError(text)

    with Record(path.parent, notice=refuse) as record:
        found = record.people(notice=refuse)
        if any(not name.isdigit() for name in found):
            raise UnsoundError(f"people named {list(found)}")
        return [(name, [picture.read() for picture in own]) for name, own in found.items()]


def _read_weights_table(path: Path) -> object:
    os.environ["FACEREG_HOME"] = str(path.parent)
    return repr(added_weights(default_registry().model("yunet")))


def _templates(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "templates.txt").write_text("1.jpg 1 1\n2.jpg 1 2\n3.jpg 2 3\n", encoding="utf-8")
        (folder / "pairs.txt").write_text("1 1 1\n1 2 0\n", encoding="utf-8")
        rows = [f"{row}.jpg 38 52 74 52 56 72 42 92 71 92 0.9\n" for row in (1, 2, 3)]
        (folder / "points.txt").write_text("".join(rows), encoding="utf-8")
        return folder / f"{name}.txt"

    return make


def _read_templates(path: Path) -> object:
    templates, pairs, points = (path.with_name(f"{name}.txt") for name in ("templates", "pairs", "points"))
    return repr(read_templates(templates, pairs, path.parent / "images", points))


STUDY = """title = "A"
out = "o"
[train]
data = ["p"]
[test]
images = "i"
pairs = "p.txt"
[[rows]]
name = "x"
embedder = "e"
recipe = "r"
settings = { epochs = 2 }
"""
FACES = [[b"one", b"two"], [b"three"]]
VOC = """<annotation><filename>a.jpg</filename><object><name>face</name><difficult>0</difficult><bndbox>
<xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"""
PSEUDO = json.dumps({"image": "images/a.jpg", "boxes": [[1, 2, 30, 40]], "scores": [0.9], "points": [[[1, 2]] * 5]})
PTS = "version: 1\nn_points: 2\n{\n1.5 2.5\n3 4\n}\n"
PIPELINE = '[detector]\nname = "mtcnn"\nthreads = 2\noptions = { min_face = 40 }\n[matcher]\nthreshold = 0.4\n'
WEIGHTS = f'["yunet:mine"]\nfile = "a.onnx"\naddress = ["https://a.org/x"]\nsha256 = "{"0" * 64}"\nsize = 9\n'
SOURCES = f'[faces]\naddress = ["https://a.org/x.zip"]\nsha256 = "{"0" * 64}"\nunpack = true\n'
READERS = (
    Reader("JPEG with EXIF", _picture(".jpg"), _read_picture),
    Reader("PNG with EXIF", _picture(".png"), _read_picture),
    Reader("WebP with EXIF", _picture(".webp"), _read_picture),
    Reader("TIFF", _picture(".tif"), _read_picture),
    Reader("BMP", lambda folder: _bmp(folder), _read_picture),
    Reader("video", _video, _read_video),
    Reader("ONNX", _shipped("pnet.onnx"), _read_onnx),
    Reader("ONNX tensors", _shipped("pnet.onnx"), _read_tensors),
    Reader("safetensors", _safetensors, _read_tensors),
    Reader("checkpoint", _checkpoint, _read_checkpoint),
    Reader("gallery", _gallery, _read_gallery, sealed=True),
    Reader("kept by a matcher", _kept, _read_kept, sealed=True),
    Reader("index", _index, _read_index),
    Reader("export", _export, _read_export, sealed=True),
    Reader("calibrations", _calibrations, _read_calibrations, sealed=True),
    Reader("pipeline TOML", _text("pipeline.toml", PIPELINE), lambda path: repr(Composition.read(path))),
    Reader("weights TOML", _text("weights.toml", WEIGHTS), _read_weights_table),
    Reader("sources TOML", _text("sources.toml", SOURCES), lambda path: repr(read_sources(path))),
    Reader("WIDER list", _text("list.txt", "a.jpg\n1\n1 2 30 40 0 0 0 0 0 0\nb/c.jpg\n0\n0 0 0 0\n"), _boxes("wider")),
    Reader("VOC", _text("voc/a.xml", VOC), _boxes("voc", folder=True)),
    Reader("YOLO", _text("yolo/a.txt", "0 0.5 0.5 0.2 0.3\n"), _boxes("yolo", folder=True)),
    Reader("CelebA", _text("list.txt", "1\nx y w h\na.jpg 1 2 30 40\n"), _boxes("celeba")),
    Reader("pseudo-labels", _text("pseudo.jsonl", PSEUDO + "\n"), lambda path: _pseudo(path)),
    Reader("5 points", _text("5.txt", "a.jpg 1 9 2 9 1 2 3 4 5 6 7 8 9 10\n"), _points(read_five_points)),
    Reader("68 points", _text("68.txt", f"{' '.join(['5.5'] * 136)} a.jpg\n"), _points(read_68_points)),
    Reader("WFLW", _text("98.txt", f"{'5.5 ' * 196}1 2 30 40 0 1 0 0 1 0 a.jpg\n"), _points(read_wflw)),
    Reader("COFW", _text("29.txt", f"{'5.5 ' * 58}{'0 ' * 29}a.jpg\n"), _points(read_cofw)),
    Reader(".pts", _text("pts/a.pts", PTS), lambda path: repr(read_pts(path.parent, path.parent.parent / "images"))),
    Reader("pairs", _text("pairs.txt", "2\nEva 1 2\nJan 1 3\nEva 1 Jan 2\nJan 4 Eva 3\n"), _points(read_lfw_pairs)),
    Reader("groups", _text("groups.csv", "Eva,one\nJan,two\n"), lambda path: read_groups(path, {"Eva", "Jan"})),
    Reader("CALFW", _text("flat.txt", "A_1.jpg 1\nA_2.jpg 1\nA_1.jpg 0\nB_1.jpg 0\n"), _pairs("calfw")),
    Reader("listed pairs", _text("list.txt", "a/1.jpg a/2.jpg 1\na/1.jpg b/1.jpg 0\n"), _pairs("list")),
    Reader("templates", _templates("templates"), _read_templates),
    Reader("pairs of templates", _templates("pairs"), _read_templates),
    Reader("points of templates", _templates("points"), _read_templates),
    Reader("study TOML", _text("study.toml", STUDY), lambda path: repr(read_study(path))),
    Reader("pairs .bin", _bin, lambda path: read_bin(path)),
    Reader("MXNet record", lambda folder: write_record(folder, FACES) / "train.rec", _read_record),
    Reader("MXNet index", lambda folder: write_record(folder, FACES) / "train.idx", _read_record),
    Reader("predictions", _text("p/a.txt", "a\n2\n1 2 30 40 0.9\n5 6 7 8 0.5\n"), lambda path: _predictions(path)),
    Reader(".mat", _mat(False), lambda path: _boxes("wider")(path)),
    Reader(".mat packed", _mat(True), lambda path: _boxes("wider")(path)),
    Reader("zip", _archive(".zip"), _read_archive, sealed=True),
    Reader("tar", _archive(".tar"), _read_archive),
    Reader("tar.gz", _archive(".tar.gz"), _read_archive, sealed=True),
    Reader("tar.xz", _archive(".tar.xz"), _read_archive, sealed=True),
)


def _bmp(folder: Path) -> Path:
    Pillow.fromarray(noise(48, 64)).save(folder / "picture.bmp")
    return folder / "picture.bmp"


def _pseudo(path: Path) -> object:
    return [(str(item.path), item.boxes.tolist()) for item in read_boxes("pseudo", path, path.parent, strict=False)]


def _predictions(path: Path) -> object:
    return [found.tolist() for found in read_wider_predictions(path.parent, ["a"])]
