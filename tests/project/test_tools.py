"""The notebooks keep the rules of tools/rules.py; `make outputs`, `check` and `links` on small ones of our own."""

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

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


def write(tree: Path, *cells: nbformat.NotebookNode, name: str = "00_test.ipynb", tidy: bool = False) -> Path:
    """Write a notebook with these cells, tidy: as `make outputs` leaves it."""
    path, notebook = tree / "notebooks" / name, new_notebook(cells=list(cells))
    path.parent.mkdir(exist_ok=True)
    if tidy:
        notebooks.tidy(notebook, 0, tree)
    nbformat.write(notebook, path)
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


@pytest.mark.parametrize("path", rules.notebooks(), ids=rules.label)
def test_every_notebook_keeps_the_rules(path: Path) -> None:
    lesson_problems = rules.lesson_problems(path) if path.parent.name == "notebooks" else []
    assert [*rules.stored_problems(path), *lesson_problems] == []


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (new_output("stream", name="stderr", text="hm"), "stderr"),
        (new_output("error", ename="ValueError", evalue="no", traceback=[]), "an error (ValueError: no)"),
        (new_output("stream", text="x.py:3: UserWarning: old"), "a warning"),
        (new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}}), "a widget"),
        (new_output("stream", text="saved to /home/me/x.png"), "the machine path /home/me/x.png"),
        (new_output("execute_result", {"text/html": "<b>/tmp/a</b>"}), "the machine path /tmp/a"),
        (new_output("stream", text="C:\\Users\\me"), "the machine path C:\\Users"),
        (new_output("stream", text=f"in {rules.ROOT}!"), "path"),
        (new_output("stream", text="<A object at 0x7f00aa11bb22>"), "a memory address"),
        (new_output("stream", text="data/tmp/x, https://host.org/home/x, ~/work/x, either/or /workers"), None),
        (new_output("display_data", {"image/png": "iVBOR"}), "a picture without a text alternative"),
        (new_output("display_data", {"image/png": "iVBOR/tmp/x"}, metadata={"image/png": {"alt": "A."}}), None),
        (new_output("execute_result", {"text/html": '<img src="data:image/png;base64,AAAA/tmp/AAA=">'}), None),
    ],
)
def test_what_outputs_may_not_hold(output: nbformat.NotebookNode, what: str | None) -> None:
    notebook = new_notebook(cells=[new_markdown_cell("Text."), new_code_cell("x", outputs=[output])])
    problems = list(rules.output_problems(notebook, "00_test.ipynb"))
    assert len(problems) == (what is not None)
    assert all(
        problem.startswith("00_test.ipynb, cell 1: its output holds ") and what in problem for problem in problems
    )


