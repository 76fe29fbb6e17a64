"""The house keeps its order: floors, no circle, folders of a size, and no module that hides a function."""

import ast
import importlib
import inspect
import re
import statistics
import types
from pathlib import Path

import pytest
from support.imports import circles, graph, imports, modules, room_of, upward

import jasgd

ROOT = Path(__file__).parent.parent

#: The floors of each package, lowest first. A module imports from its own floor or a lower one; docs/architecture.md
#: says what is on each. A room is a folder, or a module beside them; the package's own ``__init__`` is "".
FLOORS = {
    "jasgd": [
        [
            "inputs",
            "showing",
            "staleness_values",
            "law",
            "aligned_memory",
            "jax_settings",
            "thread_context",
            "warning_types",
        ],
        ["staleness", "data", "rules"],
        ["transforms", "adaptive", "distances", "fits", "record", "presenting", "model_state"],
        ["core", "compiling"],
        ["schemes", "testing", "callbacks"],
        ["training", "engines", "cluster", "replaying", "problems"],
        ["simulating"],
        ["experiments"],
        ["report"],
        [""],
        ["cli"],
        ["__main__"],
    ],
    "theory": [
        ["numbers"],
        ["formulas"],
        ["laws"],
        ["analysis", "candidates"],
        ["decisions", "distortions"],
        ["certificates", "convergence"],
        ["auditing", "reports", "command_line", "exit_codes", "bridge"],
        [""],
        ["verify", "check", "bounds", "table", "identities"],
    ],
    "jasgd.cluster": [
        ["durations", "recorded_durations", "changing_speeds", "draws", "parsing", "model"],
        ["generation"],
        ["calibration"],
        [""],
    ],
}
MOST_FILES = {"jasgd": 15, "theory": 12}
PACKAGES = {name for package in MOST_FILES for name, path in modules(ROOT, package).items() if path.stem == "__init__"}
SOURCES = [path for package in MOST_FILES for path in modules(ROOT, package).values()]


@pytest.mark.parametrize("package", MOST_FILES)
def test_no_module_imports_another_in_a_circle(package):
    assert circles(graph(ROOT, package)) == []


@pytest.mark.parametrize("package", FLOORS)
def test_imports_go_to_the_same_floor_or_a_lower_one(package):
    assert upward(graph(ROOT, package.partition(".")[0]), package, FLOORS[package]) == []


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_is_on_a_floor(package):
    rooms = {room_of(name, package) for name in graph(ROOT, package.partition(".")[0])} - {None}
    assert rooms == {room for floor in FLOORS[package] for room in floor}


def test_the_library_does_not_import_the_checker():
    arrows = graph(ROOT, "jasgd", "theory")
    crossing = {name for name, others in arrows.items() if any(other.startswith("theory") for other in others)}
    assert {name for name in crossing if name.startswith("jasgd")} == set()
    assert circles(arrows) == []


def test_modules_are_imported_by_name_in_the_two_faces_alone():
    """What an import by a string leads to, the tests here could not see."""
    users = {path for path in SOURCES if "import_module" in path.read_text()}
    assert users == {ROOT / package / "__init__.py" for package in MOST_FILES}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_folder_has_three_to_twelve_files_beside_its_init(package):
    folder = ROOT / package.replace(".", "/")
    files = [path for path in folder.iterdir() if path.suffix in (".py", ".h", ".cc") and path.name != "__init__.py"]
    assert 3 <= len(files) + (package in MOST_FILES) <= MOST_FILES.get(package, 12)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_says_what_is_in_it(package):
    docstring = ast.get_docstring(ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text()))
    assert docstring


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_module_hides_a_public_name_of_its_package(package):
    own = importlib.import_module(package)
    for name in modules(ROOT, package.partition(".")[0]):
        parent, _, short = name.rpartition(".")
        if parent == package and short != "__main__":
            module = importlib.import_module(name)
            assert getattr(own, short) is module, f"{name} is a module and {package}.{short} something else"


