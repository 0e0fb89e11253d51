"""The library's floors: a module imports only what is to its right, and nothing imports in a circle."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = """__main__ | cli lab checks | clinic | trainer viz | checkpoint images metrics speed curves | networks data
    | config training history sampling | losses utils | __init__"""
FLOOR = {name: number for number, names in enumerate(FLOORS.split("|")) for name in names.split()}
STRANGERS = {("cli", "viz")}
KNOWS = {"losses": set(), "networks": {"config", "utils.errors"}, "training": {"losses", "utils.distributed"}}
"""All that these import of the library; of other packages they know torch alone."""


def imports(path: Path, root: Path) -> set[str]:
    """The modules that a file imports, wherever in it: `dcgan_lib.data.cache`, `torch.optim`."""
    package, found = ".".join(path.relative_to(root).parent.parts), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            for name in (f"{base}.{alias.name}" for alias in node.names):
                place = root.joinpath(*name.split("."))
                found.add(name if place.is_dir() or place.with_suffix(".py").exists() else base)
    return found


def problems(root: Path) -> list[str]:
    """What is wrong with the imports of the library in this folder, one sentence each."""
    package, found, graph = root / "dcgan_lib", [], {}
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        used = imports(path, root)
        graph[name] = {module.removeprefix("dcgan_lib.") for module in used if module.startswith("dcgan_lib.")}
        outside = {module.partition(".")[0] for module in used} - sys.stdlib_module_names - {"dcgan_lib", "torch"}
        own = name.partition(".")[0]
        if own not in FLOOR:
            found.append(f"{own} has no floor.")
            continue
        for module in sorted(graph[name]):
            other = module.partition(".")[0]
            if own != other and (FLOOR[own] >= FLOOR.get(other, -1) or (own, other) in STRANGERS):
                found.append(f"{name} imports {module}.")
        if name in KNOWS:
            found += [f"{name} knows {module}." for module in sorted((graph[name] - KNOWS[name]) | outside)]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"{' imports '.join(reversed(error.args[1]))}, a circle.")
    front = [path for path in package.glob("*.py") if path.stem not in ("__init__", "__main__")]
    folders = [path for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"]
    if len(front) > 10 or len(folders) > 9:
        found.append(f"{len(front)} modules and {len(folders)} folders are too many to see at once.")
    return found


def test_the_library_keeps_its_floors() -> None:
    assert problems(ROOT) == []


GOOD = {
    "__main__": "def main():\n    from dcgan_lib.cli import commands",
    "cli/commands": "from dcgan_lib.trainer import Trainer\nimport numpy",
    "trainer": "from dcgan_lib import networks\nfrom dcgan_lib.data import load",
    "viz/show": "import dcgan_lib.networks",
    "networks": "import math\nfrom torch import nn\nfrom dcgan_lib.config import Config",
    "data/__init__": "from dcgan_lib.data.loading import load",
    "data/loading": "from dcgan_lib.data.cache import read\nfrom ..config import Config",
    "data/cache": "from dcgan_lib.utils import files",
    "config": "from dcgan_lib.utils.errors import require",
    "losses": "import torch",
    "utils/files": "from dcgan_lib.utils.errors import require",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"config": "from dcgan_lib.networks import Generator"}, ["config imports networks.", "circle"]),
        ({"data/cache": "def read():\n    from dcgan_lib import trainer"}, ["data.cache imports trainer.", "circle"]),
        ({"viz/show": "from dcgan_lib import trainer"}, ["viz.show imports trainer."]),
        ({"lab/live": "from dcgan_lib.cli import commands"}, ["lab.live imports cli.commands."]),
        ({"cli/train": "from dcgan_lib.viz.show import show"}, ["cli.train imports viz.show."]),
        ({"utils/files": "from ..config import Config"}, ["utils.files imports config."]),
        ({"data/cache": "from dcgan_lib.data import load"}, ["circle"]),
        ({"losses": "import numpy"}, ["losses knows numpy."]),
        ({"networks": "from dcgan_lib.utils.files import write"}, ["networks knows utils.files."]),
        ({"__init__": "from dcgan_lib import config"}, ["__init__ imports config."]),
        ({"extra": ""}, ["extra has no floor."]),
        ({f"lab{i}/__init__": "" for i in range(9)}, ["no floor"] * 9 + ["13 folders are too many"]),
    ],
)
def test_a_wrong_import_is_seen(tmp_path: Path, changes: dict[str, str], expected: list[str]) -> None:
    for name, text in {**GOOD, **changes}.items():
        path = tmp_path / "dcgan_lib" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = problems(tmp_path)
    assert len(found) == len(expected), found
    assert all(part in problem for part, problem in zip(expected, found, strict=True)), found
