"""The site of these pages, by Sphinx: `make docs`. Read from the repository's root, model cards among them."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

PACKAGES = ("facereg", "facereg.testing", "facereg.training", "facereg.evaluation", "facereg.data", "facereg.networks")
REPEATING = ("facereg.evaluation", "facereg.data")  # names that facereg.training also has

project = "facereg"
author = copyright = "the facereg authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "docs/README"
include_patterns = ["docs/**", "plugins/*/README.md", "*.md"]
exclude_patterns = ["docs/examples/**/src/**"]
html_theme = "furo"
html_title = "facereg"
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
copybutton_prompt_text = "$ "
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # Lightning writes its own for other directives


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Give the first page its sidebar, from its own lists of links, and the page of names their docstrings."""
    place = Path(app.srcdir, page).parent
    source[0] = re.sub(r"\[([^]]+)\]\(([./\w-]+)\)", lambda at: at[1] if (place / at[2]).is_dir() else at[0], source[0])
    if page == root_doc:
        for heading, links in re.findall(r"^## (.+)\n((?:.|\n)*?)(?=^## |\Z)", source[0], re.M):
            source[0] += contents(heading, re.findall(r"^- \[.*?\]\(([^)]+)\.(?:md|ipynb)\)", links, re.M))
        source[0] += contents("Model cards", ["../plugins/*/README", "examples/*/README"])
        source[0] += contents("Project", [f"../{name}" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")])
    elif page == "docs/reference/python-api":
        for name in PACKAGES:
            source[0] += f"\n## All of `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n"
            source[0] += "   :no-index:\n```\n" if name in REPEATING else "```\n"


def contents(heading: str, pages: list[str]) -> str:
    """Return a part of the sidebar."""
    return "\n".join(["\n```{toctree}", ":hidden:", ":glob:", f":caption: {heading}", "", *pages, "```\n"])


def unfence(app: Sphinx, kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Turn the examples of a docstring, fenced as in Markdown, into reStructuredText's blocks."""
    inside, found = False, list[str]()
    for line in lines:
        if line.startswith("```"):
            inside = not inside
            found += ["", "::", ""] if inside else [""]
        else:
            found.append(f"    {line}" if inside else line)
    lines[:] = found


def setup(app: Sphinx) -> None:
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", unfence)
