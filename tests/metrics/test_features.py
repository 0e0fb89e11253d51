"""The features are the convolutions' own, and the SVM is scikit-learn's."""

import pytest
import torch
from sklearn.svm import LinearSVC

from dcgan_lib.data import normalize
from dcgan_lib.metrics import conv_features, fit_svm, svm_accuracy
from dcgan_lib.networks import Discriminator


@pytest.mark.parametrize("c", [0.01, 1.0])
def test_svm(c: float) -> None:
    dice = torch.Generator().manual_seed(0)
    x = torch.randn(300, 40, generator=dice)
    labels = (x[:, :4] + torch.randn(300, 4, generator=dice)).argmax(1)
    weights = fit_svm(x, labels, 4, c)
    known = LinearSVC(C=c, dual=False, tol=1e-6).fit(x.numpy(), labels.numpy())
    torch.testing.assert_close(weights[:-1].T, torch.tensor(known.coef_).float(), rtol=0, atol=1e-3)
    torch.testing.assert_close(weights[-1], torch.tensor(known.intercept_).float(), rtol=0, atol=1e-3)


def test_accuracy_of_what_a_line_can_and_cannot_tell() -> None:
    dice = torch.Generator().manual_seed(0)
    x, noise = torch.randn(400, 5, generator=dice), torch.randint(0, 2, (400,), generator=dice)
    labels = (x[:, 0] > 0).long()
    assert svm_accuracy(100 * x[:200] + 7, labels[:200], 100 * x[200:] + 7, labels[200:], 1.0) > 0.95
    assert 0.35 < svm_accuracy(x[:200], noise[:200], x[200:], noise[200:], 1.0) < 0.65


def test_features() -> None:
    torch.manual_seed(0)
    d = Discriminator(4, 3, 32)
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    found = conv_features(d, images, chunk=4)
    assert found.shape == (6, 16 * (4 + 8 + 16)) and d.training
    first = torch.nn.functional.leaky_relu(d.layers[0](normalize(images)), 0.2)  # (6, 4, 16, 16)
    highest = first.unfold(2, 4, 4).unfold(3, 4, 4).amax((4, 5))
    torch.testing.assert_close(found[:, :64], highest.flatten(1))
    d.eval()
    with torch.no_grad():  # the last hidden maps are 4x4 already
        torch.testing.assert_close(found[:, -256:], d.layers[:-1](normalize(images)).flatten(1))
