"""`make outputs`, `make check` and `make links` on small notebooks of our own."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import links, notebooks, rules

BOOTSTRAP = (rules.ROOT / "tools" / "bootstrap_cell.py").read_text().rstrip("\n")
BADGE = f"https://colab.research.google.com/github/{links.current(rules.ROOT)}/blob/main/notebooks"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project without notebooks, with what the tools read."""
    for name in ("pyproject.toml", "tools/bootstrap_cell.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((rules.ROOT / name).read_text())
    (tmp_path / "dcgan_lib").mkdir()  # so that the bootstrap cell looks no further
    return tmp_path


def write(tree: Path, *cells: nbformat.NotebookNode, name: str = "00_test.ipynb") -> Path:
    path = tree / "notebooks" / name
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def lesson(name: str, following: str | None = None) -> list[nbformat.NotebookNode]:
    """Cells of a lesson that keeps every rule."""
    body = [cell for i in range(10) for cell in (new_markdown_cell(f"Step {i}."), new_code_cell(f"print({i})"))]
    end = "## Exercises\n" + (f"Next: [the next one]({following})" if following else "")
    return [
        new_markdown_cell(f"# Title\n[![Colab](badge.svg)]({BADGE}/{name})"),
        new_code_cell(BOOTSTRAP),
        *body,
        *map(new_markdown_cell, ["## Check", "## Where this lives", "## Summary", end]),
    ]


# What stored outputs may not hold ------------------------------------------------------------------------------------

PICTURE = {"image/png": "iVBORw0KGgo/tmp/x/home/y", "text/plain": "<Figure size 640x480 with 1 Axes>"}


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (new_output("stream", name="stderr", text="hm"), "stderr"),
        (new_output("error", ename="ValueError", evalue="no", traceback=[]), "an error (ValueError: no)"),
        (new_output("stream", text="x.py:3: UserWarning: old"), "a warning"),
        (new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}}), "a widget"),
        (new_output("stream", text="saved to /home/me/x.png"), "the machine path /home/me/x.png"),
        (new_output("stream", text="PosixPath('/root/x')"), "the machine path /root"),
        (new_output("execute_result", {"text/html": "<b>/tmp/a</b>"}), "the machine path /tmp/a"),
        (new_output("stream", text="/work/x"), "the machine path /work/x"),
        (new_output("stream", text="/Users/me"), "the machine path /Users/me"),
        (new_output("stream", text="C:\\Users\\me"), "the machine path C:\\Users"),
        (new_output("stream", text=f"in {rules.ROOT}!"), "path"),
        (new_output("stream", text="<A object at 0x7f00aa11bb22>"), "a memory address"),
    ],
)
def test_refused_output(output: nbformat.NotebookNode, what: str) -> None:
    notebook = new_notebook(cells=[new_markdown_cell("Text."), new_code_cell("x", outputs=[output])])
    (problem,) = rules.output_problems(notebook, "00_test.ipynb")
    assert problem.startswith(f"00_test.ipynb, cell 1: its output holds {what}") or what == "path" in problem


@pytest.mark.parametrize(
    "output",
    [
        new_output("stream", text="data/tmp/x, runs/home, https://host.org/home/x, ~/work/x, either/or /workers"),
        new_output("display_data", PICTURE),
        new_output("execute_result", {"text/html": '<img src="data:image/png;base64,AAAA/tmp/AAA=">'}),
    ],
)
def test_harmless_output(output: nbformat.NotebookNode) -> None:
    assert list(rules.output_problems(new_notebook(cells=[new_code_cell("x", outputs=[output])]), "n")) == []


# make outputs --------------------------------------------------------------------------------------------------------


