"""The report of a study: one Markdown page beside its pictures, and one HTML page with them inside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from facereg.disk.replacing import write_file
from facereg.evaluation.html import Table, page, paragraphs, picture
from facereg.evaluation.plots import plot_verification
from facereg.pipeline.composition import StageChoice
from facereg.study.plan import PublishedRow, StudyPlan
from facereg.study.rows import RowResult

RATES = {"0.1": "10 %", "0.01": "1 %", "0.001": "0.1 %"}
NONE = "-"


def write_pages(
    plan: StudyPlan, rows: Sequence[RowResult], failed: Mapping[str, str], *, pairs: int, maps: Path | None
) -> tuple[Path, ...]:
    """Write `report.md` and `report.html` into the study's folder, and the curves of all models in one picture.

    Args:
        failed: why rows are not in it, by name.
        pairs: how many were compared.
        maps: a picture of a few people; None where there is none.
    Raises:
        FaceregError: if a file cannot be written.
    """
    pictures: dict[str, Path] = {}
    if rows:
        pictures["ROC and DET of all models"] = plan.out / "curves.png"
        plot_verification(plan.out / "curves.png", {row.name: row.curve for row in rows}, f"ROC, {pairs:,} pairs")
    if maps is not None:
        pictures["A few people, as each model sees them (UMAP)"] = maps
    tables = _tables([row.figures for row in rows], plan.published)
    lines = _introduction(plan, pairs)
    failures = [f"{name} is not in the tables: {reason}" for name, reason in failed.items()]
    written = (plan.out / "report.md", plan.out / "report.html")
    write_file(written[0], _markdown(plan.title, lines, tables, failures, pictures).encode())
    write_file(written[1], _html(plan.title, lines, tables, failures, pictures).encode())
    return written


def _introduction(plan: StudyPlan, pairs: int) -> list[str]:
    test = plan.test
    chosen = "each fold's threshold is chosen on the others"
    if test.threshold_pairs is not None:
        chosen = f"the threshold is chosen on {test.threshold_pairs.name}"
    stages = test.stages
    lines = [
        f"{pairs:,} pairs of {test.pairs.name} ({test.format}), none left out: a pair that lacks a face is refused. "
        f"Faces by {_stage(stages.detector)}, aligned by {_stage(stages.aligner)}; mirrored crops: {test.flip}; "
        f"{chosen}.",
    ]
    if test.draws:
        lines.append(
            f"In brackets: bounds that hold 95 % of {test.draws:,} draws of the people (of the pairs, where nobody "
            "knows who is in a picture)."
        )
    return lines


def _stage(choice: StageChoice) -> str:
    """Return a stage's name, with what was chosen of it."""
    chosen = [f"{name}={value}" for name, value in choice.options.items()]
    chosen += [] if choice.weights is None else [f"weights {Path(choice.weights).name}"]
    return f"{choice.name} ({', '.join(chosen)})" if chosen else choice.name


def _tables(figures: Sequence[Mapping[str, Any]], published: Sequence[PublishedRow]) -> list[Table]:
    result = Table(
        "Verification, in %",
        ("model", "embedding", "accuracy", *(f"TPR at FAR {name}" for name in RATES.values()), "pairs without a face"),
        tuple(_measured(one) for one in figures) + tuple(_published(one) for one in published),
    )
    tables = [result]
    folded = [one for one in figures if one.get("tpr_at_far_folds")]
    if folded:
        tables.append(
            Table(
                "TPR in %, the threshold of each fold chosen on the others (FAR that came of it)",
                ("model", *(f"FAR {name}" for name in RATES.values())),
                tuple((str(one["name"]), *(_folded(one, rate) for rate in RATES)) for one in folded),
            )
        )
    cost = Table(
        "Speed and size",
        ("model", "crops a second", "MB", "pictures embedded in", "trained in", "machine"),
        tuple(
            (
                str(one["name"]),
                f"{one['crops_per_s']:,.1f}",
                NONE if one["megabytes"] is None else f"{one['megabytes']:.1f}",
                _time(one["embed_s"]),
                _time(one.get("train_s")),
                str(one["processor"]),
            )
            for one in figures
        ),
    )
    origin = Table(
        "How each row came about",
        ("model", "recipe", "settings", "seed", "data", "embedder", "commit", "measured"),
        tuple(
            (
                str(one["name"]),
                one["recipe"] or "none: as it stands",
                ", ".join(f"{key}={value}" for key, value in one.get("settings", {}).items()) or NONE,
                NONE if one.get("seed") is None else str(one["seed"]),
                f"{one['data']} ({one['data_sha256'][:12]})" if "data" in one else NONE,
                str(one["space"]),
                str(one["commit"] or f"facereg {one['facereg']}"),
                str(one["measured"]),
            )
            for one in figures
        ),
    )
    return [*tables, cost, origin] if figures else tables


def _measured(one: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy = f"{_percent(one['accuracy'])}"
    if one["folds"] > 1:
        accuracy += f" ± {_percent(one['accuracy_std'])}"
    accuracy += _span(one.get("accuracy_low"), one.get("accuracy_high"))
    rates = []
    for rate in RATES:
        low, high = (one.get(f"tpr_at_far_{end}", {}).get(rate) for end in ("low", "high"))
        value = one["tpr_at_far"].get(rate)
        rates.append("too few pairs" if value is None else _percent(value) + _span(low, high))
    return (str(one["name"]), str(one["embedding"]), accuracy, *rates, str(one["missing"]))


def _published(row: PublishedRow) -> tuple[str, ...]:
    rates = [_percent(row.rates[rate]) if rate in row.rates else NONE for rate in RATES]
    accuracy = NONE if row.accuracy is None else _percent(row.accuracy)
    return (f"{row.name} (published)", str(row.embedding or NONE), accuracy, *rates, NONE)


def _folded(one: Mapping[str, Any], rate: str) -> str:
    value = one["tpr_at_far_folds"].get(rate)
    if value is None:
        return "too few pairs"
    return f"{_percent(value)} ± {_percent(one['tpr_at_far_folds_std'][rate])} ({_percent(one['far_folds'][rate])})"


def _percent(value: float) -> str:
    return f"{value * 100:.2f}"


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{_percent(low)}, {_percent(high)}]"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def _markdown(
    title: str, lines: Sequence[str], tables: Sequence[Table], failures: Sequence[str], pictures: Mapping[str, Path]
) -> str:
    parts = [f"# {title}", *lines]
    for table in tables:
        rows = [table.head, ("---",) * len(table.head), *table.rows]
        parts += [f"## {table.title}", "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)]
    parts += map(_plain, failures)
    parts += [f"![{name}]({path.name})" for name, path in pictures.items()]
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Return text of others as Markdown that shows it as it is, in one line."""
    escaped = re.sub(r"[\\`*<~]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", " ".join(text.splitlines()))
    return escaped.replace("[", "\\[") if "](" in escaped else escaped


def _html(
    title: str, lines: Sequence[str], tables: Sequence[Table], failures: Sequence[str], pictures: Mapping[str, Path]
) -> str:
    parts = [*paragraphs(lines), *(table.html() for table in tables), *paragraphs(failures)]
    parts += [f"<h2>{escape(name)}</h2>\n{picture(path, name)}" for name, path in pictures.items()]
    return page(title, parts)
