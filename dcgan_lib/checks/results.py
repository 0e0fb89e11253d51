"""FID, the arc between two z, and nearest neighbours: notebook 08."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_lib.checks.compare import Faults, behaves_like, brief, close, draws, judge_number, tensor
from dcgan_lib.checks.report import Exercise, Fault, call
from dcgan_lib.metrics.scores import fid
from dcgan_lib.sampling import slerp


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """The trace of (C1 C2)^(1/2)."""
    return torch.linalg.eigvalsh(_root(a) @ b @ _root(a)).clamp(min=0).sqrt().sum()


def _moments(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The difference of the means, and both covariances."""
    real, fake = real.double(), fake.double()
    return real.mean(0) - fake.mean(0), real.T.cov(), fake.T.cov()


def _fid_with(parts: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda real, fake: parts(*_moments(real, fake))


def _spread(a: Tensor, b: Tensor) -> Tensor:
    return a.trace() + b.trace() - 2 * _cross(a, b)


def _correlation(c: Tensor) -> Tensor:
    return c / torch.outer(c.diag().sqrt(), c.diag().sqrt())


FID_FAULTS: Faults = {
    "the means alone, without the covariances": _fid_with(lambda d, a, b: d.square().sum()),
    "the covariances alone, without the means": _fid_with(lambda d, a, b: _spread(a, b)),
    "a distance of the means that is not squared": _fid_with(lambda d, a, b: d.norm() + _spread(a, b)),
    "absolute differences of the means, where they are squared": _fid_with(
        lambda d, a, b: d.abs().sum() + _spread(a, b)
    ),
    "a mean over the features, where the squares add up": _fid_with(lambda d, a, b: d.square().mean() + _spread(a, b)),
    "a product of covariances without its root": _fid_with(
        lambda d, a, b: d.square().sum() + (a + b - 2 * a @ b).trace()
    ),
    "the root of each number, where the matrix has a root": (
        _fid_with(lambda d, a, b: d.square().sum() + (a + b - 2 * (a @ b).clamp(min=0).sqrt()).trace()),
        _fid_with(lambda d, a, b: d.square().sum() + (a + b - 2 * (a @ b).abs().sqrt()).trace()),
    ),
    "products number by number, where matrices are multiplied": _fid_with(
        lambda d, a, b: (
            d.square().sum() + a.trace() + b.trace() - 2 * torch.linalg.eigvals(a * b).real.clamp(min=0).sqrt().sum()
        )
    ),
    "variances alone (a product number by number has no others): how features vary together is lost": _fid_with(
        lambda d, a, b: d.square().sum() + (a.diag().sqrt() - b.diag().sqrt()).square().sum()
    ),
    "the product of two roots, where the product has a root": _fid_with(
        lambda d, a, b: d.square().sum() + (a + b - 2 * _root(a) @ _root(b)).trace()
    ),
    "a cross term without its factor of 2": _fid_with(
        lambda d, a, b: d.square().sum() + a.trace() + b.trace() - _cross(a, b)
    ),
    "a cross term that is added": _fid_with(
        lambda d, a, b: d.square().sum() + a.trace() + b.trace() + 2 * _cross(a, b)
    ),
    "no cross term": _fid_with(lambda d, a, b: d.square().sum() + a.trace() + b.trace()),
    "a root of the whole: FID is the squared distance": _fid_with(
        lambda d, a, b: (d.square().sum() + _spread(a, b)).sqrt()
    ),
    "the distance of the covariances, number by number": _fid_with(
        lambda d, a, b: d.square().sum() + (a - b).square().sum()
    ),
    "the length of the covariances' difference": _fid_with(lambda d, a, b: d.square().sum() + (a - b).norm()),
    "the sum of all numbers, where a trace adds the diagonal": _fid_with(
        lambda d, a, b: d.square().sum() + (a + b).sum() - 2 * torch.from_numpy(_sqrtm((a @ b).numpy())).sum()
    ),
    "covariances that are never divided by the number of images": lambda r, f: (
        (r.double().mean(0) - f.double().mean(0)).square().sum()
        + _spread(r.double().T.cov() * (len(r) - 1), f.double().T.cov() * (len(f) - 1))
    ),
    "correlations in place of covariances": _fid_with(
        lambda d, a, b: d.square().sum() + _spread(_correlation(a), _correlation(b))
    ),
    "covariances about 0: the mean was not taken off": lambda r, f: (
        (r.double().mean(0) - f.double().mean(0)).square().sum()
        + _spread(r.double().T @ r.double() / len(r), f.double().T @ f.double() / len(f))
    ),
    "covariances of the images, where those of the features are needed: transpose first": lambda r, f: (
        (r.double().mean(0) - f.double().mean(0)).square().sum() + _spread(r.double().cov(), f.double().cov())
    ),
    "means over each image, where they are over all images": lambda r, f: (
        (r.double().mean(1) - f.double().mean(1)).square().sum() + _spread(r.double().T.cov(), f.double().T.cov())
    ),
    "the real covariance twice": _fid_with(lambda d, a, b: d.square().sum() + (a + b - 2 * a).trace()),
    "an average over the features": lambda r, f: fid(r, f) / r.shape[1],
}


def _sqrtm(matrix: np.ndarray) -> np.ndarray:
    """The root of a matrix with positive eigenvalues."""
    values, vectors = np.linalg.eig(matrix)
    return (vectors @ np.diag(np.sqrt(values.astype(complex))) @ np.linalg.inv(vectors)).real


def judge_fid(answer: Any) -> None:
    mix = draws(5, 5, seed=1)
    real, fake = draws(400, 5) @ mix + 1, draws(400, 5, seed=2) @ draws(5, 5, seed=3) + draws(5, seed=4)
    copies = {"the same features twice: exact copies score 0": (real, real.clone())}
    cases = {"features of 400 real and 400 fake images": (real, fake)} | copies
    judge_number(answer, fid, FID_FAULTS, cases, tolerance=4e-3)  # covariances over N or N - 1 are both right


def _arc(a: Tensor, b: Tensor) -> Tensor:
    return torch.acos((a / a.norm() * (b / b.norm())).sum().clamp(-1, 1))


def _on_arc(a: Tensor, b: Tensor, t: float, angle: Tensor) -> Tensor:
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


SLERP_FAULTS: Faults = {
    "a straight line (lerp): in its middle the vectors are too short": lambda a, b, t: torch.lerp(a, b, t),
    "a way from b to a: t = 0 must give a": lambda a, b, t: slerp(b, a, t),
    "the angle of vectors that were not normalised": (
        lambda a, b, t: _on_arc(a, b, t, torch.acos((a @ b).clamp(-1, 1))),
        lambda a, b, t: _on_arc(a, b, t, torch.acos(a @ b)),
    ),
    "the cosine in place of the angle: `acos` is missing": lambda a, b, t: _on_arc(a, b, t, torch.cos(_arc(a, b))),
    "a result scaled to length 1": lambda a, b, t: slerp(a, b, t) / slerp(a, b, t).norm(),
    "ends scaled to length 1 before the walk": lambda a, b, t: slerp(a / a.norm(), b / b.norm(), t),
    "a division by sin(w) that is missing": lambda a, b, t: slerp(a, b, t) * torch.sin(_arc(a, b)),
    "an angle in degrees": lambda a, b, t: _on_arc(a, b, t, torch.rad2deg(_arc(a, b))),
    "a straight line scaled to length 1": lambda a, b, t: torch.lerp(a, b, t) / torch.lerp(a, b, t).norm(),
    "a straight line of unit vectors": lambda a, b, t: torch.lerp(a / a.norm(), b / b.norm(), t),
    "a straight line scaled to the length of a": lambda a, b, t: (
        torch.lerp(a, b, t) / torch.lerp(a, b, t).norm() * a.norm()
    ),
    "cosines in place of sines": lambda a, b, t: (
        (torch.cos((1 - t) * _arc(a, b)) * a + torch.cos(t * _arc(a, b)) * b) / torch.cos(_arc(a, b))
    ),
    "a minus between the two terms": lambda a, b, t: _on_arc(a, -b, t, _arc(a, b)),
    "cos and sin of a quarter turn, whatever the angle": lambda a, b, t: (
        math.cos(t * math.pi / 2) * a + math.sin(t * math.pi / 2) * b
    ),
    "a division by the angle, where it is by its sine": lambda a, b, t: (
        slerp(a, b, t) * torch.sin(_arc(a, b)) / _arc(a, b)
    ),
    "the shorter way, as for rotations: b was turned round": lambda a, b, t: slerp(a, -b, t),
    "half of the angle": lambda a, b, t: _on_arc(a, b, t, _arc(a, b) / 2),
    "(1 - t) w without its sine": lambda a, b, t: (
        ((1 - t) * _arc(a, b) * a + t * _arc(a, b) * b) / torch.sin(_arc(a, b))
    ),
    "a division of the second term alone": lambda a, b, t: (
        torch.sin((1 - t) * _arc(a, b)) * a + torch.sin(t * _arc(a, b)) * b / torch.sin(_arc(a, b))
    ),
    "an angle by the sine's inverse": lambda a, b, t: _on_arc(a, b, t, torch.asin(torch.cos(_arc(a, b)))),
}


def judge_slerp(answer: Any) -> None:
    a, unit = draws(100), 2 * torch.eye(100)[0]
    b = a + 1.5 * draws(100, seed=1)
    same = "a vector twice: the angle is 0"
    cases = {f"two z of 100 numbers, t = {t}": (a, b, t) for t in (0.3, 0.0, 1.0)}
    cases |= {"z in nearly opposite directions": (a, -b, 0.4), same: (unit, unit.clone(), 0.5)}
    for probe, (start, end, t) in cases.items():
        given = start.clone(), end.clone()
        result = tensor(probe, call(probe, answer, *given, t), "a vector").float()
        expected = slerp(start, end, t)
        if not close(result, expected, 1e-3):
            name = "0 divided by 0 where both ends are the same"
            if probe != same or result.isfinite().all():
                name = behaves_like(SLERP_FAULTS, result, (start, end, t), 1e-3)
            raise Fault(probe, brief(expected), brief(result), name)
        if not (torch.equal(given[0], start) and torch.equal(given[1], end)):
            name = "working in place on the reader's own vectors"
            raise Fault(probe, "ends that stay as they were", "changed ones", name)


def _distances(images: Tensor, among: Tensor) -> Tensor:
    return (images.flatten(1)[:, None] - among.flatten(1)[None]).square().sum(2)


def _differences(images: Tensor, among: Tensor) -> Tensor:
    return images.flatten(1)[:, None] - among.flatten(1)[None]


def _cosine(images: Tensor, among: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(images.flatten(1)[:, None], among.flatten(1)[None], dim=2)


NEAREST_FAULTS: Faults = {
    "the farthest image, where the nearest is wanted": lambda a, b: _distances(a, b).argmax(1),
    "absolute differences, where distance squares them": lambda a, b: _differences(a, b).abs().sum(2).argmin(1),
    "differences that are neither squared nor made positive: they cancel": lambda a, b: (
        _differences(a, b).sum(2).argmin(1)
    ),
    "a comparison of mean brightness": lambda a, b: _differences(a, b).mean(2).abs().argmin(1),
    "the largest difference of one pixel": lambda a, b: _differences(a, b).abs().amax(2).argmin(1),
    "angles between images, where distances are wanted": lambda a, b: _cosine(a, b).argmax(1),
    "the largest product of pixels, where the smallest distance is wanted": lambda a, b: (
        a.flatten(1) @ b.flatten(1).T
    ).argmax(1),
    "the first channel alone": lambda a, b: _distances(a[:, 0], b[:, 0]).argmin(1),
    "the nearest among the images themselves": lambda a, b: (_distances(a, a) + torch.eye(len(a)) * 1e9).argmin(1),
    "the second nearest: the nearest was taken for the image itself": lambda a, b: _distances(a, b).argsort(1)[:, 1],
    "the neighbour of the first image, for all": lambda a, b: _distances(a, b).argmin(1)[:1].expand(len(a)),
    "a cosine that is minimised": lambda a, b: _cosine(a, b).argmin(1),
    "the channels' means, where all pixels count": lambda a, b: _distances(a.mean((2, 3)), b.mean((2, 3))).argmin(1),
    "grey pictures: the colours were averaged first": lambda a, b: _distances(a.mean(1), b.mean(1)).argmin(1),
    "pictures whose own mean was taken off": lambda a, b: _distances(
        a - a.mean((1, 2, 3), keepdim=True), b - b.mean((1, 2, 3), keepdim=True)
    ).argmin(1),
    "a plus at the cross term of the square": lambda a, b: _distances(-a, b).argmin(1),
    "one place in a table of all pairs: `argmin` needs its dim": lambda a, b: _distances(a, b).argmin().expand(len(a)),
    "the first row of pixels alone": lambda a, b: _distances(a[:, 0, 0], b[:, 0, 0]).argmin(1),
    "the middle pixel alone": lambda a, b: _distances(a[..., 2, 2], b[..., 2, 2]).argmin(1),
}


def judge_nearest(answer: Any) -> None:
    among = draws(40, 3, 5, 5) * torch.linspace(0.6, 1.4, 40)[:, None, None, None]
    among += draws(40, seed=2)[:, None, None, None]
    images = draws(7, 3, 5, 5, seed=1) * 0.7 + torch.linspace(-1, 1, 7)[:, None, None, None]
    planted = among[[31, 4, 17]].clone()
    for probe, given in {"seven images among forty": images, "copies of numbers 31, 4 and 17": planted}.items():
        expected = _distances(given, among).argmin(1)
        result = tensor(probe, call(probe, answer, given.clone(), among.clone()), "indices (N,)")
        if result.shape != expected.shape:
            shapes = {
                (len(among),): "the nearest of `images` for each of `among`: the axes are exchanged",
                tuple(given.shape): "the nearest images themselves, where their places are wanted",
                (): "the place in a table of all pairs: `argmin` needs its dim",
            }
            name = shapes.get(tuple(result.shape), "")
            raise Fault(probe, f"shape {tuple(expected.shape)}", f"shape {tuple(result.shape)}", name)
        if result.is_floating_point():
            raise Fault(probe, "whole numbers", brief(result), "the distances, where their places are wanted")
        if not torch.equal(result.long(), expected):
            name = behaves_like(NEAREST_FAULTS, result, (given, among))
            raise Fault(probe, str(expected.tolist()), str(result.tolist()), name)


EXERCISES = [
    Exercise(
        "08.fid",
        judge_fid,
        (
            "Two numbers to add: how far the means are apart, and how different the covariances are.",
            "Rows are images, so `features.T.cov()` is (F, F). The cross term is the trace of a matrix root, "
            "`scipy.linalg.sqrtm(c1 @ c2)`.",
            "`(m1 - m2).square().sum() + (c1 + c2 - 2 * root).trace()`, with the real part of the root.",
        ),
        "whether you divide by N or N - 1, and covariances without an inverse, of fewer images than features.",
    ),
    Exercise(
        "08.slerp",
        judge_slerp,
        (
            "The angle w is that between the directions of a and b, whatever their lengths.",
            "`w = acos(a @ b / (a.norm() * b.norm()))`; a gets sin((1 - t) w) / sin(w), b gets sin(t w) / sin(w).",
            "Where w is nearly 0, so is sin(w): there, the straight line is the answer.",
        ),
        "vectors in opposite directions, between which there is no shortest arc.",
    ),
    Exercise(
        "08.nearest",
        judge_nearest,
        (
            "First all distances, a table (N, M); then the smallest of each row.",
            "`flatten(1)` makes a row of each image, and `torch.cdist` all distances of two such tables.",
            "`.argmin(1)` gives, for each row, the column of its smallest number.",
        ),
        "memory: for 10,000 images among 60,000 the table has 600 million numbers, so the library goes piece by piece.",
    ),
]
