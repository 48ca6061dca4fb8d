"""Write python-api.md, every public name of facereg in a line: `python docs/reference/python_api.py`."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).with_name("python-api.md")
# The command line is documented by itself; the others are of no use to callers.
LEFT_OUT = (
    "facereg.cli",
    "facereg.__main__",
    "facereg.gallery.schema",
    "facereg.gallery.rows",
    "facereg.pipeline.waiting",
    "facereg.registry.templates",
    "facereg.serving.keeper",
)
HEAD = """\
# Python

Every public class and function in a line; its docstring, with arguments, shapes and errors, is in the file linked. \
Written by [`python_api.py`](python_api.py) from the docstrings.
"""


def page() -> str:
    """Return the page as Markdown."""
    homes = _homes(ROOT / "facereg" / "__init__.py")
    parts = [HEAD, "## `facereg`\n", "What most programs need.\n", "| name | what |\n|---|---|"]
    top = [row for module, path in _modules() for row in _rows(path) if homes.get(row[0]) == module]
    parts += [_line(*row) for row in sorted(top)]
    for module, path in _modules():
        rows = [row for row in _rows(path) if homes.get(row[0]) != module]
        if rows:
            about = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            parts += [f"\n## `{module}`\n", f"{_first(about)}\n", "| name | what |\n|---|---|"]
            parts += [_line(*row) for row in rows]
    return "\n".join(parts) + "\n"


def _modules() -> list[tuple[str, Path]]:
    """Return the modules that callers may import, by name."""
    found = []
    for path in sorted((ROOT / "facereg").rglob("*.py")):
        names = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(names[:-1] if names[-1] == "__init__" else names)
        if not any(module == name or module.startswith(f"{name}.") for name in LEFT_OUT):
            found.append((module, path))
    return sorted(found)


def _homes(init: Path) -> dict[str, str]:
    """Return the module of each name that `facereg` itself gives: its table _HOMES."""
    for node in ast.parse(init.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            table: dict[str, tuple[str, ...]] = ast.literal_eval(node.value)
            return {name: module for module, names in table.items() for name in names}
    raise SystemExit(f"{init}: expected a table _HOMES, found none")


def _rows(path: Path) -> list[tuple[str, str, Path]]:
    """Return name, first sentence and file of each public class and function of a module."""
    return [
        (node.name, _first(ast.get_docstring(node) or ""), path)
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node)
    ]


def _first(docstring: str) -> str:
    """Return the first paragraph on one line, up to its first sentence's end."""
    text = " ".join(docstring.split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".") + "."


def _line(name: str, what: str, path: Path) -> str:
    link = f"../../{path.relative_to(ROOT).as_posix()}"
    return f"| [`{name}`]({link}) | {what.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
