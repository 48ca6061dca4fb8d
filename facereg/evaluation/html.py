"""HTML pages that need no other file: pictures are inside."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

KINDS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a report: names of columns, and rows of cells."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def html(self) -> str:
        """Return the table under its title."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.head)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in self.rows)
        return f"<h2>{escape(self.title)}</h2>\n<table><tr>{head}</tr>\n{body}</table>"


def picture(path: Path, name: str) -> str:
    """Return a PNG or JPEG file as an element that holds it.

    Raises:
        OSError: if the file cannot be read.
    """
    inside = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{escape(name)}" src="data:image/{KINDS[path.suffix.lower()]};base64,{inside}">'


def paragraphs(lines: Sequence[str]) -> list[str]:
    """Return each line as a paragraph."""
    return [f"<p>{escape(line)}</p>" for line in lines]


def page(title: str, parts: Sequence[str]) -> str:
    """Return a whole page of parts that are HTML already."""
    whole = resources.files("facereg.evaluation").joinpath("page.html").read_text("utf-8")
    return Template(whole).substitute(title=escape(title), body="\n".join(parts))


def _cell(text: str) -> str:
    kind = ' class="number"' if re.match(r"[0-9][0-9.,]*(?![\w.,-])|too few|-$", text) and len(text) < 40 else ""
    return f"<td{kind}>{escape(text)}</td>"
