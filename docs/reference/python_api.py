"""Write what facereg exports: python-api.md, a line a name, and public.txt, with signatures.

`python docs/reference/python_api.py` writes both. Public is what a package names in its `__all__`, nothing else.
Nothing is imported: the sources are read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).with_name("python-api.md")
SIGNATURES = Path(__file__).with_name("public.txt")
HEAD = """\
# Python

Every public name in a line: what the packages below export, and nothing else; a plugin imports from `facereg`, \
`facereg.gallery`, `facereg.testing` and `facereg.training`. The docstring of each, with arguments, shapes and errors, \
is in the file linked. Signatures are in [public.txt](public.txt), which a test holds. Both are written by \
[`python_api.py`](python_api.py).
"""
Defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for package, names in packages().items():
        about = _first(ast.get_docstring(_tree(_file(package))) or "")
        parts += [f"## `{package}`\n", f"{about}\n", "| name | what |\n|---|---|"]
        parts += [_line(name, *find(package, name)) for name in names]
        parts.append("")
    return "\n".join(parts)


def signatures() -> str:
    """Return every public name with its signature: of classes, also fields and methods, those to be written too."""
    lines: list[str] = []
    for package, names in packages().items():
        lines.append(f"{package}")
        for name in names:
            lines += [f"    {line}" for line in _signature(find(package, name)[0])]
    return "\n".join(lines) + "\n"


def packages() -> dict[str, list[str]]:
    """Return the names that each package exports, the library's own first."""
    found = {}
    for path in sorted((ROOT / "facereg").rglob("__init__.py")):
        if names := [name for node in _tree(path).body for name in _exports(node)]:
            own = ["CONTRACT"] if path.parent == ROOT / "facereg" else []
            found[".".join(path.parent.relative_to(ROOT).parts)] = sorted(own + names, key=_constants_first)
    return found


def _exports(node: ast.stmt) -> list[str]:
    """Return what a statement of a package exports: its `__all__`, or the names that it imports on first use."""
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
        return list(ast.literal_eval(node.value))
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return [alias.name for each in node.body if isinstance(each, ast.ImportFrom) for alias in each.names]
    return []


def _constants_first(name: str) -> tuple[bool, bool, str]:
    return not name.isupper(), name[0].islower(), name


def find(module: str, name: str) -> tuple[Defined, Path]:
    """Return where a name is defined, followed from module to module, and the file."""
    path = _file(module)
    for node in _tree(path).body:
        if name in _defines(node):
            assert isinstance(node, Defined)
            return node, path
    for imported in ast.walk(_tree(path)):
        if isinstance(imported, ast.ImportFrom) and name in {alias.name for alias in imported.names}:
            return find(str(imported.module), name)
    raise SystemExit(f"{path}: exports {name!r}, which it neither defines nor imports")


def _defines(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [ast.unparse(node.target)]
    return [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []


def _signature(node: Defined) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from (f"@{ast.unparse(each)}" for each in node.decorator_list if ast.unparse(each) != "final")
        start = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
        returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
        yield f"{start} {node.name}({ast.unparse(node.args)}){returns}"
    elif isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        yield f"class {node.name}({bases})" if bases else f"class {node.name}"
        for member in node.body:
            if isinstance(member, Defined) and _is_public(member):
                yield from (f"    {line}" for line in _signature(member))
    else:
        yield ast.unparse(node)


def _is_public(member: Defined) -> bool:
    """Whether users or plugins meet a member: a plugin writes the abstract ones, underscore or not."""
    [name, *_] = _defines(member)
    written = any(ast.unparse(each) == "abstractmethod" for each in getattr(member, "decorator_list", []))
    return written or name == "__init__" or not name.startswith("_")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _first(docstring: str) -> str:
    """Return the first paragraph on one line, up to its first sentence's end."""
    text = " ".join(docstring.split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".") + "."


def _line(name: str, node: Defined, path: Path) -> str:
    link = f"../../{path.relative_to(ROOT).as_posix()}"
    if isinstance(node, ast.Assign | ast.AnnAssign):
        what = _comment(path, node) or f"`{' '.join(ast.unparse(node).split())}`"
    else:
        what = _first(ast.get_docstring(node) or "")
    return f"| [`{name}`]({link}) | {what.replace('|', chr(92) + '|')} |"


def _comment(path: Path, node: ast.stmt) -> str:
    """Return what the comment at the end of a line says."""
    line = path.read_text("utf-8").splitlines()[int(node.end_lineno or 1) - 1]
    text = line.partition("  # ")[2]
    return text[:1].upper() + text[1:] + "." if text else ""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    SIGNATURES.write_text(signatures(), "utf-8")
