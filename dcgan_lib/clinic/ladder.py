"""What came after DCGAN, and the paper's five guidelines without one of them: all of it as changes to `loop.play`.

Used in notebooks/10_paper.ipynb and by benchmarks/paper.py.
"""

import copy
from collections.abc import Callable

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from dcgan_lib.clinic.loop import Change, Loop, changed, play
from dcgan_lib.losses import gradient_penalty, relativistic_loss
from dcgan_lib.networks import init_weights
from dcgan_lib.training import update_average

Rewrite = Callable[[nn.Module], list[nn.Module]]
"""From one layer to the layers that stand in its place."""


def rewrite(network: nn.Module, rule: Rewrite) -> nn.Module:
    """The network itself, with each of its layers replaced."""
    network.layers = nn.Sequential(*[new for old in network.layers for new in rule(old)])
    return network


def without(kind: type[nn.Module], *instead: nn.Module) -> Rewrite:
    """Layers of a kind go; others may come in their place."""
    return lambda layer: [copy.deepcopy(new) for new in instead] if isinstance(layer, kind) else [layer]


def unnormalised(network: nn.Module) -> nn.Module:
    """The network less its batch norm."""
    return rewrite(network, without(nn.BatchNorm2d))


def spectral(network: nn.Module) -> nn.Module:
    """No batch norm, and every convolution divided by its largest singular value (Miyato et al. 2018)."""
    return rewrite(unnormalised(network), lambda layer: [spectral_norm(layer) if hasattr(layer, "weight") else layer])


GAMMA = 0.1
D_LOSS, G_LOSS = "bce(real_logits, 1.0) + bce(fake_logits, 0.0)", "bce(new_logits, 1.0)"
HINGE = "F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()"
R1 = "penalty(real_logits, real, GAMMA)"
LADDER: dict[str, tuple[Change, ...]] = {
    "DCGAN": (
        ("generator.parameters(), lr=0.002, betas=(0.3", "generator.parameters(), lr=0.002, betas=(0.5"),
        ("discriminator.parameters(), lr=0.001, betas=(0.3", "discriminator.parameters(), lr=0.002, betas=(0.5"),
    ),
    "+ averaging": (
        ("    for step in", "    average = copy.deepcopy(generator)\n\n    for step in"),
        ("        yield", "        update_average(average, generator, 0.99, step)\n        yield"),
    ),
    "+ two time scales": (("discriminator.parameters(), lr=0.002", "discriminator.parameters(), lr=0.001"),),
    "spectral norm for D's batch norm": (("Discriminator(16, 3, 32)", "spectral(Discriminator(16, 3, 32))"),),
    "hinge loss": ((D_LOSS, HINGE), (G_LOSS, "-new_logits.mean()")),
    "R1 for spectral norm": (
        ("spectral(", "unnormalised("),
        ("step)\n        z", "step).requires_grad_()\n        z"),
        (HINGE, f"{HINGE} + {R1}"),
    ),
    "relativistic, R1 and R2": (
        ("discriminator(fake.detach())", "discriminator(judged := fake.detach().requires_grad_())"),
        (f"{HINGE} + {R1}", f"relativistic(real_logits, fake_logits) + {R1} + penalty(fake_logits, judged, GAMMA)"),
        ("-new_logits.mean()", "relativistic(new_logits, discriminator(real).detach())"),
    ),
}
"""For each rung what differs from the rung before, the first from `play`."""


def ladder() -> dict[str, Loop]:
    """The loops, each a change of the one before; all but the first have an averaged generator, `average`."""
    names = {"copy": copy, "update_average": update_average, "spectral": spectral, "unnormalised": unnormalised}
    names |= {"penalty": gradient_penalty, "relativistic": relativistic_loss, "GAMMA": GAMMA}
    loops, loop = {}, play
    for name, changes in LADDER.items():
        loops[name] = loop = changed(loop, *changes, **names)
    return loops


def _pooling(layer: nn.Module) -> list[nn.Module]:
    if getattr(layer, "stride", None) != (2, 2):
        return [layer]
    conv = nn.Conv2d(layer.in_channels, layer.out_channels, 3, 1, 1, bias=False).apply(init_weights)
    grows = isinstance(layer, nn.ConvTranspose2d)
    return [nn.Upsample(scale_factor=2), conv] if grows else [conv, nn.AvgPool2d(2)]


def _dense(layer: nn.Module) -> list[nn.Module]:
    if getattr(layer, "stride", None) != (1, 1):
        return [layer]
    if isinstance(layer, nn.Conv2d):  # D's last layer
        hidden = [nn.Flatten(), nn.Linear(16 * layer.in_channels, 256), nn.LeakyReLU(0.2)]
        return [*hidden, nn.Linear(256, 1)]
    hidden = [nn.Flatten(), nn.Linear(layer.in_channels, 256), nn.ReLU(), nn.Unflatten(1, (256, 1, 1))]
    return [*hidden, nn.ConvTranspose2d(256, layer.out_channels, 4, bias=False).apply(init_weights)]


def _keep(layer: nn.Module) -> list[nn.Module]:
    return [layer]


GUIDELINES: dict[str, tuple[Rewrite, Rewrite]] = {
    "all kept": (_keep, _keep),
    "1 no strides: repeat pixels, average": (_pooling, _pooling),
    "2 no batch norm in G": (without(nn.BatchNorm2d), _keep),
    "2 no batch norm in D": (_keep, without(nn.BatchNorm2d)),
    "3 a dense layer in each": (_dense, _dense),
    "4 LeakyReLU in G": (without(nn.ReLU, nn.LeakyReLU(0.2)), _keep),
    "4 no tanh": (without(nn.Tanh), _keep),
    "5 ReLU in D": (_keep, without(nn.LeakyReLU, nn.ReLU())),
}
"""What happens to G's layers and to D's; the number is the guideline's (paper, section 3)."""


def break_guideline(name: str) -> Loop:
    """The bare loop with one guideline broken."""
    for_g, for_d = GUIDELINES[name]
    networks = "rewrite(Generator(100, 24, 3, 32), for_g), rewrite(Discriminator(16, 3, 32), for_d)"
    change = "Generator(100, 24, 3, 32), Discriminator(16, 3, 32)", networks
    return changed(play, change, rewrite=rewrite, for_g=for_g, for_d=for_d)
