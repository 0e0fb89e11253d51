"""The paper's tables and figures, and what came after: the numbers that notebooks/10_paper.ipynb shows.

    make paper
    python -m benchmarks.paper --only ladder guidelines --seeds 3

Writes paper.json beside this file after every run, and assets/paper_d.safetensors; a run that is there already is not
made again. MNIST and CIFAR-10 are looked for below DCGAN_DATA, in torchvision's layout; `--cifar FOLDER` takes a folder
with train/CLASS/*.jpg and test/CLASS/*.jpg instead, `--few svhn` makes table 2 on SVHN. Takes an hour and a half on one
core.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad
from torch.optim import Adam
from torchvision import datasets

from benchmarks.tables import machine
from dcgan_lib.checkpoint import load_generator
from dcgan_lib.clinic.ladder import GUIDELINES, LADDER, break_guideline, ladder
from dcgan_lib.clinic.loop import Loop, changed, play
from dcgan_lib.data import ImageDataset, denormalize, load_images, normalize
from dcgan_lib.metrics import (
    class_fractions,
    classify,
    conv_features,
    fid,
    load_classifier,
    mode_coverage,
    nearest_neighbours,
    svm_accuracy,
)
from dcgan_lib.networks import Discriminator
from dcgan_lib.sampling import sample, sample_latents
from dcgan_lib.speed.timing import compare
from dcgan_lib.training import update_average
from dcgan_lib.utils.environment import data_root
from dcgan_lib.utils.errors import InputError
from dcgan_lib.utils.rng import rng

FILE = Path(__file__).with_suffix(".json")
D_FILE = Path(__file__).parent.parent / "assets" / "paper_d.safetensors"
STEPS, GUIDELINE_STEPS, SAMPLES = 600, 300, 2_000
CS = (1e-5, 1e-4, 1e-3, 1e-2)
NETWORKS = "Generator(100, 24, 3, 32), Discriminator(16, 3, 32)"
Labelled = tuple[Tensor, Tensor]
"""Images uint8 (N, C, 32, 32) and labels int64 (N,)."""


def after(loop: Loop, data: ImageDataset, seed: int, steps: int) -> SimpleNamespace:
    """What the loop knows after so many steps."""
    return next(islice(loop(data, seed), steps - 1, None))


# What came after, and the five guidelines


@cache
def _faces() -> tuple[ImageDataset, nn.Module, Tensor, list[Tensor]]:
    data = load_images("faces", 32)
    classifier = load_classifier(data)
    features, probabilities = classify(classifier, data.images)
    return data, classifier, features, [class_fractions(p.argmax(1), p.shape[1]) for p in probabilities.values()]


def judge(generator: nn.Module, seed: int) -> dict[str, Any]:
    """FID of 2,000 fakes against the 10,000 faces by the faces' classifier, and how many of the 48 values occur."""
    _, classifier, features, shares = _faces()
    fakes = sample(generator, sample_latents(SAMPLES, 100, seed, "paper"))
    if not fakes.isfinite().all():
        return {"fid": None, "covered": 0}
    seen, probabilities = classify(classifier, denormalize(fakes))
    pairs = zip(shares, probabilities.values(), strict=True)
    covered = sum(mode_coverage(real, class_fractions(p.argmax(1), len(real)))[0] for real, p in pairs)
    return {"fid": round(fid(features, seen), 2), "covered": covered}


def rung(name: str, seed: int, steps: int = STEPS) -> dict[str, Any]:
    last = after(ladder()[name], _faces()[0], seed, steps)
    found = {"averaged": judge(last.average, seed)} if hasattr(last, "average") else {}
    return {"raw": judge(last.generator, seed)} | found


def guideline(name: str, seed: int, steps: int = GUIDELINE_STEPS) -> dict[str, Any]:
    last = after(break_guideline(name), _faces()[0], seed, steps)
    variety = torch.pdist(sample(last.generator, last.z).flatten(1)).mean().item()
    return judge(last.generator, seed) | {"variety": round(variety, 2)}


def milliseconds() -> dict[str, float]:
    """A step of every rung, measured in turns."""
    loops = {name: loop(_faces()[0], 0) for name, loop in ladder().items()}
    times = compare([lambda it=it: next(it) for it in loops.values()], seconds=0.5, rounds=5)
    return {name: round(1000 * each, 1) for name, each in zip(loops, times, strict=True)}


