"""The explorer draws what its controls say."""

import sys

import pytest
import torch
from PIL import Image

from dcgan_lib.images import grid
from dcgan_lib.networks import Generator
from dcgan_lib.sampling import sample, sample_latents, slerp
from dcgan_lib.viz import explore_latent

explore_module = sys.modules["dcgan_lib.viz.explore"]  # dcgan_lib.viz.explore is the function

BLUE, ORANGE = (0x2F, 0x6D, 0xB3), (0xD9, 0x74, 0x2B)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(8, 4, 3, 16)


@pytest.fixture
def explored(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What `explore` was called with."""
    given = {}
    monkeypatch.setattr(
        explore_module, "explore", lambda draw, alt, **controls: given.update(draw=draw, controls=controls)
    )
    return given


def test_explorer_draws_what_its_controls_say(generator: Generator, explored: dict) -> None:
    push = torch.arange(8.0) / 8
    explore_latent(generator, {"older": push}, seed=4)
    draw, controls = explored["draw"], explored["controls"]
    assert list(controls) == ["first", "second", "path", "older"]
    z = sample_latents(24, 8, 4, "parents")
    image = draw(first=3, second=8, path=0.25, older=2.0)
    wanted = grid(sample(generator, slerp(z[2], z[7], 0.25)[None] + 2 * push), 1, 16)
    left = 6 * (16 + 1) * 4 + 4 + 16  # the parents, four pixels to one, and a gap
    found = image.crop((left, 0, left + wanted.width, wanted.height))
    assert Image.Image.tobytes(found) == wanted.tobytes()
    assert draw(first=3, second=8, path=0.5, older=2.0).tobytes() != image.tobytes()
    colours = {colour for _, colour in image.getcolors(1 << 24)}
    assert {BLUE, ORANGE} <= colours
