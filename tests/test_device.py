"""The device that is asked for, or a sentence that says which there are."""

import pytest
import torch
from torch import Tensor

from dcgan_lib.config import InputError
from dcgan_lib.device import choose_device, choose_dtype, resident, send
from dcgan_lib.memory import room

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


class Luggage(Tensor):
    """A tensor that tells where it was sent instead of going there."""

    def pin_memory(self) -> "Luggage":
        self.pinned = True
        return self

    def to(self, device: torch.device, non_blocking: bool = False) -> tuple[str, bool, bool]:
        return device.type, non_blocking, getattr(self, "pinned", False)


@pytest.mark.parametrize(("device", "free", "moves"), [("cuda", 400, True), ("cuda", 399, False), ("cpu", 400, False)])
def test_pictures_move_to_the_gpu_where_they_take_a_quarter_at_most(device: str, free: int, moves: bool, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 1000))
    images = torch.zeros(100, dtype=torch.uint8).as_subclass(Luggage)
    there = resident(images, torch.device(device))
    assert there == ("cuda", False, False) if moves else there is images


def test_what_is_no_tensor_stays() -> None:
    shards = object()
    assert resident(shards, torch.device("cuda")) is shards


@pytest.mark.parametrize(("device", "pinned"), [("cuda", True), ("cpu", False), ("mps", False)])
def test_a_batch_travels_while_the_gpu_computes(device: str, pinned: bool) -> None:
    assert send(torch.zeros(3).as_subclass(Luggage), torch.device(device)) == (device, True, pinned)


def test_room_takes_only_a_lack_of_memory_for_one() -> None:
    with pytest.raises(InputError, match="^These networks do not fit into the memory: "), room():
        torch.empty(2**45, 2**10)
    with pytest.raises(RuntimeError, match="^something else$"), room():
        raise RuntimeError("something else")
