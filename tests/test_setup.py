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
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from tools import make_venv

ROOT = Path(__file__).resolve().parent.parent
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
    lines = [line.strip() for line in ENVIRONMENT.splitlines()]
    pip = lines[lines.index("- pip:") + 1 :]
    assert pip == ["- -c constraints.txt", "- -e .[dev]"]


def test_python_is_the_same_everywhere() -> None:
    oldest = re.fullmatch(r">=(\d+\.\d+)", PROJECT["requires-python"])[1]
    assert re.findall(r"- python=(\S+)", ENVIRONMENT) == [oldest]
    assert f"({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text()
    assert f'python: "{oldest}"' in (ROOT / ".github/workflows/ci.yml").read_text()


def test_oldest_torch_in_continuous_integration_is_the_lower_bound() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
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
    assert request.config.option.nbval_current_env
    assert request.config.option.nbval_cell_timeout < 2000


def test_version_reads_what_packages_call_themselves() -> None:
    assert make_venv.version("2.15.0+cu132") == (2, 15, 0)
    assert make_venv.version("2.6.0a0") == (2, 6, 0)
    assert make_venv.version("2.10") > make_venv.version("2.9.1")


def fake_pair(folder: Path, torch: str, torchvision: str) -> str:
    """What the setup finds in an environment whose torch and torchvision hold these lines."""
    for name, line in (("torch", torch), ("torchvision", torchvision)):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(line)
    run = [sys.executable, "-c", "from tools import make_venv; print(repr(make_venv.own_pair()))"]
    variables = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(run, cwd=ROOT, env=variables, capture_output=True, text=True, check=True).stdout.strip()


NEW, OLD, BROKEN = "__version__ = '9.0+cpu'", "__version__ = '0.1'", "raise RuntimeError('operator does not exist')"


def test_working_pair_is_used(tmp_path: Path) -> None:
    assert "'torch': '9.0+cpu'" in fake_pair(tmp_path, NEW, NEW)


@pytest.mark.parametrize(("torch", "torchvision"), [(OLD, NEW), (NEW, OLD), (NEW, BROKEN), (BROKEN, NEW)])
def test_old_or_unmatched_pair_is_left_alone(tmp_path: Path, torch: str, torchvision: str) -> None:
    assert fake_pair(tmp_path, torch, torchvision) == "None"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def lab_command() -> str:
    """What `make lab` runs once all is installed."""
    plan = subprocess.run(["make", "--dry-run", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return next(line for line in plan.splitlines() if "-m jupyterlab" in line)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address that JupyterLab prints when it is started as `make lab` starts it, with its token."""
    if shutil.which("make") is None or find_spec("jupyterlab") is None:
        pytest.skip("make or JupyterLab is not installed")
    words = shlex.split(lab_command().partition("-m jupyterlab")[2])
    own = {"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", *words, "--no-browser", f"--ServerApp.port={port}"]
    with subprocess.Popen(command, cwd=ROOT, env=own, stderr=subprocess.PIPE, text=True) as server:
        lines = iter(server.stderr.readline, "")
        address = next((found[0] for line in lines if (found := re.search(r"http://\S+/lab\S*", line))), "")
        for _ in range(200):  # it prints the address before it listens
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield address
        server.kill()


@pytest.mark.parametrize("chosen", [None, "3"])
def test_the_lab_leaves_a_core_to_the_browser_unless_threads_are_chosen(chosen: str | None) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    settings = lab_command().partition(" .venv/bin/python -m jupyterlab")[0].replace(".venv/bin/python", sys.executable)
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    env |= {"OMP_NUM_THREADS": chosen} if chosen else {}
    threads = subprocess.run(
        ["sh", "-c", f"{settings} sh -c 'echo $OMP_NUM_THREADS'"], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert int(threads) == int(chosen or max(1, psutil.cpu_count(logical=False) - 1))


def test_the_lab_listens_to_this_machine_alone_and_asks_for_its_token(served: str) -> None:
    address, token = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/lab\S*\?token=(\w{40,})", served).groups()
    with urlopen(f"{address}/api/kernels?token={token}") as answer:
        assert answer.status == 200
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{address}/api/kernels")
