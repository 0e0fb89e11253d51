"""Endless labelled cartoon portraits, painted from a seed: a stand-in for CelebA with nothing to download.

Portrait `index` of `seed` is the same picture on every machine, but for a value in ten thousand that another
processor rounds to the next grey level. Whom it shows is a hash of (seed, index, name of the attribute) in whole
numbers, the same everywhere.
"""

import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dcgan_lib.data.faces import features
from dcgan_lib.data.faces.shapes import Canvas, colours
from dcgan_lib.utils.errors import require

VERSION = 1
"""Raised whenever the same portrait would be painted differently, so that old caches are not read."""

_PALETTES = {
    "skin": {"ivory": "ffe3cf", "peach": "f7c6a0", "honey": "dca06d", "brown": "b0764c", "umber": "845640"},
    "hair_colour": {"black": "2f2833", "brown": "5f371f", "red": "d2592a", "blond": "edb53e", "grey": "b9bcc6"},
    "eye_colour": {"brown": "6b3d1e", "blue": "2f7fd0", "green": "2f9a57"},
    "background": {"sky": "a3d8f5", "mint": "ace3bf", "cream": "fff0c9", "rose": "fbb6bc", "lilac": "c9baf2"},
    "clothes": {"scarlet": "e04a4f", "navy": "34508f", "teal": "1f9c93", "plum": "8d4a94", "white": "fbf6ee"},
}
ATTRIBUTES: dict[str, tuple[str, ...]] = {name: tuple(palette) for name, palette in _PALETTES.items()} | {
    "hair_style": ("bald", "short", "spiky", "curly", "bob", "long", "bun", "pigtails"),
    "smile": ("no", "yes"),
    "glasses": ("none", "round", "square"),
    "beard": ("none", "moustache", "full"),
    "hat": ("none", "beanie", "cap", "straw", "crown"),
    "earrings": ("no", "yes"),
    "top": ("plain", "striped"),
}
_WEIGHTS = {"glasses": (2, 1, 1), "beard": (3, 1, 1), "hat": (4, 1, 1, 1, 1)}  # the others: equal shares

# How far a portrait may be from the drawing, either way: enough that no two are alike, and still aligned.
_JITTERS = {"x": 0.04, "y": 0.03, "tilt": 0.05, "face_width": 0.025, "face_height": 0.025, "brow_height": 0.02}
_PIXELS_AT_ONCE = 1 << 18  # small enough for the tensors to stay in the processor's cache

_PAINTS = {name: colours(*palette.values()) for name, palette in _PALETTES.items()}
_ACCENTS = colours("fff1d6", "ffc94a", "ffe08a", "ffb3a7", "f08a3c")  # one to go with each colour of clothes
_SKIN_SHADE, _HAIR_SHADE = colours("e4bfb5", "bca8b0")  # what a colour is multiplied by in the shade
_FRINGES = torch.tensor([features.FRINGES[style] for style in ATTRIBUTES["hair_style"]], dtype=torch.float32)
_BRIMS = torch.tensor([features.BRIMS[hat] for hat in ATTRIBUTES["hat"]], dtype=torch.float32)


def _draw(seed: int, indices: Tensor, name: str) -> Tensor:
    """Uniform whole numbers in [0, 2**24), one per index.

    Two multiplications mix 32 bits, with constants from github.com/skeeto/hash-prospector. Both constants are
    below 2**31, so that no product overflows an int64.
    """
    key = hashlib.sha256(f"{seed} {name}".encode()).digest()
    bits = torch.zeros_like(indices)
    for word, salt in ((indices & 0xFFFFFFFF, key[:4]), (indices >> 32, key[4:8])):
        bits = bits ^ word ^ int.from_bytes(salt, "little")
        for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
            bits = ((bits ^ (bits >> shift)) * factor) & 0xFFFFFFFF
        bits = bits ^ (bits >> 15)
    return bits >> 8


def attributes(seed: int, indices: Tensor, fixed: Mapping[str, int] | None = None) -> dict[str, Tensor]:
    """Who the portraits show, without painting them.

    Every attribute is drawn independently of all others.

    Args:
        seed: any whole number.
        indices: which portraits, int64 (N,), 0 or more.
        fixed: labels that all of them get, such as {"smile": 1}; nothing else about them changes.

    Returns:
        For each name in `ATTRIBUTES` int64 (N,): positions in `ATTRIBUTES[name]`.

    Raises:
        InputError: `fixed` names no such attribute or label.
    """
    fixed = fixed or {}
    for name, label in fixed.items():
        require(label in range(len(ATTRIBUTES.get(name, ()))), f"ATTRIBUTES has no {name!r}: {label!r}: change it.")
    labels = {}
    for name, values in ATTRIBUTES.items():
        weights = torch.tensor(_WEIGHTS.get(name, (1,) * len(values)))
        choices = torch.arange(len(values)).repeat_interleave(weights)
        drawn = choices[(_draw(seed, indices, name) * len(choices)) >> 24]
        labels[name] = torch.full_like(drawn, fixed[name]) if name in fixed else drawn
    return labels


