"""Ways to make the loop ill, or to change it without harm, and medicines: each one a change of its text.

Used in notebook 09, and by benchmarks/clinic.py.
"""

import copy
import textwrap
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dcgan_lib.clinic.ladder import LADDER, spectral, unnormalised
from dcgan_lib.clinic.loop import Change, Loop, changed, play
from dcgan_lib.data import ImageDataset
from dcgan_lib.losses import gradient_penalty
from dcgan_lib.training import update_average

G, D = "Generator(100, 24, 3, 32)", "Discriminator(16, 3, 32)"
NETWORKS = f"generator, discriminator = {G}, {D}\n"
REAL, Z = "real = data.batch(32, seed, step)", "torch.randn(32, 100, generator=dice)"
D_LOGITS = "        real_logits = discriminator(real)\n        fake_logits = discriminator(fake.detach())\n"
D_TURN = f"""        d_optimizer.zero_grad()
        fake = generator(z)
{D_LOGITS}        d_loss = bce(real_logits, 1.0) + bce(fake_logits, 0.0)
        d_loss.backward()
        d_optimizer.step()
"""


def batch_norm_everywhere(generator: nn.Module, discriminator: nn.Module) -> tuple[nn.Module, nn.Module]:
    """With batch norm where the paper leaves it out: before tanh, after D's first convolution and its last one."""
    first, *middle = discriminator.layers
    discriminator.layers = nn.Sequential(first, nn.BatchNorm2d(16), *middle, nn.BatchNorm2d(1))
    generator.layers = nn.Sequential(*generator.layers[:-1], nn.BatchNorm2d(3), nn.Tanh())
    return generator, discriminator


def scale_near_zero(*networks: nn.Module) -> tuple[nn.Module, ...]:
    """Batch norm's scale drawn from N(0, 0.02), as if it were a convolution's weight."""
    for module in (module for network in networks for module in network.modules()):
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
    return networks


def uneven_kernels(generator: nn.Module, discriminator: nn.Module) -> tuple[nn.Module, nn.Module]:
    """3x3 kernels with stride 2, whose stamps overlap in every other row and column only (notebook 04)."""
    for i, layer in enumerate(generator.layers):
        if isinstance(layer, nn.ConvTranspose2d) and layer.stride == (2, 2):
            generator.layers[i] = nn.ConvTranspose2d(*layer.weight.shape[:2], 3, 2, 1, 1, bias=False)
            nn.init.normal_(generator.layers[i].weight, 0.0, 0.02)
    return generator, discriminator


def first_images(data: ImageDataset, count: int) -> ImageDataset:
    """A data set of its first images alone."""
    return ImageDataset(f"the first {count} of {data.name}", data.images[:count])


