"""The generators that come with the project are the ones that their table describes, and paint."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dcgan_lib import checkpoint
from dcgan_lib.checkpoint import TRAINED, load_generator, trained_generators
from dcgan_lib.sampling import sample, sample_latents

NAMES = ["faces64", "mnist32"]


def test_the_table_has_their_checksums() -> None:
    found = dict(re.findall(r"(?m)^\| (\w+) \|.*`([0-9a-f]{64})` \|$", (TRAINED / "README.md").read_text()))
    files = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in TRAINED.glob("*.safetensors")}
    assert list(trained_generators()) == sorted(found) == NAMES
    assert found == files
    assert sum(path.stat().st_size for path in TRAINED.iterdir()) < 8e6


@pytest.mark.parametrize(("name", "shape"), list(zip(NAMES, [(3, 64, 64), (1, 32, 32)], strict=True)))
def test_they_paint_by_name(name: str, shape: tuple[int, int, int]) -> None:
    generator, config = load_generator(name)
    images = sample(generator, sample_latents(16, config.latent_dim, seed=0))
    assert images.shape == (16, *shape)
    assert images.std(0).mean() > 0.2
    assert {values.dtype for values in generator.state_dict().values()} <= {torch.float32, torch.int64}


def test_a_damaged_one(refused: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained_generators()["mnist32"].read_bytes()
    (tmp_path / "mnist32.safetensors").write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    monkeypatch.setattr(checkpoint, "TRAINED", tmp_path)
    message = refused(lambda: load_generator("mnist32"))
    assert message == f"{tmp_path / 'mnist32.safetensors'} is damaged: copy it again, or give another one."
