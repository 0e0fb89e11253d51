"""Follow a run of the loop, and take its vital signs: the quantities that tell one illness from another.

Used in notebook 09, and by benchmarks/clinic.py.
"""

import copy
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dcgan_lib.clinic.loop import Loop, bce
from dcgan_lib.data import ImageDataset, denormalize, faces, normalize
from dcgan_lib.history import History
from dcgan_lib.metrics import nearest_neighbours, speckle
from dcgan_lib.sampling import sample

BATCHES = 8
"""So many batches of 32 images the signs are taken from."""
WORDS = {
    "preference": "D gives the real image the higher logit in {:.0%} of pairs",
    "memory": "D gives a training image a higher logit than an unseen portrait in {:.0%} of pairs",
    "signal": "the gradient of -log D(G(z)) at a fake is {:.2g} long",
    "g_gradient": "the gradient that G's optimizer was given is {:.2g} long",
    "d_gradient": "the gradient that D's optimizer was given is {:.2g} long",
    "diversity": "the fakes differ from one another {:.0%} as much as real images do",
    "speckle": "the fakes' grain is {:.1f} times that of real images",
    "copies": "a fake is {:.2f} times as far from the nearest training image as an unseen portrait is",
    "darkest": "the darkest hundredth of the fakes' pixels is at {:.2f} or below",
    "d_loss": "d_loss is {:.2g} at the end",
    "lowest": "D(G(z)) never falls below {:.2f} in the second half",
    "change": "the same z give images that have changed by {:.0%} of the real diversity within 50 steps",
    "fid": "the FID is {:.0f}",
    "covered": "{:.0f} of 48 attribute values occur among the fakes",
}
"""What the signs say, in words. `fid` and `covered` need the classifier and are in records alone."""


class Run(NamedTuple):
    """A run that was followed."""

    history: History
    pictures: dict[int, Tensor]
    """Step to the images of the same z, uint8 (n, 3, 32, 32)."""
    signs: dict[str, float]
    last: SimpleNamespace
    """Everything that had a name in the loop, after the last step."""


def follow(
    loop: Loop,
    data: ImageDataset,
    seed: int = 0,
    steps: int = 150,
    at: Sequence[int] = (),
    count: int = 8,
    look: Callable[[SimpleNamespace], Any] | None = None,
) -> Run:
    """Run a loop for so many steps and take its signs; it ends early where a loss is not finite.

    Args:
        at: after how many steps to keep images, besides the last.
        count: how many images to keep each time.
        look: called after every step.
    """
    history, pictures, z = History(), {}, []
    with torch.random.fork_rng(devices=[]):
        for seen in loop(data, seed):
            done = seen.step + 1
            probabilities = (x.sigmoid().mean() for x in (seen.real_logits, seen.fake_logits, seen.new_logits))
            row = torch.stack([seen.d_loss, seen.g_loss, *probabilities]).detach()
            history.append(row)
            z.append(seen.z)
            fixed = torch.cat(z[:64])[:64]
            if look:
                look(seen)
            if done == 1 or done == steps - 50:
                earlier = fixed, sample(seen.generator, fixed)
            if done in at or done == steps or not row.isfinite().all():
                pictures[done] = denormalize(sample(seen.generator, fixed[:count]))
            if done == steps or not row.isfinite().all():
                break
        z = torch.cat(z)[-32 * BATCHES :]
        signs = _signs(seen, z) | {
            "d_loss": history["d_loss"][-50:].mean().item(),
            "lowest": history["d_gz_before"][len(history) // 2 :].min().item(),
        }
        apart = (sample(seen.generator, earlier[0]) - earlier[1]).square().mean().sqrt().item()
        signs["change"] = apart / _diversity(normalize(seen.data.images[:512]))
    return Run(history, pictures, signs, seen)


def _signs(seen: SimpleNamespace, z: Tensor) -> dict[str, float]:
    generator = getattr(seen, "average", seen.generator)
    fakes, real = sample(generator, z), seen.data.images[:512]
    unseen = faces.paint(1, torch.arange(32 * BATCHES), 32)
    discriminator = copy.deepcopy(seen.discriminator).train()
    preference, memory, signal = [], [], []
    for i, part in enumerate(sample(generator, z, train_mode=True, chunk=32).split(32)):
        logits = discriminator(part.requires_grad_())
        (gradient,) = torch.autograd.grad(len(part) * bce(logits, 1.0), part)
        signal.append(gradient.flatten(1).norm(dim=1).mean())
        with torch.no_grad():
            known = discriminator(seen.data.batch(32, seen.seed + 1, i))
            other = discriminator(normalize(unseen[32 * i : 32 * i + 32]))
        preference.append(_preferred(known, logits))
        memory.append(_preferred(known, other))
    among = seen.data.images[:5000]
    distances = [nearest_neighbours(images[:128], among)[0].median() for images in (denormalize(fakes), unseen)]
    return {
        "preference": torch.stack(preference).mean().item(),
        "memory": torch.stack(memory).mean().item(),
        "signal": torch.stack(signal).mean().item(),
        "g_gradient": _length(seen.generator),
        "d_gradient": _length(seen.discriminator),
        "diversity": _diversity(fakes) / _diversity(normalize(real)),
        "speckle": speckle(normalize(real), fakes),
        "copies": (distances[0] / distances[1]).item(),
        "darkest": fakes.flatten()[::7].quantile(0.01).item(),
    }


def _preferred(a: Tensor, b: Tensor) -> Tensor:
    """In how many of all pairs the first logit is the higher one; a draw counts as a half."""
    difference = a.detach()[:, None] - b.detach()[None, :]
    return (difference > 0).double().mean() + 0.5 * (difference == 0).double().mean()


def _length(network: torch.nn.Module) -> float:
    """Of the gradients that lie in the network's weights."""
    gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    return torch.cat(gradients).norm().item() if gradients else 0.0


def _diversity(images: Tensor) -> float:
    return images.std(0).mean().item()