class MinibatchStd(nn.Module):
    """One channel more: how much the images of the batch differ, one number for all (Karras et al. 2018, section 3)."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + 1, H, W)."""
        spread = (features.var(0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([features, spread.expand(len(features), 1, *features.shape[2:])], 1)


def with_minibatch_std(generator: nn.Module, discriminator: nn.Module) -> tuple[nn.Module, nn.Module]:
    """D with `MinibatchStd` before its last convolution."""
    *layers, last = discriminator.layers
    wider = nn.Conv2d(last.in_channels + 1, 1, 4, bias=False)
    nn.init.normal_(wider.weight, 0.0, 0.02)
    discriminator.layers = nn.Sequential(*layers, MinibatchStd(), wider)
    return generator, discriminator


NAMES = {"copy": copy} | {
    function.__name__: function
    for function in (
        batch_norm_everywhere, scale_near_zero, uneven_kernels, first_images, with_minibatch_std, unnormalised,
        spectral, gradient_penalty, update_average,
    )
}  # fmt: skip
"""What the changed lines may call."""


def networks(function: str) -> Change:
    """The networks go through a function before they are trained."""
    return NETWORKS, f"{NETWORKS}    generator, discriminator = {function}(generator, discriminator)\n"


def rates(g: float, d: float) -> tuple[Change, Change]:
    return ("lr=0.002", f"lr={g}"), ("lr=0.001", f"lr={d}")


class Case(NamedTuple):
    """A run of the clinic."""

    kind: str
    changes: tuple[Change, ...]


def turns(k: int) -> Change:
    """k turns for D, each with images of its own."""
    inner = textwrap.indent(D_TURN, "    ").replace("generator(z)", "generator(torch.randn(32, 100, generator=dice))")
    draw = '            real = data.batch(32, seed, step, owner=f"turn {turn}")\n'
    return D_TURN, f"        for turn in range({k}):\n{draw}{inner}        fake = generator(z)\n"


SATURATING = ("g_loss = bce(new_logits, 1.0)", "g_loss = -bce(new_logits, 0.0)")
CASES = {
    "nothing": Case("nothing is wrong", ()),
    "five turns for D": Case("nothing is wrong", (turns(5),)),
    "real labels of 0.9": Case("nothing is wrong", (("bce(real_logits, 1.0)", "bce(real_logits, 0.9)"),)),
    "uniform z": Case("nothing is wrong", ((Z, "2 * torch.rand(32, 100, generator=dice) - 1"),)),
    "D too strong": Case("rates", (("lr=0.002", "lr=0.00005"),)),
    "D too weak": Case("rates", (("lr=0.001", "lr=0.00002"),)),
    "rates too high": Case("rates", rates(0.02, 0.01)),
    "rates too low": Case("rates", rates(0.00005, 0.000025)),
    "beta1 of 0.9": Case(
        "rates", (("lr=0.002, betas=(0.3", "lr=0.002, betas=(0.9"), ("lr=0.001, betas=(0.3", "lr=0.001, betas=(0.9"))
    ),
    "batches of 4": Case("data", ((REAL, REAL.replace("32", "4")), (Z, Z.replace("32", "4")))),
    "images in [0, 1]": Case("data", ((REAL, f"{REAL} / 2 + 0.5"),)),
    "fifty images": Case("data", (("    dice", "    data = first_images(data, 50)\n    dice"),)),
    "sigmoid twice": Case("losses", ((D, "Discriminator(16, 3, 32, sigmoid=True)"),)),
    "fake labels of 0.3": Case("losses", (("bce(fake_logits, 0.0)", "bce(fake_logits, 0.3)"),)),
    "saturating loss": Case("losses", (SATURATING,)),
    "saturating loss, five turns for D": Case("losses", (SATURATING, turns(5))),
    "no detach": Case(
        "forgotten lines",
        (
            (".detach()", ""),
            ("d_loss.backward()", "d_loss.backward(retain_graph=True)"),
            ("        d_optimizer.zero_grad()\n", "        d_optimizer.zero_grad()\n        g_optimizer.zero_grad()\n"),
            ("        g_optimizer.zero_grad()\n        new", "        new"),
        ),
    ),
    "no zero_grad for D": Case("forgotten lines", (("        d_optimizer.zero_grad()\n", ""),)),
    "no zero_grad for G": Case("forgotten lines", (("        g_optimizer.zero_grad()\n", ""),)),
    "mixed batches": Case(
        "batch norm",
        (
            (
                D_LOGITS,
                "        both = torch.cat([real, fake.detach()])\n"
                "        real_logits, fake_logits = discriminator(both).split(32)\n",
            ),
        ),
    ),
    "no batch norm": Case("batch norm", ((G, f"unnormalised({G})"), (D, f"unnormalised({D})"))),
    "batch norm everywhere": Case("batch norm", (networks("batch_norm_everywhere"),)),
    "scale near zero": Case("batch norm", (networks("scale_near_zero"),)),
    "uneven kernels": Case("nothing is wrong", (networks("uneven_kernels"),)),
}
"""Name to what is changed; a run ill from rates, data, losses ... or not ill at all."""

ANY = float("inf")
EXPECTED: dict[str, dict[str, tuple[float, float]]] = {
    "nothing": {"fid": (0, 66), "memory": (0.3, 0.7), "change": (0.5, 1), "diversity": (0.76, 1.1)},
    "D too strong": {"d_loss": (0, 0.1), "preference": (0.99, 1), "signal": (12, ANY), "diversity": (0, 0.35)},
    "D too weak": {"preference": (0, 0.2), "d_loss": (3, ANY), "diversity": (0, 0.2), "d_gradient": (0, 100)},
    "rates too high": {"change": (1.2, ANY), "diversity": (0.9, ANY), "speckle": (2, ANY), "d_gradient": (0, 12)},
    "rates too low": {"change": (0, 0.4), "diversity": (0, 0.25), "d_loss": (0.6, 1.2), "signal": (1, 8)},
    "beta1 of 0.9": {"change": (1.4, ANY), "diversity": (0, 0.6), "speckle": (2.6, ANY), "preference": (0.98, 1)},
    "batches of 4": {"fid": (60, 110), "diversity": (0.5, 0.76), "g_gradient": (7, 25), "preference": (0.7, 0.99)},
    "images in [0, 1]": {"darkest": (-0.2, 0.2), "diversity": (0.35, 0.6), "copies": (0, 1.35), "speckle": (0.6, 1.2)},
    "fifty images": {"memory": (0.9, 1), "preference": (0.95, 1), "copies": (0, 1.2), "fid": (40, 110)},
    "sigmoid twice": {"lowest": (0.5, 1), "signal": (0, 0.4), "g_gradient": (0, 0.7), "diversity": (0.25, 0.9)},
    "no zero_grad for D": {"preference": (0, 0.2), "d_gradient": (150, ANY), "diversity": (0, 0.2)},
    "no zero_grad for G": {"g_gradient": (150, ANY), "preference": (0.98, 1), "d_loss": (0, 0.4), "fid": (120, ANY)},
    "mixed batches": {"change": (0, 0.1), "diversity": (0, 0.15), "d_loss": (0, 0.01), "signal": (0, 0.05)},
    "no batch norm": {"fid": (80, 200), "lowest": (0, 0.49), "signal": (0, 0.3), "d_gradient": (0, 8)},
    "batch norm everywhere": {"speckle": (4.5, ANY), "fid": (350, ANY), "signal": (0, 0.05)},
}
"""What a diagnosis of the ward would have the vital signs be (`signs.WORDS`): name to sign to lowest and highest."""
PATIENTS = (*EXPECTED, "five turns for D")
"""Whom the ward holds. With five turns for D nothing is wrong, although its curves look as if D had won."""

SICK = "beta1 of 0.9"
"""The run that all medicines are tried on."""
NOISY = "discriminator({0} + 0.1 * torch.randn(real.shape, generator=dice))"
MEDICINES: dict[str, tuple[Change, ...]] = {
    "none": (),
    "label smoothing": (("bce(real_logits, 1.0)", "bce(real_logits, 0.9)"),),
    "noise on the input": tuple(
        (f"discriminator({images})", NOISY.format(images)) for images in ("real", "fake.detach()", "fake")
    ),
    "two time scales": rates(0.0005, 0.002),
    "spectral norm": ((D, f"spectral({D})"),),
    "R1": (
        ("discriminator(real)", "discriminator(real.requires_grad_())"),
        ("d_loss.backward()", "(d_loss + gradient_penalty(real_logits, real, 1.0)).backward()"),
    ),
    "averaging": LADDER["+ averaging"],
    "minibatch std": (networks("with_minibatch_std"),),
    "its cure, beta1 of 0.3": tuple((new, old) for old, new in CASES[SICK].changes),
}  # fmt: skip
"""What each medicine changes."""


def loop_with(*changes: Change) -> Loop:
    """The loop with these changes."""
    return changed(play, *changes, **NAMES) if changes else play