def paint(seed: int, indices: Tensor, image_size: int = 64, fixed: Mapping[str, int] | None = None) -> Tensor:
    """The portraits themselves, with the labels that `attributes` gives for the same arguments.

    Two things may be out of sight: a hat with a rim hides the hair above it, a bun altogether, and a bald
    head shows its hair colour only in the brows and the beard.

    Args:
        seed, indices, fixed: as for `attributes`.
        image_size: rows and columns, 16 or more; 32 is painted as 32, not shrunk from 64.

    Returns:
        uint8 (N, 3, image_size, image_size), 0 to 255.

    Raises:
        InputError: `image_size` is below 16, or `attributes` refuses the rest.
    """
    require(image_size >= 16, f"image_size must be 16 or more, and {image_size} is not: change its value.")
    labels = attributes(seed, indices, fixed)
    jitters = {}
    for name, spread in _JITTERS.items():
        unit = _draw(seed, indices, f"jitter of {name}").to(torch.float32) * (2.0 / (1 << 24)) - 1.0
        jitters[name] = (unit * spread).view(-1, 1, 1)
    images = torch.empty(len(indices), 3, image_size, image_size, dtype=torch.uint8)
    chunk = max(1, _PIXELS_AT_ONCE // image_size**2)
    for start in range(0, len(indices), chunk):
        rows = slice(start, start + chunk)
        some_labels, some_jitters = ({name: d[name][rows] for name in d} for d in (labels, jitters))
        images[rows] = _portraits(image_size, some_labels, some_jitters)
    return images


def _portraits(size: int, labels: dict[str, Tensor], jitters: dict[str, Tensor]) -> Tensor:
    look = {name: paints[labels[name]] for name, paints in _PAINTS.items()}
    look["accent"] = _ACCENTS[labels["clothes"]]
    look["skin_shade"], look["hair_shade"] = look["skin"] * _SKIN_SHADE, look["hair_colour"] * _HAIR_SHADE
    look["fringe"] = _FRINGES[labels["hair_style"]].view(-1, 7, 1, 1)
    look["brim"] = _BRIMS[labels["hat"]].view(-1, 1, 1)
    look["face_width"], look["face_height"] = 0.48 + jitters["face_width"], 0.53 + jitters["face_height"]
    look["brow_height"] = 0.215 + jitters["brow_height"]
    canvas = Canvas(size, jitters["x"], 0.10 + jitters["y"], jitters["tilt"], look)

    def each(part: Canvas, name: str, **chosen: Callable[[Canvas], None]) -> None:
        part.each(labels[name], {ATTRIBUTES[name].index(value): brush for value, brush in chosen.items()})

    # From the back to the front. Each window holds all that is painted in it, wherever the face is.
    features.backdrop(canvas)
    above, behind = canvas.window(-0.85, -0.9, 0.85, 0.25), canvas.window(-0.85, -0.66, 0.85, 0.9)
    each(above, "hair_style", spiky=features.spikes, curly=features.curls, bun=features.bun)
    each(behind, "hair_style", bob=features.bob, long=features.long_hair, pigtails=features.pigtails)
    body = canvas.window(-0.7, 0.33, 0.7, 0.9)
    features.clothes(body)
    each(body, "top", striped=features.stripes)
    features.neck(body)
    features.ears(canvas.window(-0.6, -0.04, 0.6, 0.2))
    head = canvas.window(-0.68, -0.68, 0.68, 0.68)
    outline = features.outline(head)
    fringe = features.fringe(head, outline)
    features.skin(head, outline, fringe)
    features.cheeks(canvas.window(-0.5, 0.05, 0.5, 0.37))
    each(canvas.window(-0.6, -0.06, 0.6, 0.67), "beard", full=features.full_beard)
    mouth = canvas.window(-0.3, 0.05, 0.3, 0.5)
    each(mouth, "smile", no=features.calm_mouth, yes=features.grin)
    each(mouth, "beard", moustache=features.moustache)
    features.nose(mouth)
    features.eyes_and_brows(canvas.window(-0.36, -0.3, 0.36, 0.2))
    features.front_hair(head, outline, fringe)
    spectacles = canvas.window(-0.52, -0.22, 0.52, 0.2)
    each(spectacles, "glasses", round=features.round_glasses, square=features.square_glasses)
    each(canvas.window(-0.58, 0.18, 0.58, 0.34), "earrings", yes=features.earrings)
    hats = {hat: getattr(features, hat) for hat in ATTRIBUTES["hat"][1:]}
    each(canvas.window(-0.8, -0.9, 0.8, -0.13), "hat", **hats)
    return canvas.picture.mul_(255.0).add_(0.5).to(torch.uint8)
