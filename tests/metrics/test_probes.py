"""Each witness is asked about something whose answer is known."""

import torch
from torch import nn

from dcgan_lib.data import ImageDataset, load_images
from dcgan_lib.data.faces import paint
from dcgan_lib.metrics import probes
from dcgan_lib.networks import Discriminator


def discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(4, 3, 32).eval()


def test_guided_gradient_of_one_layer() -> None:
    """With one activation, the gradient is the kernel, where the activation is on."""
    d = discriminator()
    d.layers = nn.Sequential(*d.layers[:2], nn.Identity())
    image = torch.randn(3, 32, 32)
    maps = probes.last_conv(d, image[None])[0, 2]
    row, column = divmod(int(maps.argmax()), 16)
    wanted = torch.zeros(3, 34, 34)
    wanted[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] = d.layers[0].weight[2].detach()
    torch.testing.assert_close(probes.guided_gradient(d, image, 2), wanted[:, 1:-1, 1:-1])


def test_guided_gradient_lets_nothing_negative_pass() -> None:
    d, image = discriminator(), torch.randn(3, 32, 32)
    image.requires_grad_()
    plain = torch.autograd.grad(probes.last_conv(d, image[None])[0, 1].max(), image)[0]
    assert not torch.allclose(probes.guided_gradient(d, image.detach(), 1), plain)


def test_hiding_what_a_unit_does_not_look_at_costs_nothing() -> None:
    d = discriminator()
    d.layers = nn.Sequential(*d.layers[:2], nn.Identity())  # each place sees 4x4 pixels
    image = torch.zeros(3, 32, 32)
    image[:, 5:9, 5:9] = d.layers[0].weight[3].detach()
    costs = probes.hiding_costs(d, image, 3)
    assert costs.shape == (15, 15) and costs[2, 2] > 0
    assert costs[6:].abs().max() == costs[:, 6:].abs().max() == 0


def test_explained_variance() -> None:
    labels = {"mine": torch.arange(600) % 3, "other": torch.arange(600) // 3 % 2}
    noise = torch.randn(600, generator=torch.Generator().manual_seed(0))
    answers = torch.stack([labels["mine"].float(), labels["mine"] + noise, noise], 1)
    share = probes.explained_variance(answers, labels)
    assert share.shape == (2, 3)
    assert abs(share[0, 0] - 1) < 1e-5 and abs(share[0, 1] - 0.4) < 0.06 and share[:, 2].max() < 0.02


def test_rank_correlation() -> None:
    x = torch.tensor([[3.0, 1.0], [2.0, 9.0]])
    assert abs(probes.rank_correlation(x, x**3) - 1) < 1e-6 and abs(probes.rank_correlation(x, -x) + 1) < 1e-6


def test_tilt_meter() -> None:
    from torchvision.transforms.functional import rotate

    meter, quality = probes.tilt_meter(1300)
    assert 0.6 < quality < 1
    images = paint(12, torch.arange(200), 64)
    left, right = meter(rotate(images, -5)), meter(rotate(images, 5))
    assert ((right - left) > 3).double().mean() > 0.95


def test_codes_know_a_picture_again() -> None:
    faces = load_images("faces", 32)
    few = ImageDataset("few", faces.images[:500])
    codes = probes.semantic_codes(few, steps=60)
    known, noisy = codes(few.images), few.images[:50].float() + 10 * torch.randn(50, 3, 32, 32)
    assert set(known.unique().tolist()) == {0.0, 1.0} and known.shape == (500, 128)
    nearest = torch.cdist(codes(noisy.clamp(0, 255).byte()), known, p=1).argmin(1)
    assert (nearest == torch.arange(50)).double().mean() > 0.9