# Tables 1 and 2


def labelled(name: str, part: str) -> Labelled:
    """The images of a set, 32x32, and their classes; `part` is train or test.

    Raises:
        InputError: they are not there.
    """
    if name not in ("mnist", "cifar10", "svhn"):
        data = load_images(f"folder:{name}/{part}", 32)
        return data.images, data.labels["class"]
    kind = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10, "svhn": datasets.SVHN}[name]
    try:
        data = kind(data_root(), **({"split": part} if name == "svhn" else {"train": part == "train"}))
    except RuntimeError as error:
        hint = ", or give a folder of its pictures by --cifar" if name == "cifar10" else ""
        advice = f"fetch it with torchvision (torchvision.datasets.{kind.__name__}, download=True){hint}."
        raise InputError(f"{name} is not below {data_root()}: {advice}") from error
    if name == "mnist":
        return pad(data.data[:, None], (2, 2, 2, 2)), data.targets
    images = torch.from_numpy(data.data)
    return (
        (images, torch.tensor(data.labels))
        if name == "svhn"
        else (images.permute(0, 3, 1, 2), torch.tensor(data.targets))
    )


def accuracy(x: Tensor, labels: Tensor, unseen: Tensor, truth: Tensor) -> tuple[float, float]:
    """The test accuracy of an L2-SVM in percent, and its C: the best on a held-out fifth of the training images.

    Features (N, F) are brought to mean 0 and standard deviation 1 over the training images. Both fits take as many
    steps, since a large C that is stopped early does better than where it ends.
    """
    keep = len(x) * 4 // 5
    tries = {c: svm_accuracy(x[:keep], labels[:keep], x[keep:], labels[keep:], c) for c in CS}
    c = max(tries, key=tries.get)
    return round(100 * svm_accuracy(x, labels, unseen, truth, c), 2), c


def draw(data: Labelled, per_class: int, seed: int) -> Labelled:
    """So many images of each class, mixed."""
    order = torch.randperm(len(data[1]), generator=rng(seed, "labels"))
    chosen = torch.cat([order[data[1][order] == k][:per_class] for k in range(int(data[1].max()) + 1)])
    chosen = chosen[torch.randperm(len(chosen), generator=rng(seed, "mixed"))]
    return data[0][chosen], data[1][chosen]


def supervised(train: Labelled, d: Discriminator, steps: int, seed: int, outputs: int = 10) -> Discriminator:
    """D's own layers, with as many outputs as classes, trained on the labels: Adam, 0.001, batches of 64."""
    torch.manual_seed(seed)
    last = d.layers[-1]
    d.layers[-1] = nn.Conv2d(last.in_channels, outputs, 4, bias=False)
    optimizer, data = Adam(d.parameters(), lr=0.001), ImageDataset("labelled", train[0], {"class": train[1]})
    for step in range(steps):
        numbers = data._numbers(64, seed, step, "order")
        loss = cross_entropy(d(data.batch(64, seed, step)), train[1][numbers])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return d.eval()


@torch.no_grad()
def own_accuracy(d: nn.Module, test: Labelled) -> float:
    answers = torch.cat([d(normalize(part)).argmax(1) for part in test[0].split(500)])
    return round(100 * (answers == test[1]).double().mean().item(), 2)


@torch.no_grad()
def untrained(width: int, images: Tensor) -> Discriminator:
    """A discriminator of random weights, whose batch norm knows the means and variances of 2,000 images."""
    torch.manual_seed(0)
    d = Discriminator(width, images.shape[1], 32)
    d.apply(lambda layer: setattr(layer, "momentum", 1.0))  # the running averages are those of the last batch
    d(normalize(images[:2000]))
    return d.eval()


def sizes(channels: int, g_width: int, d_width: int, batch: int) -> tuple[tuple[str, str], ...]:
    """Changes of `play` for other widths and batches."""
    return (
        (NETWORKS, f"Generator(100, {g_width}, {channels}, 32), Discriminator({d_width}, {channels}, 32)"),
        ("data.batch(32", f"data.batch({batch}"),
        ("torch.randn(32", f"torch.randn({batch}"),
    )


