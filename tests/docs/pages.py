"""The pages, cut into what tests look at: blocks, links, command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"`(facereg [^`]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language and text."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A line of a console block after `$`, and what the page shows beneath it."""

    words: tuple[str, ...]
    answer: str


def pages() -> list[Path]:
    """Return every page of the project and its plugins."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]
    return sorted(found)


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return [Block(language, text) for language, text in FENCED.findall(page.read_text("utf-8"))]


def steps(block: Block) -> Iterator[Step]:
    """Yield the lines after `$` of a console block."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, answer = part.partition("\n")
        yield Step(tuple(shlex.split(line, comments=True)), answer)


def links(page: Path) -> list[str]:
    """Return the targets of links to files of the project."""
    outside = FENCED.sub("", page.read_text("utf-8"))
    return [target for target in LINK.findall(outside) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Return the names under which the headings of a page are linked."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def commands(page: Path) -> list[tuple[str, ...]]:
    """Return each command line of facereg that a page shows, in blocks and within sentences."""
    text = page.read_text("utf-8")
    shown = [line.removeprefix("$ ") for block in blocks(page) for line in block.text.splitlines()]
    shown = [line for line in shown if line.startswith("facereg ")]
    shown += COMMAND.findall(FENCED.sub("", text))
    return [tuple(word.strip("[],") for word in line.partition(" #")[0].split()) for line in shown]
