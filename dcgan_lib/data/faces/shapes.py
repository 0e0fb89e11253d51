"""Signed distances of simple shapes, and the canvas they are painted on.

A signed distance is negative inside a shape and positive outside. `x` and `y` are (n, h, w) coordinates, the
other arguments numbers or (n, 1, 1) tensors. The union, intersection and difference of two shapes are
`minimum(a, b)`, `maximum(a, b)` and `maximum(a, -b)`.

Every torch call here does one exactly rounded operation: + - * / sqrt, round, absolute value, comparison.
That leaves a processor or a torch version no freedom: the same numbers in give the same picture out.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Number = float | Tensor


def colours(*codes: str) -> Tensor:
    """Colours such as "ff8800" as float32 (number of codes, 3, 1, 1), values in [0, 1]."""
    channels = [[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes]
    return torch.tensor(channels, dtype=torch.float32).view(-1, 3, 1, 1)


def circle(x: Tensor, y: Tensor, radius: Number) -> Tensor:
    """A disc around the origin."""
    return (x * x).add_(y * y).sqrt_().sub_(radius)


def ellipse(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    """An ellipse with these half-axes, or rather a disc squeezed sideways: a long tip comes out soft."""
    return circle(x * (height / width), y, height)


def rounded_box(x: Tensor, y: Tensor, width: Number, height: Number, radius: Number) -> Tensor:
    """A box with these half-sides, rounded corners included: a bar, a lens or a head."""
    right, below = x.abs().sub_(width - radius), y.abs().sub_(height - radius)
    depth = torch.maximum(right, below).clamp_(max=0.0)
    return circle(right.clamp_(min=0.0), below.clamp_(min=0.0), radius).add_(depth)


def zigzag(position: Tensor) -> Tensor:
    """Triangle wave of period 1: it is 1 where `position` is whole and 0 half-way between."""
    return position.sub(position.round()).abs_().mul_(-2.0).add_(1.0)


class Canvas:
    """Pictures being painted in step: `picture` is float32 (n, 3, size, size), colours in [0, 1].

    Shapes are drawn in the coordinates `x` and `y` (n, size, size), y downwards; before these are moved to a
    centre and tilted, a picture spans -0.9 to 0.9 both ways. `side` is `abs(x)`, to paint both eyes at once,
    and `canvas[name]` is what each picture has under that name, such as a colour (n, 3, 1, 1).

    Args:
        size: rows and columns.
        centre_x, centre_y: where the origin lies in each picture, (n, 1, 1).
        tilt: the tangent of half the angle, (n, 1, 1): it makes sine and cosine plain fractions.
        look: the named tensors, n rows each.
    """

    SPAN = 0.9

    def __init__(self, size: int, centre_x: Tensor, centre_y: Tensor, tilt: Tensor, look: Mapping[str, Tensor]):
        self.pixel = 2.0 * self.SPAN / size
        self._look, self._rows = look, torch.arange(len(tilt))
        middles = [self.SPAN * (2 * i + 1 - size) / size for i in range(size)]
        along = torch.tensor(middles, dtype=torch.float32)
        right, down = along.view(1, 1, -1) - centre_x, along.view(1, -1, 1) - centre_y
        cosine, sine = (1.0 - tilt * tilt) / (1.0 + tilt * tilt), (tilt + tilt) / (1.0 + tilt * tilt)
        self.x, self.y = cosine * right + sine * down, cosine * down - sine * right
        self.side = self.x.abs()
        self.picture = torch.empty(len(tilt), 3, size, size, dtype=torch.float32)
        self._centres = [(float(c.min()), float(c.max())) for c in (centre_x, centre_y)]
        self._turn = float(sine.abs().max())

    def __getitem__(self, name: str) -> Tensor:
        return self._look[name][self._rows]

    def _part(self, take: Callable[[Tensor], Tensor], rows: Tensor) -> "Canvas":
        part = object.__new__(Canvas)
        part.pixel, part._look, part._rows = self.pixel, self._look, rows
        part.x, part.y, part.side, part.picture = map(take, (self.x, self.y, self.side, self.picture))
        return part

    def window(self, left: float, top: float, right: float, bottom: float) -> "Canvas":
        """A view of the pixels this box can touch in any of the pictures: painting less is faster."""
        reach = max(-left, right), max(-top, bottom)

        def pixels(low: float, high: float, axis: int) -> slice:
            margin = self._turn * reach[1 - axis] + self.pixel
            first = (self._centres[axis][0] + low - margin + self.SPAN) / self.pixel
            last = (self._centres[axis][1] + high + margin + self.SPAN) / self.pixel
            return slice(max(0, math.floor(first)), max(0, math.ceil(last)))

        columns, rows = pixels(left, right, 0), pixels(top, bottom, 1)
        return self._part(lambda tensor: tensor[..., rows, columns], self._rows)

    def soft(self, distance: Tensor, width: float) -> Tensor:
        """The same shape with an edge that fades over `width` instead of one pixel."""
        return distance * (self.pixel / width)

    def fill(self, distance: Tensor, colour: Tensor, opacity: float = 1.0) -> None:
        """Paint `colour` where `distance` is negative; over one pixel the edge fades."""
        cover = distance.mul(-1.0 / self.pixel).add_(0.5).clamp_(0.0, 1.0)
        if opacity < 1.0:
            cover.mul_(opacity)
        self.picture.add_(colour.sub(self.picture).mul_(cover.unsqueeze(1)))

    def each(self, labels: Tensor, brushes: Mapping[int, Callable[["Canvas"], None]]) -> None:
        """Let `brushes[label]` paint those pictures, and only those, whose entry in `labels` (n,) it is."""
        for label, brush in brushes.items():
            rows = (labels == label).nonzero().squeeze(1)
            if len(rows):
                part = self._part(lambda tensor, rows=rows: tensor[rows], self._rows[rows])
                brush(part)
                self.picture[rows] = part.picture
