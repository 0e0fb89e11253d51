"""Walks through z: between two samples, and along directions.

Used in notebooks/08_results.ipynb.
"""

from collections.abc import Mapping

import ipywidgets as widgets
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from dcgan_lib.explore import explore
from dcgan_lib.grids import grid
from dcgan_lib.sampling import draw_z, sample
from dcgan_lib.viz import D_COLOUR, G_COLOUR

PARENTS, COLUMNS, STEPS = 24, 6, 9
LARGE, SMALL = 256, 64  # about so many pixels for the picture that is made, and for those beside it


def spherical(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """The point at t on the arc from a to b (Shoemake 1985): t = 0 gives a, t = 1 gives b.

    Args:
        a, b: (..., latent_dim), not in opposite directions.
        t: a number, or a tensor that broadcasts against a and b.
    """
    cosine = torch.cosine_similarity(a, b, dim=-1).clamp(-1, 1)
    angle = torch.acos(cosine)[..., None]
    arc = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    return torch.where(angle < 1e-4, torch.lerp(a, b, torch.as_tensor(t, dtype=a.dtype)), arc)


def principal_directions(generator: nn.Module, count: int) -> Tensor:
    """Unit vectors (count, latent_dim) along which the generator's first layer changes most (Shen and Zhou 2021).

    Args:
        generator: a network whose `layers` begin with a transposed convolution.
    """
    weight = generator.layers[0].weight.detach().cpu().flatten(1)
    return torch.linalg.svd(weight, full_matrices=False).U.T[:count].contiguous()


def explore_latent(generator: nn.Module, directions: Mapping[str, Tensor] | None = None, seed: int = 0) -> None:
    """Pick two parents from a grid, walk from one to the other, and push the result along directions.

    Args:
        generator: trained, with an attribute `latent_dim`.
        directions: name to vector (latent_dim,), a slider each; left out, the two principal ones and a random one.
        seed: of the 24 parents.
    """
    z = draw_z(PARENTS, generator.latent_dim, seed, "parents")
    parents = sample(generator, z)
    if directions is None:
        first, second = principal_directions(generator, 2)
        chance = draw_z(1, generator.latent_dim, seed, "direction")[0]
        directions = {"principal 1": first, "principal 2": second, "random": chance / chance.norm()}
    small, large = (max(1, size // parents.shape[-1]) for size in (SMALL, LARGE))
    walk = torch.linspace(0, 1, STEPS)[:, None]

    def draw(first: int, second: int, path: float, **pushes: float) -> Image.Image:
        push = sum(amount * directions[name] for name, amount in pushes.items())
        a, b = z[first - 1], z[second - 1]
        made = sample(generator, torch.cat([spherical(a, b, path)[None], spherical(a, b, walk)]) + push)
        left = _numbered(grid(parents, COLUMNS, small), {first: D_COLOUR, second: G_COLOUR})
        right, strip = grid(made[:1], 1, large), _framed(grid(made[1:], STEPS, small), path)
        size = left.width + right.width + 16, max(left.height, right.height) + strip.height + 8
        joined = Image.new("RGB", size, "white")
        joined.paste(left, (0, 0))
        joined.paste(right, (left.width + 16, 0))
        joined.paste(strip, (0, joined.height - strip.height))
        return joined

    number = {"min": 1, "max": PARENTS}
    explore(
        draw,
        first=widgets.IntSlider(value=1, **number, description="blue parent"),
        second=widgets.IntSlider(value=2, **number, description="orange parent"),
        path=widgets.FloatSlider(value=0.5, min=0, max=1, step=0.02, description="path"),
        **{name: widgets.FloatSlider(value=0, min=-6, max=6, step=0.25, description=name) for name in directions},
    )


def _numbered(image: Image.Image, chosen: dict[int, str]) -> Image.Image:
    """The grid of parents with a number in each corner and a frame round the chosen ones."""
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    width, height = image.width // COLUMNS, image.height // (PARENTS // COLUMNS)
    for number in range(1, PARENTS + 1):
        x, y = (number - 1) % COLUMNS * width, (number - 1) // COLUMNS * height
        pen.text((x + 4, y + 2), str(number), "black", font, stroke_width=2, stroke_fill="white")
        if number in chosen:
            pen.rectangle((x, y, x + width, y + height), outline=chosen[number], width=4)
    return image


def _framed(image: Image.Image, path: float) -> Image.Image:
    """The walk as a strip, with a frame round the step that is closest to the path's place."""
    width, nearest = image.width // STEPS, round(path * (STEPS - 1))
    ImageDraw.Draw(image).rectangle(
        (nearest * width, 0, (nearest + 1) * width, image.height - 1), outline="black", width=3
    )
    return image
