"""Makes .venv: the package with the tested versions, and the torch that is already there, if there is one.

`make` runs this with the interpreter that PYTHON names. A PYTHON whose own environment has a working pair of torch
and torchvision lends it to .venv, so that gigabytes need not be fetched again; nothing is written to that environment.
"""

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
MADE_FROM = VENV / ".made_from"  # how the reader called the interpreter; absent where the reader made .venv
LENT = VENV / ".lent"  # where the lent torch is; absent where .venv has its own
STAMP = VENV / ".installed"  # complete, for make
PAIR = ("torch", "torchvision")

# JupyterLab asks everybody whether it may fetch news, and covers a corner of the notebook with the question.
NO_NEWS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}

# torchvision registers its operators in torch when it is imported, so a pair that does not match fails here.
LOOK_AT_PAIR = """
import json, sys, torch, torchvision
folders = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
print(json.dumps({"torch": torch.__version__, "torchvision": torchvision.__version__, "folders": folders}))
"""


def main(name: str) -> None:
    """Make or mend .venv. `name` is how the reader called the interpreter that runs this."""
    inside = VENV.is_dir() and Path(sys.prefix).resolve() == VENV.resolve()
    recorded = MADE_FROM.read_text().strip() if MADE_FROM.is_file() else name
    if not works() or (recorded != name and not inside):
        if inside:
            sys.exit(f"{name} is inside .venv and has no pip: name another Python with PYTHON=/path/to/python.")
        if VENV.is_dir() and any(VENV.iterdir()) and not MADE_FROM.exists():
            sys.exit(
                "There is a .venv that another tool has made, without pip or a working Python, and it stays as it is: "
                "give it pip (`uv pip install pip`, or `.venv/bin/python -m ensurepip`), or move it away."
            )
        make(name)
    again = STAMP.exists()
    STAMP.unlink(missing_ok=True)
    install("--quiet" if again else "--progress-bar=on")
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "overrides.json").write_text(json.dumps(NO_NEWS))
    STAMP.touch()
    print("Ready: .venv holds everything.")


def make(name: str) -> None:
    """An empty .venv that sees the pair of the interpreter that runs this, if there is one."""
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        sys.exit(
            f"{name} lacks the venv module that .venv is made with: install it (Debian and Ubuntu call it "
            "python3-venv), or name another Python with PYTHON=/path/to/python."
        )
    for options in (["--clear", "--without-pip"], []):  # in two steps: one that is left half made is known as ours
        if subprocess.run([sys.executable, "-m", "venv", *options, str(VENV)]).returncode:
            sys.exit(f"{name} could not make {VENV}: look at the lines above, mend what they name, and run make again.")
        MADE_FROM.write_text(f"{name}\n")
    pair = own_pair()
    if pair:
        print(f"Using torch {pair['torch']} and torchvision {pair['torchvision']} of {name}.", flush=True)
        LENT.write_text("\n".join(pair["folders"]) + "\n")
    else:
        print("Installing torch and the rest into .venv: a few GB, once.", flush=True)


def install(talk: str) -> None:
    """The package and what it needs, at the versions of constraints.txt.

    A lent torch is hidden while pip works: pip would count that environment's JupyterLab as installed, and JupyterLab
    looks for its files in .venv alone.
    """
    # Python adds the folders that such a file names to sys.path, after the environment's own.
    path_file = next((VENV / "lib").glob("python3*/site-packages")) / "lent_torch.pth"
    path_file.unlink(missing_ok=True)
    if LENT.exists():
        pip(talk, *(need for need in needs() if project(need) not in PAIR), "-c", "constraints.txt")
        pip(talk, "--no-deps", "-e", ".")
        path_file.write_text(LENT.read_text())
    else:
        pip(talk, "-e", ".[dev]", "-c", "constraints.txt")


def pip(*arguments: str) -> None:
    command = [VENV_PYTHON, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode:
        sys.exit("pip could not install the packages: look at its last lines, mend what they name, and run make again.")


def needs() -> list[str]:
    """What pyproject.toml asks for, the tools of the `dev` extra included."""
    project_table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project_table["dependencies"] + project_table["optional-dependencies"]["dev"]


def own_pair() -> dict | None:
    """Versions and folders of a torch and torchvision that this interpreter imports and that are new enough."""
    if any(find_spec(package) is None for package in PAIR):
        return None
    done = subprocess.run([sys.executable, "-c", LOOK_AT_PAIR], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        return None
    pair = json.loads(done.stdout.splitlines()[-1])
    bounds = {project(need): need.partition(">=")[2] for need in needs()}
    return pair if all(version(pair[name]) >= version(bounds[name]) for name in PAIR) else None


def project(need: str) -> str:
    """`torch>=2.6` -> `torch`"""
    return re.match(r"[\w.-]+", need)[0].lower()


def version(text: str) -> tuple[int, ...]:
    """`2.15.0+cu132` -> (2, 15, 0)"""
    return tuple(int(number) for number in re.match(r"[\d.]*\d", text)[0].split("."))


def works() -> bool:
    """False where there is no .venv yet, where its Python has moved away, or where it was left half made."""
    try:
        return subprocess.run([VENV_PYTHON, "-c", "import pip"], capture_output=True).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit("Stopped before the end: the next make goes on from here.")