def test_outputs_of_a_lesson_keep_every_rule(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its floats are those of one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    cells = lesson("00_test.ipynb")
    cells[3].source = "import os, sys\nprint(os.environ['OMP_NUM_THREADS'])\nsys.stdout.flush()\nprint(2)\n3"
    cells[3].metadata = {"tags": ["keep"], "execution": {"x": "1"}, "collapsed": True}
    cells[1].metadata = {"tags": ["setup"]}
    path = write(tree, *cells)
    assert any("do not belong" in problem for problem in notebooks.check(tree))  # never run so far
    assert list(notebooks.outputs(tree, [], False)) == []
    assert list(notebooks.check(tree)) == []
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    assert stored.cells[3].metadata == {"tags": ["keep"]}
    assert stored.cells[1].metadata == {"tags": ["setup"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    shown = [output.get("text", output.get("data")) for output in stored.cells[3].outputs]
    assert shown == ["1\n2\n", {"text/plain": "3"}]
    assert stored.cells[3].outputs[1].execution_count == stored.cells[3].execution_count == 2


def test_only_stale_notebooks_run(tree: Path) -> None:
    path = write(tree, new_code_cell("print('once')", outputs=[new_output("stream", text="twice\n")]), tidy=True)
    assert list(notebooks.outputs(tree, ["00"], False)) == []
    assert '"twice\\n"' in path.read_text()
    assert list(notebooks.outputs(tree, [], True)) == []
    assert '"once\\n"' in path.read_text()
    (problem,) = notebooks.outputs(tree, ["77"], False)
    assert problem == "No notebook begins with 77: name one by its number, as in NB=03."


def test_the_notebook_that_measures_the_machine_takes_its_threads(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(NotebookClient, "execute", lambda self, env: taken.append(env["OMP_NUM_THREADS"]))
    taken = []
    for name in ("00_a.ipynb", notebooks.MEASURES_THE_MACHINE):
        write(tree, new_code_cell(BOOTSTRAP), name=name)
    assert list(notebooks.outputs(tree, [], False)) == []
    assert taken == ["1", "3"]


def test_refused_notebook_stays_as_it_was(tree: Path) -> None:
    sources = ["import sys; print('hm', file=sys.stderr)", "import os; print(os.getcwd())", "print('x' * 1_300_000)"]
    path = write(tree, *map(new_code_cell, [*sources, "1 / 0", "print('never')"]))
    before = path.read_bytes()
    problems = list(notebooks.outputs(tree, [], False))
    for what in ("stderr (hm)", "machine path", "error (ZeroDivisionError: division by zero)", "larger than 1,200,000"):
        assert what in problems.pop(0)
    assert problems == []
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda cells: cells[1].update(source="import dcgan_lib"), "first code cell"),
        (lambda cells: cells[0].update(source="# Title"), "Colab badge"),
        (lambda cells: cells.pop(), "last headings"),
        (lambda cells: cells[-1].update(source="## Exercises\n"), "no link to the next notebook"),
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


@pytest.mark.parametrize("change", [{"source": "y"}, {"cell_type": "markdown"}, {"metadata": {"tags": ["nbval-skip"]}}])
def test_hash_changes_with_the_code(tree: Path, change: dict) -> None:
    cell = {"source": "x", "cell_type": "code", "metadata": {"tags": []}}
    assert rules.source_hash({"cells": [cell]}, tree) != rules.source_hash({"cells": [cell | change]}, tree)
    text = cell | {"cell_type": "markdown"}
    assert rules.source_hash({"cells": [cell]}, tree) == rules.source_hash({"cells": [text, cell]}, tree)


@pytest.mark.parametrize("change", [{"metadata": {"execution": {}}}, {"execution_count": 7}, {"id": "abc"}, {}])
def test_what_an_editor_leaves_is_found(tree: Path, change: dict) -> None:
    path = write(tree, new_code_cell(BOOTSTRAP), new_code_cell("1"), tidy=True)
    assert list(rules.stored_problems(path, tree)) == []
    notebook = json.loads(path.read_text())
    if change:
        notebook["cells"][1] |= change
    else:
        notebook["metadata"]["widgets"] = {}
    path.write_text(json.dumps(notebook))
    assert ["editor left" in problem for problem in rules.stored_problems(path, tree)] == [True]


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    run = [sys.executable, "-m", "tools.notebooks", *arguments]
    return subprocess.run(run, cwd=folder, capture_output=True, text=True)


def files_with(folder: Path, text: str) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    return [str(path.relative_to(folder)) for path in files if text.encode() in path.read_bytes()]


def test_links_reach_every_file_and_leave_outputs_fresh(checkout: Path) -> None:
    old = links.current(checkout)
    cells = [new_markdown_cell(f"{BADGE}/99_demo.ipynb and the fraction a/b"), new_code_cell(BOOTSTRAP)]
    demo = write(checkout, *cells, name="99_demo.ipynb", tidy=True)
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


@pytest.mark.parametrize("name", ["", "name", "owner/na me", "a/b/c", "https://host.org/a/b", "a/.."])
def test_malformed_name_changes_nothing(tree: Path, name: str) -> None:
    with pytest.raises(links.LinkError, match=f'^REPO must read owner/name, .* "{re.escape(name)}" does not.$'):
        links.set_links(tree, name)
    assert links.current(tree) == links.current(rules.ROOT)


def test_commands_end_with_a_status(checkout: Path) -> None:
    for path in rules.notebooks(checkout):
        path.unlink()
    assert command(checkout, "check").returncode == 0
    assert command(checkout, "links", "name").stderr.startswith("REPO must read owner/name")
    write(checkout, new_code_cell("1"))
    done = command(checkout, "check")
    assert done.returncode == 1
    assert "00_test.ipynb: its outputs do not belong to its cells any more: run make outputs." in done.stderr


def test_painted_pictures_are_stored_as_jpeg() -> None:
    noise = np.random.default_rng(0).normal(128, 4, (300, 300, 3)).clip(0, 255).astype(np.uint8)
    for array, kind in ((noise, "image/jpeg"), (noise[:50, :50], "image/png"), (np.zeros_like(noise), "image/png")):
        file = io.BytesIO()
        Image.fromarray(array).save(file, format="PNG")
        alt = {"alt": "Noise."}
        data, metadata = (
            {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": "a picture"},
            {"image/png": alt},
        )
        notebooks.make_lighter(data, metadata)
        assert (set(data), metadata) == ({kind, "text/plain"}, {kind: alt})
        with Image.open(io.BytesIO(base64.b64decode(data[kind]))) as back:
            assert abs(np.asarray(back.convert("RGB")).astype(int) - array).mean() < 5
    notebooks.make_lighter({"text/plain": "no picture"}, {})