def test_outputs_of_a_lesson_keep_every_rule(tree: Path) -> None:
    cells = lesson("00_test.ipynb")
    cells[3].source = "import sys\nprint(1)\nsys.stdout.flush()\nprint(2)\n3"
    cells[3].metadata = {"tags": ["keep"], "execution": {"x": "1"}, "collapsed": True}
    path = write(tree, *cells)
    assert any("do not belong" in problem for problem in notebooks.check(tree))  # never run so far
    assert list(notebooks.outputs(tree, [], False)) == []
    assert list(notebooks.check(tree)) == []
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    assert stored.cells[3].metadata == {"tags": ["keep"]}
    assert [output.get("text", output.get("data")) for output in stored.cells[3].outputs] == [
        "1\n2\n",
        {"text/plain": "3"},
    ]
    assert stored.cells[3].outputs[1].execution_count == stored.cells[3].execution_count == 2


def test_only_stale_notebooks_run(tree: Path) -> None:
    path = write(tree, new_code_cell("print('once')"))
    assert list(notebooks.outputs(tree, ["00"], False)) == []
    path.write_text(path.read_text().replace('"once\\n"', '"twice\\n"'))  # an output, not a source
    assert list(notebooks.outputs(tree, [], False)) == []
    assert '"twice\\n"' in path.read_text()
    assert list(notebooks.outputs(tree, [], True)) == []
    assert '"twice\\n"' not in path.read_text()


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import sys; print('hm', file=sys.stderr)", "stderr (hm)"),
        ("1 / 0", "an error (ZeroDivisionError: division by zero)"),
        ("import warnings; warnings.warn('old')", "stderr"),
        ("import os; print(os.getcwd())", "machine path"),
        ("print('x' * 1_300_000)", "larger than 1,200,000 bytes"),
    ],
)
def test_refused_notebook_stays_as_it_was(tree: Path, source: str, what: str) -> None:
    path = write(tree, new_code_cell("print('fine')"), new_code_cell(source))
    before = path.read_bytes()
    problems = list(notebooks.outputs(tree, [], False))
    assert what in problems[0]
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_outputs_of_an_unknown_notebook(tree: Path) -> None:
    assert list(notebooks.outputs(tree, ["77"], False)) == [
        "No notebook begins with 77: name one by its number, as in NB=03."
    ]


# make check ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda cells: cells[1].update(source="import dcgan_lib"), "first code cell"),
        (lambda cells: cells[0].update(source="# Title"), "Colab badge"),
        (lambda cells: cells.pop(), "last headings"),
        (lambda cells: cells[-1].update(source="## Exercises\n"), "no link to the next notebook"),
        (lambda cells: cells.insert(-2, cells.pop()), "last headings"),
        (lambda cells: cells.__delitem__(slice(2, 10)), "cells, and a lesson has 25 to 45"),
        (lambda cells: cells.extend(new_markdown_cell("x") for _ in range(30)), "cells, and a lesson has 25 to 45"),
        (lambda cells: cells.extend(new_code_cell("x") for _ in range(6)), "text cells to"),
        (lambda cells: cells[3].update(source="x = 1\n" * 31), "31 lines of code"),
        (lambda cells: [c.update(source="x = 1\n" * 9) for c in cells[2:] if c.cell_type == "code"], "median of 9"),
        (lambda cells: cells[3].update(source="%pip install x --find-links y"), "where packages come from"),
    ],
)
def test_broken_lesson(tree: Path, change, what: str) -> None:
    write(tree, *lesson("01_next.ipynb"), name="01_next.ipynb")
    cells = lesson("00_test.ipynb", "01_next.ipynb")
    assert list(rules.lesson_problems(write(tree, *cells), tree)) == []
    change(cells)
    path = write(tree, *cells)
    assert any(what in problem for problem in [*rules.lesson_problems(path, tree), *rules.stored_problems(path, tree)])


@pytest.mark.parametrize("part", ["source", "tags", "cell_type"])
def test_hash_changes_with_the_cells(tree: Path, part: str) -> None:
    notebook = {"cells": [{"source": "x", "cell_type": "code", "metadata": {"tags": []}}]}
    before = rules.source_hash(notebook, tree)
    cell = notebook["cells"][0]
    if part == "tags":
        cell["metadata"]["tags"] = ["nbval-skip"]
    else:
        cell[part] = "markdown"
    assert rules.source_hash(notebook, tree) != before


