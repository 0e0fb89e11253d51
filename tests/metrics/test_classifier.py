"""The classifier learns what is easy, says the same each time, and is trained once."""

from pathlib import Path

import pytest
import torch

from dcgan_lib.data import ImageDataset, normalize
from dcgan_lib.metrics import classifier as classifier_module
from dcgan_lib.metrics.classifier import Classifier, classify, load_classifier, split, train_classifier

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def easy() -> ImageDataset:
    """Noise whose brightness is one attribute and whose bright half is another."""
    images = torch.randint(0, 60, (100, 1, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    shade, side = torch.arange(100) % 3, torch.arange(100) // 3 % 2
    images += (60 * shade).byte()[:, None, None, None]
    images[side == 0, :, :8] += 70
    images[side == 1, :, 8:] += 70
    values = {"shade": ("dark", "middle", "light"), "side": ("top", "bottom")}
    return ImageDataset("easy", images, {"shade": shade, "side": side}, values)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))


def test_learns_an_easy_set(easy: ImageDataset) -> None:
    network = train_classifier(easy, steps=30)
    assert not network.training
    _, test = split(easy)
    features, probs = classify(network, easy.images[test])
    assert features.shape == (10, 128)
    for name, labels in easy.labels.items():
        torch.testing.assert_close(probs[name].sum(1), torch.ones(10))
        assert (probs[name].argmax(1) == labels[test]).float().mean() > 0.9


def test_split_is_fixed_and_without_overlap(easy: ImageDataset) -> None:
    train, test = split(easy)
    assert (len(train), len(test)) == (90, 10)
    assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(100))
    assert test.tolist() != list(range(90, 100))
    assert torch.equal(split(easy)[1], test)


def test_never_trains_on_the_last_tenth(easy: ImageDataset) -> None:
    _, test = split(easy)
    images = easy.images.clone()
    images[test] = 255 - images[test]
    changed = ImageDataset(easy.name, images, easy.labels, easy.values)
    assert same(train_classifier(easy, steps=2), train_classifier(changed, steps=2))


def test_seed_and_nothing_else_decides(easy: ImageDataset) -> None:
    first = train_classifier(easy, steps=2)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    assert same(first, train_classifier(easy, steps=2))
    assert torch.equal(torch.rand(3), expected)
    assert not same(first, train_classifier(easy, steps=2, seed=1))


def test_trained_once(easy: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_classifier(easy, steps=3)
    fewer = ImageDataset("easy", easy.images[:80], {k: v[:80] for k, v in easy.labels.items()}, easy.values)
    assert not same(load_classifier(fewer, steps=3), first)
    assert not same(load_classifier(easy, steps=2), first)
    monkeypatch.setattr(classifier_module, "train_classifier", lambda *args: pytest.fail("trained again"))
    again = load_classifier(easy, steps=3)
    assert same(again, first)
    assert not again.training


def test_other_content_of_the_same_size_is_another_file(easy: ImageDataset, cache: Path) -> None:
    images, labels = easy.images.clone(), {**easy.labels, "side": easy.labels["side"].clone()}
    images[77, 0, 3, 3] ^= 1
    labels["side"][77] ^= 1
    for pixels, known in ((easy.images, easy.labels), (images, easy.labels), (easy.images, labels)):
        load_classifier(ImageDataset(easy.name, pixels, known, easy.values), steps=1)
    assert len(list(cache.iterdir())) == 3


def test_a_damaged_cached_classifier_is_trained_again(easy: ImageDataset, cache: Path) -> None:
    first = load_classifier(easy, steps=1)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert same(load_classifier(easy, steps=1), first)
    assert path.read_bytes() == whole


def test_images_that_no_classifier_can_learn(easy: ImageDataset, refused) -> None:
    assert "easy has no labels" in refused(lambda: train_classifier(ImageDataset("easy", easy.images)))


@torch.no_grad()
@pytest.mark.parametrize(("channels", "size"), [(1, 16), (3, 32), (3, 64)])
def test_classify_in_chunks(channels: int, size: int) -> None:
    network = Classifier(channels, {"class": 10, "hat": 2}).eval()
    images = torch.randint(0, 256, (10, channels, size, size)).byte()
    features, probs = classify(network, images, chunk=4)
    assert (features.shape, probs["class"].shape, probs["hat"].shape) == ((10, 128), (10, 10), (10, 2))
    torch.testing.assert_close(features, network.features(normalize(images)))
    torch.testing.assert_close(probs["hat"], network(normalize(images))["hat"].softmax(1))
