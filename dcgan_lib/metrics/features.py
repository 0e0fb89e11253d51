"""What a discriminator has learned, judged by how well a linear classifier can use it (paper, section 5).

Taught in notebooks/10_paper.ipynb.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from dcgan_lib.data import normalize


@torch.no_grad()
def conv_features(discriminator: nn.Module, images: Tensor, chunk: int = 500) -> Tensor:
    """Every convolution's output after its activation, max-pooled to 4x4, all in one row (paper, section 5.1).

    Args:
        discriminator: a `Discriminator`; used in eval mode, and left in the mode it was in.
        images: uint8 (N, C, H, W).

    Returns:
        float32 (N, 16 times the channels of all layers but the last).
    """
    mode, rows = discriminator.training, []
    discriminator.eval()
    for part in images.split(chunk):
        x, found = normalize(part), []
        for layer in discriminator.layers[:-1]:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                found.append(adaptive_max_pool2d(x, 4).flatten(1))
        rows.append(torch.cat(found, 1))
    discriminator.train(mode)
    return torch.cat(rows)


def fit_svm(features: Tensor, labels: Tensor, classes: int, c: float, steps: int = 100) -> Tensor:
    """A linear L2-SVM, one against the rest: |w|^2 / 2 + c times the summed squared hinge losses is made small.

    That is scikit-learn's `LinearSVC(C=c)`, bias and all, by L-BFGS for all classes at once, which is many times
    faster with thousands of features.

    Args:
        features: (N, F), of about unit size.
        labels: int64 (N,).
        c: how much an error counts.

    Returns:
        Weights (F + 1, classes); the last row is the bias.
    """
    signs = torch.full((len(labels), classes), -1.0).scatter_(1, labels[:, None], 1.0)
    weights = torch.zeros(features.shape[1] + 1, classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=steps, tolerance_change=1e-7, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        margins = signs * svm_scores(weights, features)
        loss = weights.square().sum() / 2 + c * (1 - margins).relu().square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def svm_scores(weights: Tensor, features: Tensor) -> Tensor:
    """The scores of all classes, (N, classes); the largest is the answer."""
    return features @ weights[:-1] + weights[-1]


def svm_accuracy(features: Tensor, labels: Tensor, unseen: Tensor, truth: Tensor, c: float, steps: int = 100) -> float:
    """The share of unseen images that the SVM names right; features have mean 0 and deviation 1 in training.

    Args:
        features, labels: to learn from, (N, F) and int64 (N,).
        unseen, truth: to be tested on, (M, F) and int64 (M,).
        c: see `fit_svm`.
    """
    mean, std = features.mean(0), features.std(0)
    std = std + 1e-3 * features.std()  # or a pixel that never changes would count for much as soon as it does
    weights = fit_svm((features - mean) / std, labels, int(labels.max()) + 1, c, steps)
    answers = svm_scores(weights, (unseen - mean) / std).argmax(1)
    return (answers == truth).double().mean().item()
