"""The bare loop of notebook 07 as one function of literal numbers, and how to change lines of it.

Used in notebooks 09 and 10, and by benchmarks/clinic.py and benchmarks/paper.py.
"""

import difflib
import html
import inspect
import itertools
import linecache
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from IPython.display import display
from torch import Tensor
from torch.optim import Adam

from dcgan_lib.data import ImageDataset
from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.utils.errors import require

Change = tuple[str, str]
"""Old text and new text."""
Loop = Callable[[ImageDataset, int], Iterator[SimpleNamespace]]
MARKS = {"-": "rgba(214, 69, 69, 0.25)", "+": "rgba(46, 139, 87, 0.25)"}
_numbers = itertools.count(1)


def bce(logits: Tensor, label: float) -> Tensor:
    """Binary cross entropy of logits of any shape, all with the same label, averaged."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def play(data: ImageDataset, seed: int) -> Iterator[SimpleNamespace]:
    """Train without end on 32x32 images in colour; after each step you get everything that has a name in here."""
    torch.manual_seed(seed)
    generator, discriminator = Generator(100, 24, 3, 32), Discriminator(16, 3, 32)
    g_optimizer = Adam(generator.parameters(), lr=0.002, betas=(0.3, 0.999))
    d_optimizer = Adam(discriminator.parameters(), lr=0.001, betas=(0.3, 0.999))
    dice = torch.Generator().manual_seed(seed)

    for step in itertools.count():
        real = data.batch(32, seed, step)
        z = torch.randn(32, 100, generator=dice)

        d_optimizer.zero_grad()
        fake = generator(z)
        real_logits = discriminator(real)
        fake_logits = discriminator(fake.detach())
        d_loss = bce(real_logits, 1.0) + bce(fake_logits, 0.0)
        d_loss.backward()
        d_optimizer.step()

        g_optimizer.zero_grad()
        new_logits = discriminator(fake)
        g_loss = bce(new_logits, 1.0)
        g_loss.backward()
        g_optimizer.step()
        yield SimpleNamespace(**locals())


def changed(loop: Loop, *changes: Change, **names: Any) -> Loop:
    """The same function with some of its text changed.

    Args:
        loop: a function whose source code Python can find; the result is such a one, too.
        changes: old and new text; the old one has to occur exactly once.
        names: what the new text needs beside the names that the old one knows.

    Raises:
        InputError: an old text does not occur, or more than once.
    """
    source = inspect.getsource(loop)
    for old, new in changes:
        count = source.count(old)
        require(count == 1, f"{old!r} occurs {count} times in {loop.__name__}, not once: give more of its line.")
        source = source.replace(old, new)
    file = f"<{loop.__name__}, changed {next(_numbers)}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file  # for inspect and for tracebacks
    namespace = loop.__globals__ | names
    exec(compile(source, file, "exec"), namespace)  # noqa: S102, the text is the reader's own
    return namespace[loop.__name__]


def show_change(before: Loop, after: Loop) -> None:
    """Show which lines differ, each with its neighbours."""
    sources = (inspect.getsource(loop).splitlines() for loop in (before, after))
    lines = list(difflib.unified_diff(*sources, n=1, lineterm=""))[2:]
    shown = ["  ..." if line.startswith("@@") else line for line in lines]
    rows = [
        f"<span style='background: {MARKS.get(line[0], 'none')}'>{html.escape(line) or ' '}</span>" for line in shown
    ]
    style = "line-height: 1.35; margin: 0; padding: 4px 10px; border-left: 5px solid #999"
    body = f"<pre style='{style}'>{chr(10).join(rows)}</pre>"
    display({"text/plain": "\n".join(shown), "text/html": body}, raw=True)
