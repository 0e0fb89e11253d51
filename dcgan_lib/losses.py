"""What each player makes small, from logits.

Taught in notebooks 06 and 10 (`gradient_penalty`, `relativistic_loss`).
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus


def real_loss(logits: Tensor, label: float = 1.0) -> Tensor:
    """-log D(x), averaged: small when the discriminator calls these pictures real.

    Args:
        logits: of any shape, the discriminator's output before the sigmoid; computed in float32.
        label: what "real" counts as. Below 1 the loss is smallest at D(x) = label, so that the discriminator gains
            nothing by being surer than that: one-sided label smoothing (Salimans et al. 2016, section 3.4).
    """
    return binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, label, dtype=torch.float32))


def fake_loss(logits: Tensor) -> Tensor:
    """-log(1 - D(x)), averaged: small when the discriminator calls these pictures fake."""
    return binary_cross_entropy_with_logits(logits.float(), torch.zeros_like(logits, dtype=torch.float32))


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The discriminator's loss: the sum of both halves (Goodfellow et al. 2014, equation 1, negated).

    A discriminator that knows nothing has logits 0 and a loss of 2 ln 2 = 1.386.
    """
    return real_loss(real_logits) + fake_loss(fake_logits)


def generator_loss(fake_logits: Tensor) -> Tensor:
    """The generator's non-saturating loss, -log D(G(z)) (Goodfellow et al. 2014, section 3).

    It is the discriminator's loss for real pictures, given fakes. Against a discriminator that
    knows nothing it is ln 2 = 0.693.
    """
    return real_loss(fake_logits)


def relativistic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The discriminator's relativistic loss, -log sigmoid(D(x) - D(G(z))), averaged over pairs.

    Jolicoeur-Martineau 2019; Huang et al. 2024, equation 2. A pair is a real image and the fake in the same place of
    the batch. With the arguments exchanged it is the generator's loss.
    """
    return softplus(fake_logits - real_logits).mean()


def gradient_penalty(logits: Tensor, images: Tensor, gamma: float) -> Tensor:
    """gamma / 2 times the squared length of each image's gradient, averaged over the batch (Mescheder et al. 2018).

    R1 where the images are real, R2 where they are fakes.

    Args:
        logits: the discriminator's, (N,), of these images.
        images: (N, C, H, W), with requires_grad.
    """
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gamma / 2 * gradients.square().flatten(1).sum(1).mean()
