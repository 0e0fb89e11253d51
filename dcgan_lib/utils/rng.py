"""Random numbers that have an owner: every draw is a function of (seed, who draws, step)."""

import hashlib

import torch


def rng(seed: int, owner: str, step: int = 0) -> torch.Generator:
    """A fresh random number generator on the CPU for one draw.

    No state travels from step to step, so a run that is stopped and resumed draws the same numbers
    as one that never stopped, and a new draw added for one owner changes none of the others.

    Args:
        seed: the run's seed.
        owner: who draws, a word such as "z" or "order".
        step: which draw of that owner, 0 or more.
    """
    digest = hashlib.blake2b(f"{seed}/{owner}/{step}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
