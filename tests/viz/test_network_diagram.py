"""Shapes against a hand calculation, parameters against the total, and the network left as it was."""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from dcgan_lib.networks import Discriminator, Generator, MLPDiscriminator, MLPGenerator
from dcgan_lib.viz.network_diagram import draw_network, shape_table

Z = torch.zeros(1, 100)
NETWORKS = {
    "generator": (Generator(width=8), Z),
    "large generator": (Generator(width=8, channels=1, image_size=256), Z),
    "discriminator": (Discriminator(width=8), torch.zeros(1, 3, 64, 64)),
    "unpadded": (Discriminator(width=8, sigmoid=True, unpadded=True), torch.zeros(1, 3, 64, 64)),
    "dense generator": (MLPGenerator(), Z),
    "dense discriminator": (MLPDiscriminator(), torch.zeros(1, 1, 28, 28)),
}
every_network = pytest.mark.parametrize(("network", "example"), NETWORKS.values(), ids=NETWORKS.keys())


def convolutions(network: nn.Module, example: Tensor) -> list[tuple[int, ...]]:
    return [shape for _, layer, shape, _ in shape_table(network, example) if layer.startswith("Conv")]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def test_shapes_of_the_paper() -> None:
    """1 becomes 4, then 2 (n - 1) + 4 - 2 = 2n; and back: (n + 2 - 4) / 2 + 1 = n / 2, at last 4 becomes 1."""
    up = [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 64, 64)]
    assert convolutions(Generator(), Z) == up
    down = [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (1, 1, 1)]
    assert convolutions(Discriminator(), torch.zeros(2, 3, 64, 64)) == down


def test_shapes_without_padding() -> None:
    """(64 - 4) / 2 + 1 = 31, (31 - 4) // 2 + 1 = 14, 14 - 4 + 1 = 11, (11 - 4) // 2 + 1 = 4."""
    network = Discriminator(width=32, unpadded=True)
    assert convolutions(network, torch.zeros(1, 3, 64, 64)) == [(32, 31, 31), (64, 14, 14), (128, 11, 11), (1, 4, 4)]


def test_names_and_descriptions() -> None:
    rows = shape_table(Generator(), Z)
    assert rows[0] == ("layers.0", str(Generator().layers[0]), (512, 4, 4), 819_200)
    assert rows[1] == ("layers.1", "BatchNorm2d", (512, 4, 4), 1024)
    dense = shape_table(MLPDiscriminator(), torch.zeros(1, 1, 28, 28))[0]
    assert dense[1] == "Linear(in_features=784, out_features=1024, bias=True)"


@every_network
def test_parameters_sum_to_the_total(network: nn.Module, example: Tensor) -> None:
    assert sum(row[3] for row in shape_table(network, example)) == sum(p.numel() for p in network.parameters())


@every_network
def test_the_network_stays_as_it_was(network: nn.Module, example: Tensor) -> None:
    """No hook, no gradient, no new running statistics, and every layer in the mode in which it was."""
    network.train()
    next(layer for layer in network.modules() if not any(layer.children())).eval()  # one layer in another mode
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    draw_network(network, example)
    shape_table(network, example)
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    torch.testing.assert_close(network.state_dict(), state, rtol=0, atol=0)


def test_labels_come_from_the_network() -> None:
    words = texts(draw_network(Generator(width=16, channels=1, image_size=32), Z))
    assert [word for word in words if " × " in word] == ["64 × 4 × 4", "32 × 8 × 8", "16 × 16 × 16", "1 × 32 × 32"]
    assert [word for word in words if "stride" in word] == ["4×4\nstride 1\nup"] + ["4×4\nstride 2\nup"] * 3
    assert words[:2] == ["100", "input"] and words[-1] == "tanh" and words.count("batch norm\nReLU") == 3


@every_network
def test_everything_is_inside_the_figure_and_apart(network: nn.Module, example: Tensor) -> None:
    figure = draw_network(network, example)
    assert tuple(figure.get_size_inches()) == (9, 3)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    assert all(figure.bbox.contains(*corner) for box in boxes for corner in box.corners())
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
