"""Runs the notebooks and stores what they show: `python -m tools.notebooks outputs | check | links`.

Nothing else writes stored outputs, so that they are of one kind: a fresh kernel, the laptop preset, no widgets, and
nothing in them that tells about the machine.
"""

import argparse
import base64
import io
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tools import rules
from tools.links import LinkError, set_links

ENVIRONMENT = {"DCGAN_HEADLESS": "1", "TQDM_DISABLE": "1", "PYTHONHASHSEED": "0"}
MEASURES_THE_MACHINE = "11_speed_and_scale.ipynb"
"""This one takes as many threads as any run; the others take one, because floats depend on how many there are."""
CELL_SECONDS = 900
LARGE = 40_000  # bytes of a PNG


def check(root: Path) -> Iterator[str]:
    """Every broken rule of every notebook, without running any."""
    lessons = root / "notebooks"
    for path in rules.notebooks(root):
        yield from rules.stored_problems(path, root)
        if path.parent == lessons:
            yield from rules.lesson_problems(path, root)


def outputs(root: Path, wanted: list[str], everything: bool) -> Iterator[str]:
    """Run the notebooks whose outputs are stale and store the new ones; a broken rule leaves the file as it was."""
    found = rules.notebooks(root)
    for start in wanted:
        if not any(path.name.startswith(start) for path in found):
            yield f"No notebook begins with {start}: name one by its number, as in NB=03."
    for path in found:
        if wanted and not path.name.startswith(tuple(wanted)):
            continue
        notebook = rules.read(path)
        stored = notebook["metadata"].get("dcgan", {}).get("source_sha256")
        if stored == rules.source_hash(notebook, root) and not everything:
            print(f"{rules.label(path)}: fresh")
            continue
        yield from store(path, root)


def store(path: Path, root: Path) -> Iterator[str]:
    """Run one notebook in a fresh kernel and write it with its outputs, unless a rule forbids one of them."""
    import nbformat  # here, so that `check` starts at once
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)
    for _, cell in rules.code_cells(notebook):  # an error would leave the old outputs behind it
        cell["outputs"] = []
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        resources=where,
    )
    began = time.monotonic()
    try:
        client.execute(env=os.environ | ({} if path.name == MEASURES_THE_MACHINE else {"OMP_NUM_THREADS": "1"}))
    except CellExecutionError:
        pass  # the error is among the outputs, and the rules below name its cell
    except CellTimeoutError:
        yield f"{rules.label(path)}: a cell took longer than {CELL_SECONDS} seconds: make it shorter."
        return
    except DeadKernelError:
        yield f"{rules.label(path)}: its kernel died: run it in JupyterLab to see where."
        return
    tidy(notebook, round(time.monotonic() - began), root)
    problems = list(rules.output_problems(notebook, rules.label(path), root))
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > rules.MAX_BYTES:
        problems.append(f"{rules.label(path)}: {rules.TOO_LARGE}")
    if problems:
        yield from problems
        return
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    unfinished.replace(path)
    seconds = notebook["metadata"]["dcgan"]["seconds"]
    print(f"{rules.label(path)}: {seconds} s, {len(text.encode()) / 1000:,.0f} kB", flush=True)


def tidy(notebook: dict, seconds: int, root: Path) -> None:
    """Leave in the file only what the same cells would give anywhere: ids, counts and metadata of one form."""
    count = 0
    for i, cell in enumerate(notebook["cells"]):
        cell["id"] = f"c{i:03d}"
        cell["metadata"] = rules.tidy_metadata(cell)
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            cell["outputs"] = merged(cell["outputs"])
            for output in cell["outputs"]:
                make_lighter(output.get("data", {}), output.get("metadata", {}))
            for output in cell["outputs"]:
                if "execution_count" in output:
                    output["execution_count"] = count
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    notebook["metadata"] = {
        "dcgan": {"seconds": seconds, "source_sha256": rules.source_hash(notebook, root)},
        "kernelspec": rules.KERNEL,
        "language_info": {"name": "python"},
    }


def make_lighter(data: dict, metadata: dict) -> None:
    """Store a large picture as a JPEG where that is clearly smaller than the PNG: of painted ones, not of figures."""
    from PIL import Image  # here, so that `check` starts at once

    png = base64.b64decode(data.get("image/png", ""))
    if png:
        data.pop("image/jpeg", None)  # IPython gives both
    if len(png) < LARGE:
        return
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(jpeg, format="JPEG", quality=85)
    if len(jpeg.getvalue()) < 0.75 * len(png):
        del data["image/png"]
        metadata["image/jpeg"] = metadata.pop("image/png", {})
        data["image/jpeg"] = base64.b64encode(jpeg.getvalue()).decode()


def merged(outputs: list[dict]) -> list[dict]:
    """Outputs with neighbouring pieces of one stream joined: where a stream is cut depends on the moment."""
    joined: list[dict] = []
    for output in outputs:
        if joined and "name" in output and joined[-1].get("name") == output["name"]:
            joined[-1]["text"] = rules.text_of(joined[-1]["text"]) + rules.text_of(output["text"])
        else:
            joined.append(output)
    return joined


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="name stale outputs and broken rules, without running anything")
    run = commands.add_parser("outputs", help="run changed notebooks and store what they show")
    run.add_argument("wanted", nargs="*", metavar="NN", help="only notebooks whose name begins so")
    run.add_argument("--all", action="store_true", help="fresh ones too: the library has changed")
    commands.add_parser("links", help="point every link at a repository").add_argument("name", metavar="OWNER/NAME")
    arguments = parser.parse_args()
    if arguments.command == "links":
        try:
            changed = set_links(rules.ROOT, arguments.name)
        except LinkError as error:
            sys.exit(str(error))
        print(f"{len(changed)} files now point at {arguments.name}.")
        return
    if arguments.command == "check":
        problems = check(rules.ROOT)
    else:
        os.environ.setdefault("DCGAN_PRESET", "laptop")
        os.environ.update(ENVIRONMENT)
        problems = outputs(rules.ROOT, arguments.wanted, arguments.all)
    broken = 0
    for problem in problems:
        broken += 1
        print(re.sub(r"\s*\n\s*", " ", problem), file=sys.stderr, flush=True)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
