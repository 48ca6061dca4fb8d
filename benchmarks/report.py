"""Write the tables of results: README's rows, the whole, scale, what the default was chosen by, faiss's indexes.

They are made from results/*.json; --check only compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- results: written by benchmarks/report.py -->\n", "<!-- /results -->\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: what, where its figure lies, the paper's and the peers', and the command.

    A headline stands in the README too.
    """

    what: str
    file: str
    figure: Callable[[Mapping[str, Any]], str]
    command: str
    paper: str = ""
    peer: str = ""
    headline: bool = False


def percent(value: float) -> str:
    """Return a share as a percentage with two decimals."""
    return f"{100 * value:.2f} %"


def average_precisions(figures: Mapping[str, Any]) -> str:
    """Return AP50 of all faces and of the large ones."""
    return f"{figures['ap50']:.3f} / {figures['ap50_large']:.3f}"


def speeds(figures: Mapping[str, Any], *, suffix: str = "") -> str:
    """Return how many times as many pictures a second, one by one and in batches."""
    one, batch = (figures[f"ratio_{kind}{suffix}"] for kind in ("one", "batch"))
    return f"{one:.2f} / {batch:.2f} times its pictures a second"


def recalled(figures: Mapping[str, Any]) -> str:
    """Return the recall, and of how many faces."""
    return f"{figures['recall']:.3f} of {figures['faces']}"


def landmark_error(figures: Mapping[str, Any]) -> str:
    """Return the normalised mean error, and how many faces it leaves out."""
    return f"{figures['nme']:.2f} % ({figures['missed']} faces not found, left out of it)"


def grouped(figures: Mapping[str, Any], *, method: str) -> str:
    """Return how a method's groups agree with the people, and at which threshold."""
    at = f", at {figures['threshold'][method]:.3f}" if figures["threshold"][method] > -1 else ""
    return f"{figures['bcubed_f'][method]:.3f}; {figures['pairwise_f'][method]:.3f}{at}"


def points_68(figures: Mapping[str, Any]) -> str:
    """Return the mean error, the share of errors over 10 % or not found, and how many were not."""
    return f"{figures['nme']:.2f} %; {percent(figures['fr10'])}, of which not found: {figures['missed']}"


def accuracy_and_rates(figures: Mapping[str, Any]) -> str:
    """Return the verification accuracy, and TPR at FAR 10 % and 1 %."""
    rates = figures["tpr_at_far"]
    return f"{percent(figures['accuracy'])}; {percent(rates['0.1'])} / {percent(rates['0.01'])}"


def accuracy(figures: Mapping[str, Any]) -> str:
    """Return the verification accuracy, and how many pairs lack a face."""
    return f"{percent(figures['accuracy'])}; pairs with no face found, counted against it: {figures['missing']}"


def times(*keys: str) -> Callable[[Mapping[str, Any]], str]:
    """Return what shows figures that say how many times a rate is another's."""
    return lambda figures: f"{' / '.join(f'{figures[key]:.2f}' for key in keys)} times its rate"


def one_probe(figures: Mapping[str, Any]) -> str:
    """Return the processor's milliseconds that one probe takes."""
    return f"{1000 * figures['one']['int8']['processor']:.1f} ms"


def opened(figures: Mapping[str, Any]) -> str:
    """Return what opening a gallery and naming one person took."""
    later = figures["later"]
    return f"{later['processor_seconds']:.2f} s, {later['megabytes']:.0f} MB"


def graph(figures: Mapping[str, Any]) -> str:
    """Return recall and time of a search through HNSW's graph, and what it took to build."""
    built = figures["processor_seconds_to_build"]
    return f"{figures['recall_at_1']:.3f}, {figures['milliseconds']:.2f} ms; built in {built} s"


def found(figures: Mapping[str, Any]) -> str:
    """Return the recall of an index, and how much quicker it is than comparing everybody."""
    return f"{figures['recall_at_1']:.3f}; {figures['times_exact_float32']:.1f}"


