"""Installed as a package, the command line works anywhere, and writes nothing where packages live."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_an_installed_package_trains_and_leaves_site_packages_alone(checkout: Path, tmp_path: Path) -> None:
    site, elsewhere, home = (tmp_path / name for name in ("site", "elsewhere", "home"))
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", site, checkout], check=True)
    before = tree(site)
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "dcgan_lib").rglob("*.py")}
    assert {name for name in before if name.endswith(".py")} == ours

    own = {"PYTHONPATH": str(site), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    env = {name: value for name, value in os.environ.items() if not name.startswith("DCGAN_")} | own
    words = ["train", "--preset", "ci", "--steps", "2", "--data", "digits", "--out", "run"]
    subprocess.run([sys.executable, "-m", "dcgan_lib", *words], cwd=elsewhere, env=env, check=True)
    assert (elsewhere / "run" / "checkpoint.safetensors").exists()
    assert (elsewhere / "run" / "index.html").exists()  # whose template is a file of the package
    assert list((home / "cache" / "dcgan_lib").glob("digits-*.npy"))
    assert tree(site) == before
