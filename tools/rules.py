"""What every notebook of the collection keeps to. Each broken rule is one sentence: where, what, what to do."""

import hashlib
import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

from tools.links import PLACEHOLDER, current, rename

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("notebooks", "notebooks/solutions", "app")
MAX_BYTES = 1_200_000
LONGEST_LINE = 100
TOO_LARGE = f"it is larger than {MAX_BYTES:,} bytes: store fewer or smaller pictures."
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LAST_HEADINGS = ("## Check", "## Where this lives", "## Summary", "## Exercises")
WIDGET = "application/vnd.jupyter.widget-view+json"
# A path counts only where it begins: data/tmp and https://host/home are nobody's machine.
MACHINE_PATH = re.compile(
    r"(?<![\w.~/-])/(home|root|tmp|work|Users|mnt|opt|var/folders)(?![\w-])|\b[A-Z]:\\{1,2}(?=\w)"
)
NOISE = {
    "a warning": re.compile(r"\b\w*Warning:|^WARNING\b", re.MULTILINE),
    "a memory address": re.compile(r" at 0x[0-9a-fA-F]{6,}"),
}
INSTALLER = re.compile(r"index-url|find-links|trusted-host|\bpy[p]i\b|python[h]osted|\.whl\b", re.IGNORECASE)


def notebooks(root: Path = ROOT) -> list[Path]:
    """The lessons in reading order, then the solutions, then the app."""
    return [path for folder in FOLDERS for path in sorted((root / folder).glob("*.ipynb"))]


def label(path: Path) -> str:
    """How messages call a notebook: by its file, with the folder where that is not the usual one."""
    return path.name if path.parent.name == "notebooks" else f"{path.parent.name}/{path.name}"


def text_of(value: str | list[str]) -> str:
    """A notebook file holds text as one string or as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def read(path: Path) -> dict:
    """The notebook as plain dictionaries, every cell's source as one string."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = text_of(cell["source"])
    return notebook


def source_hash(notebook: dict, root: Path = ROOT) -> str:
    """Changes with the code and its tags, and neither with the text nor with the repository that the links name."""
    parts = [[cell["source"], cell["metadata"].get("tags", [])] for _, cell in code_cells(notebook)]
    text = rename(json.dumps(parts, ensure_ascii=False), current(root), PLACEHOLDER)
    return hashlib.sha256(text.encode()).hexdigest()


