"""The device that is asked for, or a sentence that says which there are; and how many threads it computes on."""

import os
import runpy
import subprocess
import sys

import pytest
import torch

from dcgan_lib.utils import device
from dcgan_lib.utils.device import choose_device, choose_dtype, threads
from dcgan_lib.utils.errors import InputError

CPU, MPS = torch.device("cpu"), torch.device("mps")


def test_cpu() -> None:
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("accelerator", [None, "cuda"])
def test_auto(accelerator: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator is not None)
    found = accelerator and torch.device(accelerator)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: found)
    assert choose_device() == choose_device("auto") == torch.device(accelerator or "cpu")
    with pytest.raises(InputError, match=f"choose {'cpu or cuda' if accelerator else 'cpu'}.$"):
        choose_device("nonsense")


@pytest.mark.parametrize("name", ["nonsense", "", "cuda:99", "xla", "cpu:x"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(InputError, match=f"cannot use the device '{name}'"):
        choose_device(name)


@pytest.mark.parametrize("fast", [[], ["_is_amx_tile_supported"], ["_is_avx512_bf16_supported"]])
def test_precision_on_a_cpu(fast: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda probe=probe: probe in fast, raising=False)
    assert choose_dtype("auto", CPU) == (torch.bfloat16 if fast else torch.float32)
    assert choose_dtype("float32", CPU) == torch.float32
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16


@pytest.mark.parametrize("supported", [True, False])
def test_precision_on_cuda(supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported or including_emulation)
    cuda = torch.device("cuda")
    assert choose_dtype("auto", cuda) == (torch.bfloat16 if supported else torch.float32)
    if not supported:
        with pytest.raises(InputError, match="cuda has no bfloat16"):
            choose_dtype("bfloat16", cuda)


def test_precision_elsewhere() -> None:
    assert choose_dtype("auto", MPS) == choose_dtype("float32", MPS) == torch.float32
    with pytest.raises(InputError, match="mps has no bfloat16: choose precision float32 or auto"):
        choose_dtype("bfloat16", MPS)


@pytest.mark.parametrize(("default", "expected"), [(1, 1), (2, 1), (3, 2), (8, 7), (9, 9), (64, 64)])
def test_a_small_machine_keeps_a_core_free(default: int, expected: int) -> None:
    assert threads(default, chosen=False) == expected
    assert threads(default, chosen=True) == default


@pytest.mark.parametrize(("chosen", "expected"), [(None, 1), ("2", 2)])
def test_the_rule_holds_for_the_process(chosen: str | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    runpy.run_path(device.__file__)
    assert numbers == [expected]


def test_the_readers_number_of_threads_stays() -> None:
    """Chosen with `OMP_NUM_THREADS` before the start, or with torch at any time after it."""
    script = """
import torch
before = torch.get_num_threads()
from dcgan_lib.utils import device
after = torch.get_num_threads()
torch.set_num_threads(5)
device.choose_device()
print(before, after, torch.get_num_threads())
"""
    run, env = [sys.executable, "-c", script], {**os.environ, "OMP_NUM_THREADS": "2"}
    before, after, at_last = subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout.split()
    assert (after, at_last) == (before, "5")  # before is 2, where there are as many cores