def pixels(images: Tensor) -> Tensor:
    return images.flatten(1).float() / 127.5 - 1


CIFAR_AT, CIFAR_WIDTH, CIFAR_LABELS = (0, 150, 400, 1200), 32, {4: 5, 40: 5, 400: 5, 1000: 1}


def cifar(folder: str) -> dict[str, Any]:
    """Table 1: D learns from all training images without labels, the SVM from 10,000 of them and their classes."""
    train, test = labelled(folder, "train"), labelled(folder, "test")
    (images, labels), found = draw(train, 1000, 0), {"curve": {}, "few": {}}
    loop = changed(play, *sizes(3, 32, CIFAR_WIDTH, 64))(ImageDataset("cifar", train[0]), 0)
    looks = {"pixels": pixels, "D before training": _looker(untrained(CIFAR_WIDTH, train[0]))}
    for before, at in pairwise(CIFAR_AT):
        d = next(islice(loop, at - before - 1, None)).discriminator
        found["curve"][at] = accuracy(conv_features(d, images), labels, conv_features(d, test[0]), test[1])
    torch.manual_seed(0)
    teacher = supervised(train, Discriminator(CIFAR_WIDTH, 3, 32), CIFAR_AT[-1], 0)
    looks |= {"D": _looker(d), "supervised": _looker(teacher)}
    for name, look in looks.items():
        known, found["few"][name] = look(test[0]), {}
        for count, draws in CIFAR_LABELS.items():
            some = [draw(train, count, seed) for seed in range(draws)]
            found["few"][name][count] = [accuracy(look(x), y, known, test[1])[0] for x, y in some]
    return found


def _looker(d: Discriminator) -> Callable[[Tensor], Tensor]:
    return lambda images: conv_features(d, images)


def few_labels(name: str) -> dict[str, Any]:
    """Table 2: 1,000 labels, five draws; the SVM on D's features against the same network trained on these alone."""
    train, test = labelled(name, "train"), labelled(name, "test")
    channels, some = train[0].shape[1], [draw(train, 100, seed) for seed in range(5)]
    last = after(changed(play, *sizes(channels, 24, 16, 32)), ImageDataset(name, train[0]), 0, 600)
    looks = {"D": _looker(last.discriminator), "D before training": _looker(untrained(16, train[0])), "pixels": pixels}
    found: dict[str, list[float]] = {}
    for key, look in looks.items():
        known = look(test[0])
        found[f"{key}, SVM"] = [accuracy(look(x), y, known, test[1])[0] for x, y in some]
    networks = [supervised(few, Discriminator(16, channels, 32), 600, seed) for seed, few in enumerate(some)]
    return found | {"labels alone": [own_accuracy(network, test) for network in networks]}


# Table 3

PER_CLASS, DIGIT_STEPS = (10, 100, 1000, 4000), 300


def digits() -> dict[str, Any]:
    """Table 3: a small generator for each digit, whose samples are all that a nearest neighbour classifier knows."""
    (images, labels), (unseen, truth) = labelled("mnist", "train"), labelled("mnist", "test")
    unseen, truth = unseen[::2], truth[::2]
    names = {"copy": copy, "update_average": update_average}
    loop = changed(play, *sizes(1, 24, 16, 32), *LADDER["+ averaging"], **names)
    real, fake = [], []
    for k in range(10):
        mine = images[labels == k]
        last = after(loop, ImageDataset(f"digit {k}", mine), k, DIGIT_STEPS)
        fake.append(denormalize(sample(last.average, sample_latents(max(PER_CLASS), 100, k, "digits"))))
        real.append(mine[: max(PER_CLASS)])
        print("digit", k, file=sys.stderr, flush=True)
    found: dict[str, Any] = {"n_test": len(truth), "real": {}, "fake": {}, "steps": DIGIT_STEPS}
    for name, sets in (("real", real), ("fake", fake)):
        for count in PER_CLASS:
            among = torch.cat([each[:count] for each in sets])[:, :, 2:-2, 2:-2]
            _, numbers = nearest_neighbours(unseen[:, :, 2:-2, 2:-2], among)
            names = torch.cat([torch.full((len(each[:count]),), k) for k, each in enumerate(sets)])
            found[name][count] = round(100 * (names[numbers] != truth).double().mean().item(), 2)
            print(name, count, found[name][count], file=sys.stderr, flush=True)
    return found


