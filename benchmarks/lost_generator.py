"""How the well-known training script loses its generator on MNIST, with BCELoss and with logits.

The script's network, its order of random draws and its defaults (64x64 pictures, batches of 64, Adam with lr 2e-4 and
beta1 0.5), written flat. It reads MNIST below DCGAN_DATA and writes one row a step to lost_generator.csv beside
this file:

    python benchmarks/lost_generator.py --seed 1 --steps 100

Takes about ten minutes on one 2.5 GHz core. Discussed in notebooks/06_loss.ipynb.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.optim import Adam
from torch.utils.data import DataLoader

from dcgan_lib.data import load_images, normalize
from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.utils.console import progress

COLUMNS = ("loss", "step", "d_loss", "g_loss", "fake_logit", "g_gradient")
BATCH = 64


def run(logits: bool, seed: int, steps: int) -> Iterator[tuple[float, float, float, float]]:
    """Each step's d_loss, g_loss, mean logit of the fakes in the generator's turn, and norm of its gradient."""
    dataset = load_images("mnist", 64)
    torch.manual_seed(seed)
    generator, discriminator = Generator(channels=1), Discriminator(channels=1)
    torch.randn(64, 100)  # the script draws its fixed z here; without it, later draws would differ
    generator.to(memory_format=torch.channels_last)
    discriminator.to(memory_format=torch.channels_last)
    loss = nn.BCEWithLogitsLoss() if logits else nn.BCELoss()
    head = nn.Identity() if logits else nn.Sigmoid()
    g_optimizer, d_optimizer = (Adam(n.parameters(), 2e-4, (0.5, 0.999)) for n in (generator, discriminator))
    real_label, fake_label = torch.ones(BATCH), torch.zeros(BATCH)
    batches = iter(DataLoader(range(len(dataset)), BATCH, shuffle=True, drop_last=True))
    for _ in range(steps):
        real = normalize(dataset.images[next(batches)])
        d_optimizer.zero_grad()
        d_real_loss = loss(head(discriminator(real)), real_label)
        d_real_loss.backward()
        fake = generator(torch.randn(BATCH, 100))
        d_fake_loss = loss(head(discriminator(fake.detach())), fake_label)
        d_fake_loss.backward()
        d_optimizer.step()

        g_optimizer.zero_grad()
        fake_logits = discriminator(fake)
        g_loss = loss(head(fake_logits), real_label)
        g_loss.backward()
        g_optimizer.step()
        gradient = nn.utils.get_total_norm([p.grad for p in generator.parameters()])
        d_loss = d_real_loss + d_fake_loss
        yield d_loss.item(), g_loss.item(), fake_logits.mean().item(), gradient.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    rows = []
    for name, logits in (("BCELoss", False), ("logits", True)):
        values = run(logits, options.seed, options.steps)
        for step, row in enumerate(progress(values, total=options.steps, desc=name), start=1):
            rows.append((name, step, *(f"{value:.4g}" for value in row)))
    with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(rows)


if __name__ == "__main__":
    main()