EVALUATE = "`make results`, which runs `facereg evaluate {}`"
MATCHERS = "`make bench-matchers PEOPLE={}`"
ROWS = (
    Row(
        "verification accuracy by default, LFW View 1 (1,000 pairs, none left out), threshold from pairsDevTrain",
        "verification",
        accuracy,
        EVALUATE.format("verification"),
        paper="95.93 % (View 2)",
        headline=True,
    ),
    Row(
        "TPR at FAR 10 % / 1 % on the same pairs",
        "verification",
        lambda r: f"{percent(r['tpr_at_far']['0.1'])} / {percent(r['tpr_at_far']['0.01'])}",
        EVALUATE.format("verification"),
        paper="95.76 / 92.86 % (View 2)",
        headline=True,
    ),
    Row(
        "the same pairs with `mtcnn` (`fallback`) and its own five points: accuracy; TPR at FAR 10 % / 1 %",
        "mtcnn-verification",
        accuracy_and_rates,
        EVALUATE.format("verification"),
    ),
    Row(
        "the same pairs with `mtcnn` (`fallback`) and `adnet-68`: accuracy; TPR at FAR 10 % / 1 %",
        "adnet-verification",
        accuracy_and_rates,
        EVALUATE.format("verification"),
    ),
    Row(
        "the same pairs with `dlib-resnet`: accuracy; TPR at FAR 10 % / 1 %",
        "dlib-verification",
        accuracy_and_rates,
        EVALUATE.format("verification"),
        peer="dlib with its own detector and landmarks: 98.78 % (View 2)",
    ),
    Row(
        "the same pairs with the public MobileFaceNet through `onnx-arcface`: accuracy; TPR at FAR 10 % / 1 %",
        "mobilefacenet-verification",
        accuracy_and_rates,
        EVALUATE.format("verification"),
    ),
    Row(
        "the same with the public YuNet's boxes and points: accuracy; TPR at FAR 10 % / 1 %",
        "yunet-verification",
        accuracy_and_rates,
        EVALUATE.format("verification"),
        peer="measured before us: 98.77 % (View 2)",
    ),
    Row(
        "the public YuNet through `yunet`, the same fifth of faces-in-crowds, AP50 of all faces / those from 24 px",
        "yunet-detection",
        average_precisions,
        EVALUATE.format("detection"),
    ),
    Row(
        "detection with `mtcnn`, AP50 of all faces, fifth of faces-in-crowds kept out of training",
        "detection",
        lambda r: f"{r['ap50']:.3f}",
        EVALUATE.format("detection"),
        peer="facenet-pytorch on like pictures: 0.57",
    ),
    Row(
        "detection with `mtcnn`, AP50 of faces there at least 24 px high",
        "detection",
        lambda r: f"{r['ap50_large']:.3f}",
        EVALUATE.format("detection"),
        peer="facenet-pytorch on like pictures: 0.74",
    ),
    Row(
        "`mtcnn`, recall of the faces there of at least 64 px, each in a picture cut so that it fills 40 % or more",
        "close-ups",
        recalled,
        EVALUATE.format("detection"),
        peer="YuNet: 0.921",
    ),
    Row(
        "`mtcnn`, five landmarks, mean error over the distance between the eyes, 1,200 MTFL pictures enlarged 3 times",
        "landmarks",
        landmark_error,
        EVALUATE.format("landmarks"),
        peer="YuNet there: 13.56 % (8 not found)",
    ),
    Row(
        "`yolov5s-face` in 640 px, fifth of faces-in-crowds kept out of training, AP50 of all faces / those from 24 px",
        "yolov5-detection",
        average_precisions,
        EVALUATE.format("detection"),
        peer="on like pictures: YuNet 0.786 / 0.882, SCRFD-2.5G 0.890 / 0.950",
        headline=True,
    ),
    Row(
        "the same with `yolov5s-face:int8`",
        "yolov5-int8-detection",
        average_precisions,
        EVALUATE.format("detection"),
    ),
    Row(
        "`yolov5s-face`, recall in the same cut pictures",
        "yolov5-close-ups",
        recalled,
        EVALUATE.format("detection"),
        peer="YuNet: 0.921",
    ),
    Row(
        "`yolov5s-face`, five landmarks in the same MTFL pictures",
        "yolov5-landmarks",
        landmark_error,
        EVALUATE.format("landmarks"),
        peer="YuNet there: 13.56 % (8 not found)",
    ),
    Row(
        "the default's five landmarks, mean error over the eyes' distance, 1,200 MTFL pictures enlarged 3 times",
        "default-five",
        landmark_error,
        EVALUATE.format("landmarks"),
        peer="YuNet there: 13.56 % (8 not found)",
    ),
    Row(
        "`adnet-68` in `mtcnn`'s boxes, five landmarks, error over the eyes' distance, 1,200 MTFL pictures enlarged",
        "adnet-five",
        landmark_error,
        EVALUATE.format("landmarks"),
        peer="YuNet there: 13.56 % (8 not found)",
        headline=True,
    ),
    Row(
        "`adnet-68`, 68 points, 402 frames of YouTube Faces, mean error over the eyes' outer corners; errors over 10 %",
        "adnet-68",
        points_68,
        EVALUATE.format("landmarks"),
        peer="dlib's predictor with its own detector: 7.04 %; 8.3 %",
    ),
    Row(
        "the same with `adnet-68:as-labelled`: these labels lie 1.1 px to the right of what they mark",
        "adnet-68-as-labelled",
        points_68,
        EVALUATE.format("landmarks"),
        peer="dlib's predictor with its own detector: 7.04 %; 8.3 %",
    ),
    Row(
        "`adnet-98`, 98 points, the same frames: mean distance from the network that taught it, over the eyes' corners",
        "adnet-98",
        points_68,
        EVALUATE.format("landmarks"),
        peer="3.0 % was the aim",
    ),
    Row(
        "identification, rank 1, 20 people enrolled by the mean of 3 pictures and 20 strangers, mean of 5 divisions",
        "identification",
        lambda r: f"{r['rank1']:.3f}",
        EVALUATE.format("identification"),
        peer="the teacher: 0.980",
    ),
    Row(
        "identification, 20 people enrolled by 3 pictures each and 20 strangers, TPIR at FPIR 10 % / 1 %",
        "identification",
        lambda r: f"{r['tpir_at_fpir']['0.1']:.3f} / {r['tpir_at_fpir']['0.01']:.3f}",
        EVALUATE.format("identification"),
        peer="the teacher: 0.968 / 0.948",
        headline=True,
    ),
    *(
        Row(
            f"the same with {embedder}: rank 1; TPIR at FPIR 10 % / 1 %",
            f"{name}-identification",
            lambda r: f"{r['rank1']:.3f}; {r['tpir_at_fpir']['0.1']:.3f} / {r['tpir_at_fpir']['0.01']:.3f}",
            EVALUATE.format("identification"),
        )
        for name, embedder in (("teacher", "the teacher, the public MobileFaceNet"), ("dlib", "`dlib-resnet`"))
    ),
    *(
        Row(
            f"grouping the 40 people of celeba-wild by `{method}`, chosen on 400 people of LFW View 1: BCubed F; "
            "pairwise F",
            "grouping",
            partial(grouped, method=method),
            EVALUATE.format("grouping"),
        )
        for method in ("agglomerative", "dbscan", "hdbscan")
    ),
    Row(
        "calibrated at FAR 1 % on half of celeba-wild's 40 people, on the others: least and most of 5 divisions",
        "calibration",
        lambda r: f"{percent(min(r['on_other_half']))} to {percent(max(r['on_other_half']))}",
        "`make results`, which runs `python benchmarks/calibration.py`",
    ),
    Row(
        "calibrated for FPIR 1 % on 1,500 generated people, strangers named among 1,000 / 100,000 / 1,000,000 others",
        "calibration",
        lambda r: " / ".join(percent(r["strangers_named_of_people"][size]) for size in ("1000", "100000", "1000000")),
        "`make results`, which runs `python benchmarks/calibration.py`",
    ),
    Row(
        "MTCNN against facenet-pytorch 2.6.0, same weights and faces, one thread: one picture / 16 of mixed sizes",
        "mtcnn-speed",
        speeds,
        "`make bench`",
        peer="facenet-pytorch: 1",
        headline=True,
    ),
    Row(
        "`adnet-68` on one face against dlib's 68-point predictor, one thread: time; each after its own detector",
        "dlib-speed",
        lambda r: f"{r['times_as_long']:.1f}; {r['times_as_long_with_detection']:.2f} times as long",
        "`make bench`",
        peer="dlib: 1",
    ),
    Row(
        "YOLOv5s in ONNX Runtime against torch, same network, one thread: one picture / 4",
        "yolov5-speed",
        speeds,
        "`make bench`",
        peer="torch: 1",
    ),
    Row(
        "the same on 8-bit integers, `yolov5s-face:int8`, against torch in float32",
        "yolov5-speed",
        lambda r: speeds(r, suffix="_int8"),
        "`make bench`",
        peer="torch: 1",
    ),
    Row(
        "faces a second through a pipeline with `mtcnn`, its stages side by side (`stream`) / in turn, two cores",
        "pipeline-rate",
        lambda r: f"{r['faces_per_second']['side by side']:.1f} / {r['faces_per_second']['in turn']:.1f}",
        "`make bench`",
    ),
    Row(
        "one picture of one face through `Pipeline.run`, time over that of its four stages called by hand, one thread",
        "pipeline-overhead",
        lambda r: f"{percent(r['overhead'])} of {r['milliseconds']['by hand']:.0f} ms",
        "`make bench`",
        peer="at most 3 %",
    ),
    Row(
        "memory while detecting 5,000 pictures of random sizes, growth after the first 500",
        "mtcnn-memory",
        lambda r: percent(r["growth"]),
        "`make bench`",
        peer="flat is 5 % or less",
    ),
    Row(
        "embedder on a Triton server, 16 in flight: composer against a plain load loop of one picture / of batches",
        "pipeline-served",
        lambda r: f"{r['ratio']:.2f} / {r['ratio_to_batches']:.2f} times its faces a second",
        "`make bench`",
        peer="at least 0.9",
    ),
    Row(
        "a request to that server, one at a time: p50 / p99, then the same network in process",
        "triton-overhead",
        lambda r: (
            f"{r['grpc']['p50_ms']:.1f} / {r['grpc']['p99_ms']:.1f} ms, "
            f"{r['in process']['p50_ms']:.1f} / {r['in process']['p99_ms']:.1f} ms"
        ),
        "`make bench`",
    ),
    Row(
        "pipeline with every network on the server, against the pipeline in process, one machine",
        "pipeline-everything-served",
        lambda r: f"{r['ratio']:.2f} times its pictures a second",
        "`make bench`",
    ),
    Row(
        "client's memory over 20,000 pictures of random sizes, embedder served, growth after the first 1,000",
        "triton-memory",
        lambda r: percent(r["growth"]),
        "`make bench`",
        peer="flat is 5 % or less",
    ),
    Row(
        "8 clients enrol and identify for two minutes on 100,000 people in PostgreSQL, the server killed once; "
        "drawn vectors, HNSW",
        "postgres",
        lambda r: (
            f"{r['enrolments_per_s']:.0f} enrolments and {r['identifications_per_s']:.0f} identifications a second; "
            f"{r['lost']} people lost, {r['doubled']} doubled, {r['met'].get('unreachable', 0)} errors, all typed; "
            f"{r['met'].get('missed', 0)} of {r['identifications_per_s'] * r['seconds']:.0f} probes not given their "
            f"name; {r['cores']} cores at a load of {r['load_average']:.0f}"
        ),
        "`make postgres`",
    ),
    Row(
        "`exact` against faiss's flat index, a million generated vectors (not faces) x 128, five closest, one thread: "
        "one probe / 64",
        "matchers-exact-1000000",
        times("ratio_one_int8", "ratio_batch_int8"),
        MATCHERS.format(1_000_000),
        peer="faiss 1.15.1: 1",
    ),
    Row(
        "the same in float32 alone (`int8=false`)",
        "matchers-exact-1000000",
        times("ratio_one_float32", "ratio_batch_float32"),
        MATCHERS.format(1_000_000),
        peer="faiss 1.15.1: 1",
    ),
    Row(
        "share of the time of one probe that reading the memory once takes: 8-bit codes / float32",
        "matchers-exact-1000000",
        lambda r: f"{percent(r['share_of_reading']['int8'])} / {percent(r['share_of_reading']['float32'])}",
        MATCHERS.format(1_000_000),
    ),
    Row(
        "`faiss` among a million of them by HNSW, one probe: recall at 1; times the rate of `exact` in float32",
        "matchers-hnsw-1000000",
        found,
        MATCHERS.format(1_000_000),
        peer="the aim: 0.99; 50",
    ),
    Row(
        "the same by product quantisation (`kind=pq`)",
        "matchers-pq-1000000",
        found,
        MATCHERS.format(1_000_000),
        peer="the aim: 0.99; 50",
    ),
    Row(
        "gallery of a million opened and one person named, after the first time: memory over that of the vectors",
        "matchers-gallery-1000000",
        lambda r: f"{r['memory_over_vectors']:.2f} times",
        MATCHERS.format(1_000_000),
        peer="at most 1.2",
    ),
    Row(
        "inference install (`pip install`, no torch), on disk",
        "install-size",
        lambda r: f"{r['megabytes']} MB",
        "`make install-size`",
        peer="with torch: 5,400 MB",
    ),
)