def test_floats_are_those_of_one_thread(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    asks = new_code_cell("import os; print(os.environ['OMP_NUM_THREADS'])")
    paths = [
        write(tree, new_code_cell(BOOTSTRAP), asks, name=n) for n in ("00_a.ipynb", notebooks.MEASURES_THE_MACHINE)
    ]
    assert list(notebooks.outputs(tree, [], False)) == []
    said = [json.loads(path.read_text())["cells"][1]["outputs"][0]["text"] for path in paths]
    assert said == [["1\n"], ["3\n"]]


@pytest.mark.parametrize("place", ["widgets", "execution", "count", "id"])
def test_what_an_editor_leaves_is_found(tree: Path, place: str) -> None:
    path = write(tree, new_code_cell(BOOTSTRAP), new_code_cell("1"))
    assert list(notebooks.outputs(tree, [], False)) == []
    assert list(rules.stored_problems(path, tree)) == []
    notebook = json.loads(path.read_text())
    cell = notebook["cells"][1]
    changes = {
        "widgets": lambda: notebook["metadata"].update(widgets={}),
        "execution": lambda: cell["metadata"].update(execution={}),
        "count": lambda: cell.update(execution_count=7),
        "id": lambda: cell.update(id="abc"),
    }
    changes[place]()
    path.write_text(json.dumps(notebook))
    assert ["editor left" in problem for problem in rules.stored_problems(path, tree)] == [True]


# make links ----------------------------------------------------------------------------------------------------------


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    run = [sys.executable, "-m", "tools.notebooks", *arguments]
    return subprocess.run(run, cwd=folder, capture_output=True, text=True)


def files_with(folder: Path, text: str) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    return [str(path.relative_to(folder)) for path in files if text.encode() in path.read_bytes()]


def test_links_reach_every_file_and_leave_outputs_fresh(checkout: Path) -> None:
    old = links.current(checkout)
    cells = [new_markdown_cell(f"{BADGE}/99_demo.ipynb and the fraction a/b"), new_code_cell(BOOTSTRAP)]
    demo = write(checkout, *cells, name="99_demo.ipynb")
    notebook = nbformat.read(demo, as_version=4)
    notebooks.tidy(notebook, 0, checkout)
    nbformat.write(notebook, demo)
    places = files_with(checkout, old)
    assert {"pyproject.toml", "tools/bootstrap_cell.py", "notebooks/99_demo.ipynb"} <= set(places)

    for name in ("a/b", "some-one/dc.gan_2"):
        done = command(checkout, "links", name)
        assert done.returncode == 0, done.stderr
        assert files_with(checkout, old) == []
        assert links.current(checkout) == name
        assert set(places) <= set(files_with(checkout, name))
        assert list(rules.stored_problems(demo, checkout)) == []
    assert files_with(checkout, "github.com/a/b") == files_with(checkout, "github/a/b") == []
    assert "the fraction a/b" in demo.read_text()


@pytest.mark.parametrize("name", ["", "name", "owner/", "owner/na me", "a/b/c", "https://host.org/a/b", "a/..", "-a/b"])
def test_malformed_name_changes_nothing(checkout: Path, name: str) -> None:
    done = command(checkout, "links", "--", name)
    assert done.returncode == 1
    assert done.stderr == f'REPO must read owner/name, as in the address of your repository, and "{name}" does not.\n'
    assert links.current(checkout) == links.current(rules.ROOT)


def test_commands_end_with_a_status(checkout: Path) -> None:
    for path in rules.notebooks(checkout):
        path.unlink()
    assert command(checkout, "check").returncode == 0
    write(checkout, new_code_cell("1"))
    done = command(checkout, "check")
    assert done.returncode == 1
    assert "00_test.ipynb: its outputs do not belong to its cells any more: run make outputs." in done.stderr
