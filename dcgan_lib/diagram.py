"""A network as a drawing and as a table, both taken from the real module by running it once.

Used in notebooks 04 (the generator) and 05 (the discriminator).
"""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from dcgan_lib.config import InputError
from dcgan_lib.viz import D_COLOUR, G_COLOUR

WEIGHTED = {nn.Conv2d: "down", nn.ConvTranspose2d: "up", nn.Linear: "dense"}
SHORT = {"BatchNorm2d": "batch norm", "Tanh": "tanh", "Sigmoid": "sigmoid", "Dropout": "dropout"}
WIDTH, HEIGHT = 9.0, 3.0  # of the figure, in inches


def shape_table(network: nn.Module, example: Tensor) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Every layer without layers inside, in the order in which it is called; the network is left as it was.

    Args:
        example: a batch as the network takes it, z (N, latent_dim) or pictures (N, C, H, W); N may be 1.

    Returns:
        (name, description, output shape without N, number of parameters) for each, such as
        ("layers.0", "ConvTranspose2d 100 to 512, 4×4, stride 1, padding 0", (512, 4, 4), 819200).
    """
    rows = _run(network, example)
    return [(name, _describe(layer), shape, sum(p.numel() for p in layer.parameters())) for name, layer, shape in rows]


def draw_network(network: nn.Module, example: Tensor) -> Figure:
    """The network as a row of blocks: what goes in, then what each convolution or dense layer gives.

    A block's height and depth are the height and width in pixels, its thickness the channels, both as square
    roots. Above each arrow stands the layer, below each block its shape and what follows (batch norm, activation).

    Args:
        example: as for `shape_table`.

    Raises:
        InputError: the network has no convolution and no dense layer.
    """
    shapes, operations, notes = [tuple(example.shape[1:])], [], [["input"]]
    for _, layer, shape in _run(network, example):
        if type(layer) in WEIGHTED:
            shapes.append(shape)
            kernel = "" if type(layer) is nn.Linear else "{}×{}\nstride {}\n".format(*layer.kernel_size, *layer.stride)
            operations.append(kernel + WEIGHTED[type(layer)])
            notes.append([])
        else:
            notes[-1].append(SHORT.get(type(layer).__name__, type(layer).__name__))
    if not operations:
        raise InputError(f"{type(network).__name__} has no convolution and no dense layer to draw: give another one.")
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    colour = G_COLOUR if any(isinstance(layer, nn.ConvTranspose2d) for layer in network.modules()) else D_COLOUR

    sides = [shape[-1] if len(shape) == 3 else 1 for shape in shapes]
    heights = [max(0.13, 1.45 * (side / max(*sides, 16)) ** 0.5) for side in sides]
    thick = [0.027 * shape[0] ** 0.5 for shape in shapes]
    room = WIDTH - 0.9 - 0.3 * sum(heights)  # for thickness and arrows, each arrow at least 0.55
    squeeze = min(1.0, (room - 0.55 * len(operations)) / sum(thick))
    thick = [max(0.05, squeeze * t) for t in thick]
    gap = (room - sum(thick)) / len(operations)
    small = 7.5 if len(shapes) < 8 else 6.0
    x, y = 0.45, 1.75
    for i, (shape, height, width) in enumerate(zip(shapes, heights, thick, strict=True)):
        _block(axes, (x, y - 0.6 * height), width, height, colour if i else "#8a8a8a")
        end = x + width + 0.3 * height
        axes.text((x + end) / 2, 0.62, " × ".join(map(str, shape)), ha="center", fontsize=small + 1, weight="bold")
        axes.text((x + end) / 2, 0.52, "\n".join(notes[i]), ha="center", va="top", fontsize=small)
        if i < len(operations):
            arrow = {"arrowstyle": "-|>", "color": "#444444"}
            axes.annotate("", xy=(end + 0.92 * gap, y), xytext=(end + 0.08 * gap, y), arrowprops=arrow)
            axes.text(end + gap / 2, y + 0.1, operations[i], ha="center", va="bottom", fontsize=small)
        x = end + gap
    return figure


def _run(network: nn.Module, example: Tensor) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """Name, layer and output shape of every innermost layer, as called, in eval mode and without gradients."""
    called: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    names = {layer: name for name, layer in network.named_modules() if not any(layer.children())}
    modes = {module: module.training for module in network.modules()}
    note = lambda layer, _, output: called.append((names[layer], layer, tuple(output.shape[1:])))  # noqa: E731
    hooks = [layer.register_forward_hook(note) for layer in names]
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return called


def _describe(layer: nn.Module) -> str:
    kind = type(layer).__name__
    if type(layer) is nn.Linear:
        return f"{kind} {layer.in_features} to {layer.out_features}"
    if type(layer) in WEIGHTED:
        size, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
        return f"{kind} {layer.in_channels} to {layer.out_channels}, {size}×{size}, stride {stride}, padding {padding}"
    return kind


def _block(axes: Axes, corner: tuple[float, float], width: float, height: float, colour: str) -> None:
    """A cuboid in oblique projection: its front, its top and its right side."""
    (x, y), (dx, dy) = corner, (0.3 * height, 0.2 * height)
    right, up = x + width, y + height
    front = [(x, y), (right, y), (right, up), (x, up)]
    top = [(x, up), (x + dx, up + dy), (right + dx, up + dy), (right, up)]
    side = [(right, y), (right + dx, y + dy), (right + dx, up + dy), (right, up)]
    for corners, alpha in ((front, 0.85), (top, 0.35), (side, 0.55)):
        axes.fill(*zip(*corners, strict=True), facecolor=colour, alpha=alpha, edgecolor="white", lw=0.8)