def test_files_are_short():
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert {str(path): length for path, length in lengths.items() if length > 400} == {}
    assert statistics.median(lengths.values()) <= 180
    tests = [path for path in (ROOT / "tests").rglob("*.py")]
    assert {str(path): n for path in tests if (n := len(path.read_text().splitlines())) > 400} == {}


def test_no_two_files_of_tests_have_the_same_name():
    """pytest imports them by it, and refuses the second."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert {name for name in names if names.count(name) > 1} == set()


def test_no_module_takes_a_private_name_from_another():
    private = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MOST_FILES:
                private += [f"{path}: {alias.name}" for alias in node.names if alias.name.startswith("_")]
    assert private == []


def test_what_jasgd_exports_is_what_the_page_names():
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = re.search(r"## Public names\n(.*?)(?=\n## )", page, re.DOTALL)[1]
    named = set(re.findall(r"`jasgd\.(\w+)`", section))
    assert named == {*jasgd.__all__}


def test_type_checkers_and_the_interpreter_see_the_same_public_names():
    tree = ast.parse((ROOT / "jasgd" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: (node.module, alias.name) for node in block.body for alias in node.names}
    assert set(seen) == {*jasgd.__all__}
    for name, (module, _) in seen.items():
        value = getattr(jasgd, name)
        expected = importlib.import_module(f"jasgd.{name}") if module == "jasgd" else None
        assert value is (expected or getattr(importlib.import_module(module), name))


def test_public_names_are_explained():
    for name in jasgd.__all__:
        value = getattr(jasgd, name)
        assert isinstance(value, types.ModuleType) or inspect.getdoc(value), name


def planted(folder, **files):
    for name, text in files.items():
        path = folder / "house" / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return graph(folder, "house")


@pytest.mark.parametrize(
    "back", ["from house import one", "import house.one", "def f():\n    from house.one import x",
             "if TYPE_CHECKING:\n    from house.one import x"],
)  # fmt: skip
def test_a_circle_is_found_however_it_is_hidden(tmp_path, back):
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").write_text("")
    arrows = planted(tmp_path, one="from house.two import y", two="from house.three import z", three=back)
    assert circles(arrows) == [["house.one", "house.three", "house.two"]]
    assert circles(planted(tmp_path, three="x = 1")) == []


def test_a_circle_through_a_package_itself_is_found(tmp_path):
    (tmp_path / "house" / "attic").mkdir(parents=True)
    (tmp_path / "house" / "__init__.py").write_text("")
    (tmp_path / "house" / "attic" / "__init__.py").write_text("from house.attic import box")
    arrows = planted(tmp_path, attic__box="import house.low", attic__other="", low="from house.attic import other")
    assert circles(arrows) == [["house.attic", "house.attic.box", "house.low"]]


def test_a_relative_import_is_refused(tmp_path):
    path = tmp_path / "file.py"
    path.write_text("from . import one")
    with pytest.raises(AssertionError, match="imports relatively"):
        imports(path, {"one"})


def test_an_upward_import_is_found(tmp_path):
    (tmp_path / "house" / "cellar").mkdir(parents=True)
    for folder in ("house", "house/cellar"):
        (tmp_path / folder / "__init__.py").write_text("")
    floors = [["cellar"], ["roof"], [""]]
    arrows = planted(tmp_path, cellar__wine="def f():\n    import house.roof", roof="from house.cellar import wine")
    assert upward(arrows, "house", floors) == ["house.cellar.wine imports house.roof, which is above it"]
    assert upward(planted(tmp_path, cellar__wine=""), "house", floors) == []


def test_imports_are_read_from_every_form(tmp_path):
    path = tmp_path / "file.py"
    path.write_text("import a.b as c\nfrom a import d, e\nfrom a.f import g\nimport json")
    assert imports(path, {"a", "a.b", "a.d", "a.f", "a.f.g"}) == {"a", "a.b", "a.d", "a.f.g"}


def test_no_file_of_tests_changes_what_it_imports_as_soon_as_it_is_imported():
    """The collection of doctests imports all of them into the processes that other tests run in."""
    changed = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for part in ast.walk(target)
        if isinstance(part, ast.Attribute)
    ]
    assert changed == []
