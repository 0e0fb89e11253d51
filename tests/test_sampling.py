"""Sampling says in which mode it works, and leaves the generator as it was."""

import pytest
import torch

from dcgan_lib.networks import Generator
from dcgan_lib.sampling import draw_z, sample


@pytest.fixture
def generator() -> Generator:
    """One whose running statistics differ from any batch's."""
    torch.manual_seed(0)
    generator = Generator(8, 4, 1, 16)
    generator(3 * torch.randn(40, 8))
    return generator


def test_draw_z() -> None:
    z = draw_z(5, 8, seed=1)
    assert (z.shape, z.dtype) == ((5, 8), torch.float32)
    assert torch.equal(z, draw_z(5, 8, 1, "sample"))
    others = torch.stack([z, draw_z(5, 8, 2), draw_z(5, 8, 1, "fixed z")])
    assert torch.unique(others).numel() == others.numel()
    many = draw_z(1000, 100, 0)
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("train_mode", [True, False])
def test_generator_stays_as_it_was(generator: Generator, training: bool, train_mode: bool) -> None:
    generator.train(training)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    images = sample(generator, draw_z(7, 8, 0), train_mode)
    assert (images.shape, images.dtype, images.requires_grad) == ((7, 1, 16, 16), torch.float32, False)
    assert generator.training == training
    torch.testing.assert_close(generator.state_dict(), before, rtol=0, atol=0)


def test_eval_mode_gives_a_z_the_same_picture_in_any_company(generator: Generator) -> None:
    z = draw_z(7, 8, 0)
    with torch.no_grad():
        expected = generator.eval()(z)
    for chunk in (1, 3, 7, 250):
        torch.testing.assert_close(sample(generator, z, chunk=chunk), expected)


def test_train_mode_uses_the_statistics_of_each_chunk(generator: Generator) -> None:
    z = draw_z(6, 8, 0)
    images = sample(generator, z, train_mode=True, chunk=4)
    with torch.no_grad():
        expected = torch.cat([generator.train()(z[:4]), generator(z[4:])])
    torch.testing.assert_close(images, expected)
    assert not torch.allclose(images, sample(generator, z))
