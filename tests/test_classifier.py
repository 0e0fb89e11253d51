"""The classifier learns what is easy, says the same each time, and is trained once."""

from pathlib import Path

import pytest
import torch

from dcgan_lib import classifier as classifier_module
from dcgan_lib.classifier import Classifier, classify, load_classifier, split, train_classifier
from dcgan_lib.config import InputError
from dcgan_lib.data import PictureSet, normalize

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def easy() -> PictureSet:
    """Noise whose brightness is one attribute and whose bright half is another."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (100, 1, 16, 16), dtype=torch.uint8, generator=generator)
    shade, side = torch.arange(100) % 3, torch.arange(100) // 3 % 2
    images += (60 * shade).byte()[:, None, None, None]
    images[side == 0, :, :8] += 70
    images[side == 1, :, 8:] += 70
    values = {"shade": ("dark", "middle", "light"), "side": ("top", "bottom")}
    return PictureSet("easy", images, {"shade": shade, "side": side}, values)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))


def test_learns_an_easy_set(easy: PictureSet) -> None:
    network = train_classifier(easy, steps=30)
    assert not network.training
    _, test = split(easy)
    features, probs = classify(network, easy.images[test])
    assert features.shape == (10, 128)
    for name, labels in easy.labels.items():
        torch.testing.assert_close(probs[name].sum(1), torch.ones(10))
        assert (probs[name].argmax(1) == labels[test]).float().mean() > 0.9


def test_split_is_fixed_and_without_overlap(easy: PictureSet, pictures: PictureSet) -> None:
    train, test = split(easy)
    assert (len(train), len(test)) == (90, 10)
    assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(100))
    assert test.tolist() != list(range(90, 100))
    assert torch.equal(split(easy)[1], test)


def test_never_trains_on_the_last_tenth(easy: PictureSet) -> None:
    _, test = split(easy)
    images = easy.images.clone()
    images[test] = 255 - images[test]
    changed = PictureSet(easy.name, images, easy.labels, easy.values)
    assert same(train_classifier(easy, steps=2), train_classifier(changed, steps=2))


def test_seed_and_nothing_else_decides(easy: PictureSet) -> None:
    first = train_classifier(easy, steps=2)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    assert same(first, train_classifier(easy, steps=2))
    assert torch.equal(torch.rand(3), expected)
    assert not same(first, train_classifier(easy, steps=2, seed=1))


def test_no_labels(easy: PictureSet) -> None:
    with pytest.raises(InputError, match="easy has no labels"):
        train_classifier(PictureSet("easy", easy.images))


def test_trained_once(easy: PictureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_classifier(easy, steps=3)
    fewer = PictureSet("easy", easy.images[:80], {k: v[:80] for k, v in easy.labels.items()}, easy.values)
    assert not same(load_classifier(fewer, steps=3), first)
    assert not same(load_classifier(easy, steps=2), first)
    monkeypatch.setattr(classifier_module, "train_classifier", lambda *args: pytest.fail("trained again"))
    again = load_classifier(easy, steps=3)
    assert same(again, first)
    assert not again.training


@pytest.mark.parametrize("what", ["one pixel", "one label"])
def test_other_content_of_the_same_size_gets_a_classifier_of_its_own(easy: PictureSet, what: str) -> None:
    first = load_classifier(easy, steps=1)
    images, labels = easy.images.clone(), {name: values.clone() for name, values in easy.labels.items()}
    if what == "one pixel":
        images[77, 0, 3, 3] ^= 1
    else:
        labels["side"][77] ^= 1
    changed = PictureSet(easy.name, images, labels, easy.values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier_module, "train_classifier", lambda *args: train_classifier(easy, 2))
        assert not same(load_classifier(changed, steps=1), first)


@pytest.mark.parametrize("content", [b"", b"once upon a time", None], ids=["empty", "text", "cut short"])
def test_damaged_cached_classifier(easy: PictureSet, cache: Path, refused, content: bytes | None) -> None:
    load_classifier(easy, steps=1)
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    said = f"The cached classifier {path} is damaged: delete it, and it is trained again."
    assert refused(lambda: load_classifier(easy, steps=1)) == said


def test_too_few_pictures(easy: PictureSet, refused) -> None:
    few = PictureSet("few", easy.images[:9], {"side": easy.labels["side"][:9]}, {"side": easy.values["side"]})
    said = "few has 9 pictures, too few for a classifier to learn from and be tested on: use at least 10."
    assert refused(lambda: train_classifier(few)) == said


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    network = Classifier(channels, {"class": 10, "hat": 2}).eval()
    logits = network(torch.randn(4, channels, size, size))
    assert {name: tuple(values.shape) for name, values in logits.items()} == {"class": (4, 10), "hat": (4, 2)}


@torch.no_grad()
def test_classify_in_chunks(easy: PictureSet) -> None:
    network = Classifier(1, {"shade": 3}).eval()
    features, probs = classify(network, easy.images[:10], chunk=4)
    torch.testing.assert_close(features, network.features(normalize(easy.images[:10])))
    torch.testing.assert_close(probs["shade"], network(normalize(easy.images[:10]))["shade"].softmax(1))
