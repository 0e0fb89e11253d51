"""A network as a drawing and as a table, both taken from the real module by running it once.

Used in notebooks 04 (the generator) and 05 (the discriminator).
"""

import copy
import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from dcgan_lib.curves import D_COLOUR, G_COLOUR

WEIGHTED = {nn.Conv2d: "down", nn.ConvTranspose2d: "up", nn.Linear: "dense"}
SHORT = {"BatchNorm2d": "batch norm", "Tanh": "tanh", "Sigmoid": "sigmoid", "Dropout": "dropout"}
GAP = 0.8  # between blocks, in inches before all is made to fit the width


def shape_table(network: nn.Module, example: Tensor) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Every layer without layers inside, in the order in which it is called; the network is left as it was.

    Args:
        example: a batch as the network takes it, z (N, latent_dim) or images (N, C, H, W); N may be 1.

    Returns:
        (name, PyTorch's description, output shape without N, number of parameters) for each, such as ("layers.0",
        "ConvTranspose2d(100, 512, kernel_size=(4, 4), stride=(1, 1), bias=False)", (512, 4, 4), 819200).
    """
    rows = []
    for name, layer, shape in _run(network, example):
        words = str(layer) if type(layer) in WEIGHTED else type(layer).__name__
        rows.append((name, words, shape, sum(p.numel() for p in layer.parameters())))
    return rows


def draw_network(network: nn.Module, example: Tensor) -> Figure:
    """The network as a row of blocks: what goes in, then what each convolution or dense layer gives.

    A block's height and depth are the height and width in pixels, its thickness the channels, both as square
    roots. Above each arrow stands the layer, below each block its shape and what follows (batch norm, activation).

    Args:
        example: as for `shape_table`.
    """
    blocks = [(tuple(example.shape[1:]), "", ["input"])]
    for _, layer, shape in _run(network, example):
        if type(layer) in WEIGHTED:
            kernel = "" if type(layer) is nn.Linear else "{}×{}\nstride {}\n".format(*layer.kernel_size, *layer.stride)
            blocks.append((shape, kernel + WEIGHTED[type(layer)], []))
        else:
            blocks[-1][2].append(SHORT.get(type(layer).__name__, type(layer).__name__))
    figure = Figure(figsize=(9, 3))
    axes = figure.add_axes((0, 0, 1, 1), ylim=(0, 3))
    axes.set_axis_off()
    colour = G_COLOUR if any(isinstance(layer, nn.ConvTranspose2d) for layer in network.modules()) else D_COLOUR
    small = 7.5 if len(blocks) < 8 else 6.0
    most_pixels = max(256, *(math.prod(shape[1:]) for shape, _, _ in blocks))
    x, y = 0.45, 1.75
    for i, (shape, arrow, notes) in enumerate(blocks):
        if i:
            ends = {"xytext": (x - 0.92 * GAP, y), "xy": (x - 0.08 * GAP, y)}
            axes.annotate("", **ends, arrowprops={"arrowstyle": "-|>", "color": "#444444"})
            axes.text(x - GAP / 2, y + 0.1, arrow, ha="center", va="bottom", fontsize=small)
        height = max(0.13, 1.45 * (math.prod(shape[1:]) / most_pixels) ** 0.25)
        width = max(0.05, 0.027 * shape[0] ** 0.5)
        _draw_block(axes, (x, y - 0.6 * height), width, height, colour if i else "#8a8a8a")
        end = x + width + 0.3 * height
        axes.text((x + end) / 2, 0.62, " × ".join(map(str, shape)), ha="center", fontsize=small + 1, weight="bold")
        axes.text((x + end) / 2, 0.52, "\n".join(notes), ha="center", va="top", fontsize=small)
        x = end + GAP
    axes.set_xlim(0, end + 0.45)
    return figure


def _run(network: nn.Module, example: Tensor) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """Name, layer and output shape of every innermost layer, as called, in eval mode and without gradients."""
    called, network = [], copy.deepcopy(network).eval()  # the reader's own gets no hooks and changes no mode
    names = {layer: name for name, layer in network.named_modules() if not any(layer.children())}
    for layer in names:
        layer.register_forward_hook(lambda layer, _, out: called.append((names[layer], layer, tuple(out.shape[1:]))))
    with torch.no_grad():
        network(example)
    return called


def _draw_block(axes: Axes, corner: tuple[float, float], width: float, height: float, colour: str) -> None:
    """A cuboid in oblique projection: its front, its top and its right side."""
    (x, y), (dx, dy) = corner, (0.3 * height, 0.2 * height)
    right, up = x + width, y + height
    front = [(x, y), (right, y), (right, up), (x, up)]
    top = [(x, up), (x + dx, up + dy), (right + dx, up + dy), (right, up)]
    side = [(right, y), (right + dx, y + dy), (right + dx, up + dy), (right, up)]
    for corners, alpha in ((front, 0.85), (top, 0.35), (side, 0.55)):
        axes.fill(*zip(*corners, strict=True), facecolor=colour, alpha=alpha, edgecolor="white", lw=0.8)
