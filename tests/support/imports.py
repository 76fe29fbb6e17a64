"""Which module imports which, read from the source: lazy imports and those for type checkers included."""

import ast
from pathlib import Path


def modules(root: Path, package: str) -> dict[str, Path]:
    """The modules of a package by dotted name; a package is named by its folder, and is its ``__init__``."""
    paths = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


def imports(path: Path, names: set[str]) -> set[str]:
    """The modules among ``names`` that a file imports, wherever in it the import stands."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                imported.add(inner if inner in names else node.module)
    return {name for name in imported if name in names}


def graph(root: Path, *packages: str) -> dict[str, set[str]]:
    """The imports of every module of the packages."""
    paths = {name: path for package in packages for name, path in modules(root, package).items()}
    arrows = {}
    for name, path in paths.items():
        direct = imports(path, set(paths))
        # To import a module is to import the packages that it lies in, but for those that are being imported already.
        outer = {parent for other in direct for parent in _parents(other)} - {name, *_parents(name)}
        arrows[name] = (direct | outer) - {name}
    return arrows


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a circle, by Tarjan's algorithm; each is sorted."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for other in sorted(arrows[name]):
            if other not in numbers:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], numbers[other])
        if lowest[name] == numbers[name]:
            start = stack.index(name)
            group = stack[start:]
            del stack[start:]
            if len(group) > 1 or name in arrows[name]:
                groups.append(sorted(group))

    for name in sorted(arrows):
        if name not in numbers:
            visit(name)
    return groups


def room_of(name: str, package: str) -> str | None:
    """The folder or module of a package that a module lies in, "" for the package itself; None outside."""
    if name == package:
        return ""
    return name[len(package) + 1 :].partition(".")[0] if name.startswith(package + ".") else None


def upward(arrows: dict[str, set[str]], package: str, floors: list[list[str]]) -> list[str]:
    """The imports within a package that lead to a higher floor, as sentences."""
    height = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    sentences = []
    for name in sorted(arrows):
        for other in sorted(arrows[name]):
            own, others = room_of(name, package), room_of(other, package)
            if own is not None and others is not None and own != others and height[others] > height[own]:
                sentences.append(f"{name} imports {other}, which is above it")
    return sentences
