"""The bootstrap cell finds the code wherever a notebook is opened, and touches neither git nor network in vain."""

import contextlib
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
CELL = (ROOT / "tools" / "bootstrap_cell.py").read_text().rstrip("\n")
WHERE = "import dcgan_lib\nprint(dcgan_lib.__file__)"

# Python runs this file of a folder on PYTHONPATH at every start. It makes a kernel forget the installed package.
FORGET = """
import os, sys
sys.path[:] = [p for p in sys.path if not os.path.isdir(os.path.join(p, "dcgan_lib"))]
sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
"""


class Reader:
    """Somebody who opens a notebook in a folder and runs its first cells."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        (home / "sitecustomize.py").write_text(FORGET)
        self.variables = {**os.environ, "PYTHONPATH": str(home), "DCGAN_REPO": "file:///nowhere"}

    def run(self, folder: Path, *cells: str) -> list[nbformat.NotebookNode]:
        """Run the bootstrap cell and others with that working folder, and return the cells with their outputs."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (CELL, *cells)])
        client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}})
        with contextlib.suppress(CellExecutionError):  # the test looks at the outputs
            client.execute(env=self.variables)
        return notebook.cells

    def imported_from(self, folder: Path) -> Path:
        """The folder that holds the package that the notebook got."""
        first, second = self.run(folder, WHERE)
        assert first.outputs == []
        assert [output.get("name", output.output_type) for output in second.outputs] == ["stdout"], second.outputs
        return Path(second.outputs[0].text.strip()).parent.parent.resolve()


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path / "home")


@pytest.fixture
def no_git(reader: Reader, tmp_path: Path) -> None:
    """A git that only fails: whoever calls it shows it."""
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho called >> "{tmp_path}/git_calls"\nexit 99\n')
    fake.chmod(0o755)
    reader.variables["PATH"] = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with nothing in it, whose name needs quotes in a shell."""
    folder = tmp_path / "lone notebook"
    folder.mkdir()
    return folder


def test_cell_is_short() -> None:
    assert len([line for line in CELL.splitlines() if line]) <= 15


def test_lone_notebook_clones_once(reader: Reader, repository: Path, empty: Path) -> None:
    reader.variables["DCGAN_REPO"] = repository.as_uri()
    assert reader.imported_from(empty) == empty / "dcgan-repo"
    assert [path.name for path in empty.iterdir()] == ["dcgan-repo"]
    reader.variables["DCGAN_REPO"] = "file:///nowhere"  # a second clone would fail
    assert reader.imported_from(empty) == empty / "dcgan-repo"


@pytest.mark.usefixtures("no_git")
@pytest.mark.parametrize("folder", [".", "notebooks", "notebooks/solutions"])
def test_checkout_needs_no_git(reader: Reader, tmp_path: Path, folder: str) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "notebooks" / "solutions").mkdir(parents=True)
    shutil.copytree(ROOT / "dcgan_lib", checkout / "dcgan_lib", ignore=shutil.ignore_patterns("__pycache__"))
    assert reader.imported_from(checkout / folder) == checkout
    assert not (tmp_path / "git_calls").exists()


@pytest.mark.usefixtures("no_git")
def test_installed_package_needs_no_git(reader: Reader, tmp_path: Path, empty: Path) -> None:
    installed = tmp_path / "site"
    (installed / "dcgan_lib").mkdir(parents=True)
    (installed / "dcgan_lib" / "__init__.py").touch()
    reader.variables["PYTHONPATH"] = str(installed)  # in place of the file that makes Python forget
    assert reader.imported_from(empty) == installed
    assert not (tmp_path / "git_calls").exists()


@pytest.mark.parametrize("repository_url", ["file:///nowhere", "https://127.0.0.1:9/owner/name"])
def test_failure_is_one_sentence(reader: Reader, empty: Path, repository_url: str) -> None:
    reader.variables["DCGAN_REPO"] = repository_url
    assert_one_sentence(reader, empty, repository_url)


@pytest.mark.usefixtures("no_git")
def test_missing_git_is_one_sentence(reader: Reader, tmp_path: Path, empty: Path) -> None:
    (tmp_path / "bin" / "git").unlink()
    reader.variables["PATH"] = str(tmp_path / "bin")
    assert_one_sentence(reader, empty, "file:///nowhere")


def assert_one_sentence(reader: Reader, folder: Path, url: str) -> None:
    """What Jupyter shows is the sentence and nothing else, and the cell after it does not run."""
    first, second = reader.run(folder, "print('went on')")
    assert [output.output_type for output in first.outputs] == ["error"]
    shown = "".join(first.outputs[0].traceback)
    assert shown == f"git could not fetch {url}: check git and the network, then run this cell again."
    assert second.outputs == []
    assert list(folder.iterdir()) == []
