"""Arcs keep their length, principal directions are those of the singular values, the explorer draws what they say."""

import math

import ipywidgets as widgets
import pytest
import torch
from PIL import Image

from dcgan_lib import latent
from dcgan_lib.grids import grid
from dcgan_lib.networks import Generator
from dcgan_lib.sampling import draw_z, sample

BLUE, ORANGE = (0x2F, 0x6D, 0xB3), (0xD9, 0x74, 0x2B)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(8, 4, 3, 16)


@pytest.fixture
def explored(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What `explore` was called with."""
    given = {}
    monkeypatch.setattr(latent, "explore", lambda draw, **controls: given.update(draw=draw, controls=controls))
    return given


def test_spherical_is_the_arc_of_a_circle() -> None:
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    for t in (0.0, 0.25, 0.5, 1.0):
        expected = torch.tensor([2 * math.cos(t * math.pi / 2), 2 * math.sin(t * math.pi / 2)])
        torch.testing.assert_close(latent.spherical(a, b, t), expected)


def test_spherical_takes_many_and_equal_ones() -> None:
    a, b = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))
    b[0] = a[0]
    t = torch.linspace(0, 1, 4)[:, None, None]
    points = latent.spherical(a, b, t)
    assert points.shape == (4, 5, 8)
    torch.testing.assert_close(points[0], a)
    torch.testing.assert_close(points[-1], b)
    torch.testing.assert_close(points[:, 0], a[:1].expand(4, 8))
    torch.testing.assert_close(points[1, 3], latent.spherical(a[3], b[3], 1 / 3))


def test_principal_directions(generator: Generator) -> None:
    directions = latent.principal_directions(generator, 3)
    torch.testing.assert_close(directions @ directions.T, torch.eye(3), rtol=0, atol=1e-5)
    first = generator.layers[0]
    reach = [first(z.reshape(1, 8, 1, 1)).norm().item() for z in directions]
    others = torch.nn.functional.normalize(draw_z(500, 8, 0), dim=1).reshape(500, 8, 1, 1)
    assert reach[0] >= reach[1] >= reach[2]
    assert reach[0] >= first(others).flatten(1).norm(dim=1).max()


def test_explorer_draws_what_its_controls_say(generator: Generator, explored: dict) -> None:
    push = torch.arange(8.0) / 8
    latent.explore_latent(generator, {"older": push}, seed=4)
    draw, controls = explored["draw"], explored["controls"]
    assert list(controls) == ["first", "second", "path", "older"]
    assert all(isinstance(control, widgets.Widget) for control in controls.values())
    z = draw_z(24, 8, 4, "parents")
    image = draw(first=3, second=8, path=0.25, older=2.0)
    wanted = grid(sample(generator, latent.spherical(z[2], z[7], 0.25)[None] + 2 * push), 1, 16)
    left = 6 * (16 + 1) * 4 + 4 + 16  # the parents, four pixels to one, and a gap
    found = image.crop((left, 0, left + wanted.width, wanted.height))
    assert Image.Image.tobytes(found) == wanted.tobytes()
    assert draw(first=3, second=8, path=0.5, older=2.0).tobytes() != image.tobytes()
    colours = {colour for _, colour in image.getcolors(1 << 24)}
    assert {BLUE, ORANGE} <= colours


def test_explorer_has_directions_of_its_own(generator: Generator, explored: dict) -> None:
    latent.explore_latent(generator)
    assert list(explored["controls"]) == ["first", "second", "path", "principal 1", "principal 2", "random"]
    values = {name: control.value for name, control in explored["controls"].items()}
    still = explored["draw"](**values)
    assert explored["draw"](**values | {"random": 3.0}).tobytes() != still.tobytes()
