"""Sampling says in which mode it works, and leaves the generator as it was; ways through z are what they say."""

import math

import pytest
import torch

from dcgan_lib.networks import Generator
from dcgan_lib.sampling import principal_directions, sample, sample_latents, slerp


@pytest.fixture
def generator() -> Generator:
    """One whose running statistics differ from any batch's."""
    torch.manual_seed(0)
    generator = Generator(8, 4, 1, 16)
    generator(3 * torch.randn(40, 8))
    return generator


def test_draw_z() -> None:
    z = sample_latents(5, 8, seed=1)
    assert (z.shape, z.dtype) == ((5, 8), torch.float32)
    assert torch.equal(z, sample_latents(5, 8, 1, "sample"))
    others = torch.stack([z, sample_latents(5, 8, 2), sample_latents(5, 8, 1, "fixed z")])
    assert torch.unique(others).numel() == others.numel()
    many = sample_latents(1000, 100, 0)
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02


@pytest.mark.parametrize("latent_dim", [1, 2, 8, 100, 128])
def test_few_z_are_the_first_of_many(latent_dim: int) -> None:
    many = sample_latents(64, latent_dim, seed=5)
    for n in range(1, 65):
        assert torch.equal(sample_latents(n, latent_dim, seed=5), many[:n])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("train_mode", [True, False])
def test_generator_stays_as_it_was(generator: Generator, training: bool, train_mode: bool) -> None:
    generator.train(training)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    images = sample(generator, sample_latents(7, 8, 0), train_mode)
    assert (images.shape, images.dtype, images.requires_grad) == ((7, 1, 16, 16), torch.float32, False)
    assert generator.training == training
    torch.testing.assert_close(generator.state_dict(), before, rtol=0, atol=0)


def test_eval_mode_gives_a_z_the_same_picture_in_any_company(generator: Generator) -> None:
    z = sample_latents(7, 8, 0)
    with torch.no_grad():
        expected = generator.eval()(z)
    for chunk in (1, 3, 7, 250):
        torch.testing.assert_close(sample(generator, z, chunk=chunk), expected)


def test_train_mode_uses_the_statistics_of_each_chunk(generator: Generator) -> None:
    z = sample_latents(6, 8, 0)
    images = sample(generator, z, train_mode=True, chunk=4)
    with torch.no_grad():
        expected = torch.cat([generator.train()(z[:4]), generator(z[4:])])
    torch.testing.assert_close(images, expected)
    assert not torch.allclose(images, sample(generator, z))


def test_slerp_is_the_arc_of_a_circle() -> None:
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    for t in (0.0, 0.25, 0.5, 1.0):
        expected = torch.tensor([2 * math.cos(t * math.pi / 2), 2 * math.sin(t * math.pi / 2)])
        torch.testing.assert_close(slerp(a, b, t), expected)


def test_slerp_takes_many_and_equal_ones() -> None:
    a, b = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))
    b[0] = a[0]
    t = torch.linspace(0, 1, 4)[:, None, None]
    points = slerp(a, b, t)
    assert points.shape == (4, 5, 8)
    torch.testing.assert_close(points[0], a)
    torch.testing.assert_close(points[-1], b)
    torch.testing.assert_close(points[:, 0], a[:1].expand(4, 8))
    torch.testing.assert_close(points[1, 3], slerp(a[3], b[3], 1 / 3))


def test_principal_directions(generator: Generator) -> None:
    directions = principal_directions(generator, 3)
    torch.testing.assert_close(directions @ directions.T, torch.eye(3), rtol=0, atol=1e-5)
    first = generator.layers[0]
    reach = [first(z.reshape(1, 8, 1, 1)).norm().item() for z in directions]
    others = torch.nn.functional.normalize(sample_latents(500, 8, 0), dim=1).reshape(500, 8, 1, 1)
    assert reach[0] >= reach[1] >= reach[2]
    assert reach[0] >= first(others).flatten(1).norm(dim=1).max()