# the arithmetic of docs/explanation/scale.md, for so many people
SIZED = (
    (10_000, "0.4 ms", "an empty one's"),
    (100_000, "4 ms", "0.1 s and 13 MB over an empty one's"),
    (1_000_000, "40 ms", "0.7 s and 128 MB over an empty one's"),
)
SCALE_HEAD = "| what | measured | by the arithmetic | | measured by |"
SCALE = tuple(
    Row(what.format(count), f"matchers-{kind}-{count}", figure, MATCHERS.format(count), paper)
    for count, probe, opening in SIZED
    for what, kind, figure, paper in (
        ("`exact`, {:,}: one probe", "exact", one_probe, probe),
        ("gallery of {:,} opened, one person named", "gallery", opened, opening),
        ("HNSW, {:,}: recall at 1, one probe", "hnsw", graph, ""),
    )
)


def table(rows: Sequence[Row], head: str = "| what | ours | the paper's | others' | measured by |") -> str:
    """Return rows as Markdown; a figure not measured yet says so."""
    lines = [head, "|---|---|---|---|---|"]
    for row in rows:
        path = ROOT / "results" / f"{row.file}.json"
        measured = row.figure(json.loads(path.read_text("utf-8"))) if path.exists() else "not measured"
        lines.append(f"| {row.what} | {measured} | {row.paper} | {row.peer} | {row.command} |")
    return "\n".join(lines) + "\n"


