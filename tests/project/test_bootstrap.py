"""The bootstrap cell finds the code wherever a notebook is opened, and touches neither git nor network in vain."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[2]
CELL = (ROOT / "tools" / "bootstrap_cell.py").read_text().rstrip("\n")
OFFLINE = {**os.environ, "PYTHONPATH": "", "DCGAN_REPO": "file:///nowhere"}
NO_GIT = {**OFFLINE, "PATH": "/nowhere"}

# A kernel starts with the installed package, if there is one, and has to forget it.
FORGET = """
import os, sys
sys.path[:] = [p for p in sys.path if not os.path.isdir(os.path.join(p, "dcgan_lib"))]
sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
"""


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with nothing in it, whose name needs quotes in a shell."""
    folder = tmp_path / "lone notebook"
    folder.mkdir()
    return folder


def imported_from(folder: Path, env: dict[str, str]) -> Path:
    """The folder that holds the package that a notebook in this folder gets; the cell itself says nothing."""
    script = f"{CELL}\nimport dcgan_lib\nprint(dcgan_lib.__file__)"
    bare = [sys.executable, "-S", "-c", script]  # no installed packages
    run = subprocess.run(bare, cwd=folder, env=env, capture_output=True, text=True)
    assert (run.returncode, run.stderr, run.stdout.count("\n")) == (0, "", 1), run.stderr
    return Path(run.stdout.strip()).parent.parent.resolve()


def test_lone_notebook_clones_once(repository: Path, empty: Path) -> None:
    assert imported_from(empty, {**OFFLINE, "DCGAN_REPO": repository.as_uri()}) == empty / "dcgan-repo"
    assert [path.name for path in empty.iterdir()] == ["dcgan-repo"]
    assert imported_from(empty, NO_GIT) == empty / "dcgan-repo"


@pytest.mark.parametrize("folder", [".", "notebooks", "notebooks/solutions"])
def test_checkout_needs_no_git(tmp_path: Path, folder: str) -> None:
    for part in (folder, "dcgan_lib"):
        (tmp_path / part).mkdir(parents=True, exist_ok=True)
    (tmp_path / "dcgan_lib" / "__init__.py").touch()
    assert imported_from(tmp_path / folder, NO_GIT) == tmp_path


def test_installed_package_needs_no_git(tmp_path: Path, empty: Path) -> None:
    (tmp_path / "site" / "dcgan_lib").mkdir(parents=True)
    (tmp_path / "site" / "dcgan_lib" / "__init__.py").touch()
    assert imported_from(empty, {**NO_GIT, "PYTHONPATH": str(tmp_path / "site")}) == tmp_path / "site"


@pytest.mark.parametrize("env", [OFFLINE, NO_GIT], ids=["git fails", "git is missing"])
def test_failure_is_one_sentence(empty: Path, env: dict[str, str]) -> None:
    """What Jupyter shows is the sentence and nothing else, and the cell after it does not run."""
    cells = [nbformat.v4.new_code_cell(text) for text in (FORGET, CELL, "print('went on')")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": empty}})
    with contextlib.suppress(CellExecutionError):  # the test looks at the outputs
        client.execute(env=env)
    (output,) = notebook.cells[1].outputs
    shown = "".join(output.traceback)
    assert shown == "git cannot fetch file:///nowhere: check git and the network, then try again."
    assert notebook.cells[2].outputs == []
    assert list(empty.iterdir()) == []