def code_cells(notebook: dict) -> list[tuple[int, dict]]:
    return [(i, cell) for i, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code"]


def output_problems(notebook: dict, name: str, root: Path = ROOT) -> Iterator[str]:
    """What may not be stored: stderr, errors, warnings, widgets, and anything that tells about the machine."""
    for i, cell in code_cells(notebook):
        for output in cell["outputs"]:
            for what, advice in _faults(output, root):
                yield f"{name}, cell {i}: its output holds {what}; {advice}, then run make outputs."


def _faults(output: dict, root: Path) -> Iterator[tuple[str, str]]:
    if output["output_type"] == "error":
        yield f"an error ({output['ename']}: {output['evalue']})", "mend the cell"
        return
    for kind in output.get("data", {}):
        if kind.startswith("image/") and not output["metadata"].get(kind, {}).get("alt"):
            yield "a picture without a text alternative", "show it by show_picture(picture, alt)"
    text = _words(output)
    if output.get("name") == "stderr":
        yield f"stderr ({text.strip()[:200]})", "let the cell write nothing there"
    if WIDGET in output.get("data", {}):
        yield "a widget, which a stored notebook cannot show", "show a still instead when DCGAN_HEADLESS is set"
    if found := MACHINE_PATH.search(text):
        yield f"the machine path {text[found.start() :].split()[0][:80]}", "print a relative path"
    elif any(str(folder) in text for folder in (root, Path.home()) if len(str(folder)) > 2):
        yield f"a path below {root} or the home folder", "print a relative path"
    for what, pattern in NOISE.items():
        if output.get("name") != "stderr" and (found := pattern.search(text)):
            yield f"{what} ({found[0].strip()})", "keep it from being shown"


def _words(output: dict) -> str:
    """The output's text: everything but encoded pictures, in which any letters may occur."""
    parts = [text_of(output.get("text", ""))]
    for kind, value in output.get("data", {}).items():
        if not kind.startswith("image/") or "svg" in kind:
            parts.append(text_of(value) if isinstance(value, str | list) else json.dumps(value))
    return re.sub(r"base64,[\w+/=\s]+", "", "\n".join(parts))


def stored_problems(path: Path, root: Path = ROOT) -> Iterator[str]:
    """What lessons, solutions and the app share: the bootstrap cell, fresh outputs, tidy metadata, a small file."""
    notebook, name = read(path), label(path)
    bootstrap = (root / "tools" / "bootstrap_cell.py").read_text(encoding="utf-8").rstrip("\n")
    codes = code_cells(notebook)
    if not codes or codes[0][1]["source"] != bootstrap:
        yield f"{name}: its first code cell is not tools/bootstrap_cell.py: copy that file's text into it."
    if notebook["metadata"].get("dcgan", {}).get("source_sha256") != source_hash(notebook, root):
        yield f"{name}: its outputs do not belong to its cells any more: run make outputs."
    elif not is_tidy(notebook):
        yield f"{name}: its cells or metadata carry what an editor left (ids, counts, widgets): run make outputs."
    if path.stat().st_size > MAX_BYTES:
        yield f"{name}: {TOO_LARGE}"
    for i, cell in codes:
        if longest := max((line for line in cell["source"].splitlines() if len(line) > LONGEST_LINE), default=""):
            yield f"{name}, cell {i}: a line of {len(longest)} characters, and {LONGEST_LINE} fit the page: break it."
    yield from output_problems(notebook, name, root)


def tidy_metadata(cell: dict) -> dict:
    """A cell's tags; one that is tagged `setup` is folded, in JupyterLab and in Colab."""
    tags = cell["metadata"].get("tags") or []
    folded = {"jupyter": {"source_hidden": True}, "cellView": "form"} if "setup" in tags else {}
    return folded | ({"tags": tags} if tags else {})


def is_tidy(notebook: dict) -> bool:
    """Ids, counts and metadata are what `make outputs` writes."""
    meta, cells = notebook["metadata"], notebook["cells"]
    counts = [cell["execution_count"] for _, cell in code_cells(notebook)]
    return (
        set(meta) == {"dcgan", "kernelspec", "language_info"}
        and meta["kernelspec"] == KERNEL
        and meta["language_info"] == {"name": "python"}
        and [cell.get("id") for cell in cells] == [f"c{i:03d}" for i in range(len(cells))]
        and all(cell["metadata"] == tidy_metadata(cell) for cell in cells)
        and counts == list(range(1, len(counts) + 1))
    )


def lesson_problems(path: Path, root: Path = ROOT) -> Iterator[str]:
    """What a lesson keeps besides: its length, its balance of words and code, and how it begins and ends."""
    notebook, name = read(path), path.name
    cells = notebook["cells"]
    lengths = [sum(bool(line.strip()) for line in cell["source"].splitlines()) for _, cell in code_cells(notebook)]
    words = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
    if not 25 <= len(cells) <= 45:
        yield f"{name}: it has {len(cells)} cells, and a lesson has 25 to 45."
    if not lengths or not 1.2 <= len(words) / len(lengths) <= 2.0:
        yield f"{name}: {len(words)} text cells to {len(lengths)} code cells, and a lesson has 1.2 to 2.0 to one."
    if lengths and statistics.median(lengths) > 8:
        yield f"{name}: its code cells have a median of {statistics.median(lengths)} lines, and 8 is the most."
    for (i, _), length in zip(code_cells(notebook), lengths, strict=True):
        if length > 30:
            yield f"{name}, cell {i}: {length} lines of code, and 30 is the most."
    badge = f"https://colab.research.google.com/github/{current(root)}/blob/main/notebooks/{name}"
    if not cells or badge not in cells[0]["source"]:
        yield f"{name}: its first cell lacks the Colab badge that links to {badge}."
    yield from _ending(path, words)
    for i, cell in enumerate(cells):
        if found := INSTALLER.search(cell["source"]):
            yield f"{name}, cell {i}: it names where packages come from ({found[0]}): leave that to the installer."


def _ending(path: Path, words: list[str]) -> Iterator[str]:
    lines = "\n".join(words).splitlines()
    headings = tuple(line.strip() for line in lines if line.startswith("## "))
    if headings[-len(LAST_HEADINGS) :] != LAST_HEADINGS:
        yield f"{path.name}: its last headings are not {', '.join(LAST_HEADINGS)}, in this order."
    following = [other.name for other in sorted(path.parent.glob("*.ipynb")) if other.name > path.name]
    if following and f"]({following[0]})" not in (words or [""])[-1]:
        yield f"{path.name}: its last text cell has no link to the next notebook, [...]({following[0]})."