def choices() -> str:
    """Return the detectors and aligners of results/defaults.json, and their picture, as Markdown."""
    file = ROOT / "results" / "defaults.json"
    if not file.exists():
        return "Not measured yet: `python -m benchmarks.defaults`.\n"
    lines = [
        "| detector | aligner | portraits without points (refused) | error | crowds: precision, recall | "
        "pairs missing | accuracy | ms a portrait | ms a crowd |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in json.loads(file.read_text("utf-8"))["rows"]:
        options = f", `{row['options']}`" if row["options"] else ""
        cells = (
            f"`{row['detector']}`{options}",
            f"`{row['aligner']}`",
            f"{row['missed']} ({row['refused']}) of {row['images']}",
            f"{row['nme']:.2f} %",
            f"{row['crowds_precision']:.3f}, {row['crowds_recall']:.3f}",
            f"{row['missing']} of {row['pairs']}",
            percent(row["accuracy"]),
            f"{row['ms']['portrait']:.0f}",
            f"{row['ms']['crowd']:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "![Faces and errors against milliseconds](../../results/defaults.png)"]) + "\n"


def indexes() -> str:
    """Return what was measured of faiss's indexes of generated people, as Markdown."""
    lines = [
        "| people | `kind` | recall at 1 | at 5 | one probe | times the rate of `exact` | beside vectors | built in |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for people in (100_000, 1_000_000):
        for kind in ("hnsw", "ivf", "pq"):
            figures = json.loads((ROOT / "results" / f"matchers-{kind}-{people}.json").read_text("utf-8"))
            cells = (
                f"{people:,}",
                f"`{kind}`",
                f"{figures['recall_at_1']:.3f}",
                f"{figures['recall_at_5']:.3f}",
                f"{figures['milliseconds']:.2f} ms",
                f"{figures['times_exact_int8']:.1f}",
                f"{figures['megabytes']:.0f} MB",
                f"{figures['processor_seconds_to_build']} s",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the tables, or with --check end with status 1 where a page says something else."""
    for page, made in PAGES.items():
        text = page.read_text("utf-8")
        before, rest = text.split(BEGIN)
        wanted = before + BEGIN + made() + END + rest.split(END)[1]
        if "--check" not in sys.argv:
            page.write_text(wanted, "utf-8")
        elif wanted != text:
            sys.exit(f"{page.name}: its table is not that of results/; run python benchmarks/report.py")


PAGES: Mapping[Path, Callable[[], str]] = {
    ROOT / "README.md": lambda: table([row for row in ROWS if row.headline]),
    ROOT / "docs" / "explanation" / "results.md": lambda: table(ROWS),
    ROOT / "docs" / "explanation" / "default-pipeline.md": choices,
    ROOT / "docs" / "explanation" / "scale.md": lambda: table(SCALE, SCALE_HEAD),
    ROOT / "plugins" / "facereg-faiss" / "README.md": indexes,
}


if __name__ == "__main__":
    main()
