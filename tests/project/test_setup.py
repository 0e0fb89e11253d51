"""pyproject.toml, constraints.txt and environment.yml say the same; the test runs are set up as promised."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import torch

from tools import make_venv

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDS = PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])
CONSTRAINTS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
PINS = {name.lower(): pin for name, _, pin in (line.partition("==") for line in CONSTRAINTS)}
ENVIRONMENT = (ROOT / "environment.yml").read_text()


def test_every_constraint_is_one_exact_version() -> None:
    assert [line for line in CONSTRAINTS if not re.fullmatch(r"[\w.-]+==\d+(\.\w+)*", line)] == []
    assert len(PINS) == len(CONSTRAINTS)


@pytest.mark.parametrize("need", NEEDS)
def test_direct_dependency_has_a_pin_that_meets_its_bound(need: str) -> None:
    name, bound = re.fullmatch(r"([\w-]+)>=([\d.]+)", need).groups()
    assert make_venv.version(PINS[name]) >= make_venv.version(bound)


def test_environment_installs_the_package_with_the_pins() -> None:
    assert re.findall(r"- (-.*)", ENVIRONMENT) == ["-c constraints.txt", "-e .[dev]"]


def test_the_oldest_python_and_torch_are_the_same_everywhere() -> None:
    oldest = re.fullmatch(r">=(\d+\.\d+)", PROJECT["requires-python"])[1]
    assert re.findall(r"- python=(\S+)", ENVIRONMENT) == [oldest]
    assert f"({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text()
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert f'python: "{oldest}"' in workflow
    bounds = dict(need.split(">=") for need in NEEDS)
    assert f"torch=={bounds['torch']}.0 torchvision=={bounds['torchvision']}.0" in workflow


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "environment.yml", "Makefile", ".ci/run"])
def test_no_file_says_where_packages_come_from(name: str) -> None:
    text = (ROOT / name).read_text()
    assert re.findall(r"index-url|find-links|trusted-host", text) == []
    assert [url for url in re.findall(r"https?://\S+", text) if "github.com/" not in url] == []


def test_defaults_of_a_test_run(request: pytest.FixtureRequest) -> None:
    assert {os.environ[name] for name in ("DCGAN_HEADLESS", "TQDM_DISABLE")} == {"1"}
    assert os.environ["DCGAN_PRESET"]
    assert os.environ["OMP_NUM_THREADS"] == str(torch.get_num_threads())
    assert request.config.option.nbval_current_env
    assert request.config.option.nbval_cell_timeout < 2000


def test_version_reads_what_packages_call_themselves() -> None:
    assert make_venv.version("2.15.0+cu132") == (2, 15, 0)
    assert make_venv.version("2.10") > make_venv.version("2.9.1")


@pytest.mark.parametrize("python", ["a symbolic link to nowhere", "without pip"])
def test_a_venv_of_another_tool_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    venv = tmp_path / ".venv"
    if python == "without pip":
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)  # as uv makes them
    else:
        (venv / "bin").mkdir(parents=True)
        (venv / "bin/python").symlink_to(tmp_path / "gone")
    for name, path in (("VENV", venv), ("VENV_PYTHON", venv / "bin/python"), ("MADE_FROM", venv / ".made_from")):
        monkeypatch.setattr(make_venv, name, path)
    before = sorted(venv.rglob("*"))
    with pytest.raises(SystemExit, match="another tool has made, .* stays as it is: give it pip"):
        make_venv.main("python3")
    assert sorted(venv.rglob("*")) == before
    made = []
    (venv / ".made_from").write_text("python3")  # one of ours that has lost its pip is made again
    monkeypatch.setattr(make_venv, "make", made.append)
    monkeypatch.setattr(make_venv, "install", sys.exit)
    with pytest.raises(SystemExit):
        make_venv.main("python3")
    assert made == ["python3"]


NEW, OLD, BROKEN = "__version__ = '9.0+cpu'", "__version__ = '0.1'", "raise RuntimeError('operator does not exist')"


@pytest.mark.parametrize(
    ("torch_line", "torchvision_line", "expected"),
    [(NEW, NEW, "'torch': '9.0+cpu'"), (OLD, NEW, "None"), (NEW, BROKEN, "None")],
)
def test_only_a_working_pair_is_used(tmp_path: Path, torch_line: str, torchvision_line: str, expected: str) -> None:
    for name, line in (("torch", torch_line), ("torchvision", torchvision_line)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(line)
    run = [sys.executable, "-c", "from tools import make_venv; print(make_venv.own_pair())"]
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    found = subprocess.run(run, cwd=ROOT, env=variables, capture_output=True, text=True, check=True).stdout
    assert expected in found


def test_the_lab_listens_to_this_machine_alone_and_asks_for_its_token(tmp_path: Path) -> None:
    if shutil.which("make") is None or find_spec("jupyterlab") is None:
        pytest.skip("make or JupyterLab is not installed")
    plan = subprocess.run(["make", "--dry-run", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = shlex.split(next(line for line in plan.splitlines() if "-m jupyterlab" in line))
    own = {"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, *words[words.index("-m") :], "--no-browser", f"--ServerApp.port={port}"]
    with subprocess.Popen(command, cwd=ROOT, env=own, stderr=subprocess.PIPE, text=True) as server:
        try:
            found = (re.search(r"(http://127\.0\.0\.1:\d+)/lab\S*\?token=(\w{40,})", line) for line in server.stderr)
            address, token = next(filter(None, found)).groups()
            for _ in range(200):  # it prints the address before it listens
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.05)
            with urlopen(f"{address}/api/kernels?token={token}") as answer:
                assert answer.status == 200
            with pytest.raises(HTTPError, match="403"):
                urlopen(f"{address}/api/kernels")
        finally:
            server.kill()