# Figures


def face_d() -> dict[str, Any]:
    """Figure 5's discriminator, in half precision."""
    last = after(changed(play, *sizes(3, 24, 24, 32)), _faces()[0], 0, 600)
    save_file(
        {name: t.half() if t.is_floating_point() else t for name, t in last.discriminator.state_dict().items()}, D_FILE
    )
    return judge(last.generator, 0) | {"bytes": D_FILE.stat().st_size}


def arithmetic(sums: int = 1000) -> dict[str, float]:
    """Figure 7 on faces64: how many of 1,000 sums a - b + c wear glasses on dark skin, as notebook 08 has it."""
    generator, _ = load_generator("faces64")
    data, classifier, *_ = _faces()
    many = sample_latents(4_000, 100, 2)

    def look(z: Tensor) -> dict[str, Tensor]:
        return classify(classifier, denormalize(sample(generator, z)))[1]

    named = look(many)
    kinds = []
    for glasses, skin in (("square", "ivory"), ("none", "ivory"), ("none", "umber")):
        columns = [named[k][:, data.values[k].index(v)] for k, v in (("glasses", glasses), ("skin", skin))]
        kinds.append(many[torch.stack(columns).prod(0).topk(40).indices])

    def draw_means(n: int) -> list[Tensor]:
        order = torch.rand(3, sums, 40, generator=rng(0, "arithmetic", n)).argsort(2)
        return [kind[chosen[:, :n]].mean(1) for kind, chosen in zip(kinds, order, strict=True)]

    vectors = {"any z": sample_latents(sums, 100, 3)}
    vectors |= {f"a - b + c, {n} of each": a - b + c for n in (1, 3, 10) for a, b, c in [draw_means(n)]}
    a, b, c = draw_means(3)
    vectors |= {"b - a + c, 3 of each": b - a + c, "a - c + b, 3 of each": a - c + b}
    found = {}
    for name, z in vectors.items():
        seen = look(z)
        found[name] = ((seen["glasses"].argmax(1) > 0) & (seen["skin"].argmax(1) >= 3)).double().mean().item()
    return found


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Part, name and function of every run; what the notebook needs most comes first."""
    yield "figures", "figure 5, D", face_d
    yield "figures", "figure 7, faces64", arithmetic
    yield "table 3", "table 3, mnist", digits
    yield "table 2", f"table 2, {options.few}", lambda: few_labels(options.few)
    yield "table 1", "table 1, cifar10", lambda: cifar(options.cifar)
    yield "ladder", "ladder, milliseconds", milliseconds
    rungs = list(ladder())[1:]  # the first rung is the second's run, seen before averaging
    for seeds in (range(min(3, options.seeds)), range(3, options.seeds)):
        for seed in seeds:
            for name in rungs:
                yield "ladder", f"ladder, {name}, {seed}", lambda name=name, seed=seed: rung(name, seed)
        for seed in seeds[:3] if seeds.start == 0 else ():
            for name in GUIDELINES:
                yield "guidelines", f"guidelines, {name}, {seed}", lambda name=name, seed=seed: guideline(name, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="PART", help="figures, ladder, guidelines, 'table 1', 2 or 3")
    parser.add_argument("--seeds", type=int, default=5, help="of the ladder; the guidelines take three at most")
    parser.add_argument("--cifar", default="cifar10", metavar="FOLDER", help="CIFAR-10 as JPEG files")
    parser.add_argument("--few", default="mnist", choices=("mnist", "svhn"), help="table 2's data")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = json.loads(FILE.read_text()) if FILE.exists() else {"machine": machine(torch.device("cpu")), "runs": {}}
    for part, name, make in jobs(options):
        if name in record["runs"] or (options.only and part not in options.only):
            continue
        start = time.process_time()
        try:
            found = make()
        except InputError as error:  # a data set is missing: the others go on
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            continue
        record["runs"][name] = found | {"seconds": round(time.process_time() - start, 1)}
        FILE.write_text(json.dumps(record, indent=1) + "\n")
        print(name, record["runs"][name], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
