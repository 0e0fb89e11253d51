"""What each feature of a cartoon portrait looks like: for each a brush, which paints it on a canvas.

The origin is the centre of the face, and 0.06 is about one pixel of a 32x32 picture: what is to be seen there
is no smaller.
"""

from torch import Tensor, maximum, minimum

from dcgan_lib.data.faces.shapes import Canvas, circle, colours, ellipse, rounded_box, zigzag

# The hair in front is the skull grown by a margin, less an opening for the face, cut off below some height:
# margin; the opening's x, y, half-width, half-height and corner; height. A bald margin leaves nothing.
FRINGES = {
    "bald": (-9.0, 0.00, 0.30, 0.40, 0.50, 0.30, 0.00),
    "short": (0.06, 0.12, 0.30, 0.44, 0.56, 0.30, -0.02),
    "spiky": (0.03, 0.00, 0.30, 0.42, 0.57, 0.12, -0.02),
    "curly": (0.07, 0.00, 0.30, 0.43, 0.57, 0.36, 0.10),
    "bob": (0.11, 0.00, 0.50, 0.40, 0.66, 0.06, 0.42),
    "long": (0.11, 0.00, 0.45, 0.42, 0.80, 0.42, 0.90),
    "bun": (0.05, 0.00, 0.40, 0.44, 0.70, 0.40, -0.02),
    "pigtails": (0.06, 0.00, 0.40, 0.43, 0.68, 0.30, 0.05),
}
BRIMS = {"none": -9.0, "beanie": -0.26, "cap": -0.26, "straw": -0.26, "crown": -9.0}  # no hair above these
EYE = 0.205  # from the middle of the face to the middle of an eye

WHITE, INK, BLUSH, MOUTH, LIPS, TONGUE = colours("ffffff", "2a2230", "f2545f", "8c2130", "b83a48", "f0707c")
GOLD, STRAW, STRAW_SHADE, BERRY = colours("ffc83d", "f2cd7c", "ddb068", "c4285a")


def backdrop(c: Canvas) -> None:
    c.picture.copy_(c["background"].expand_as(c.picture))
    c.fill(circle(c.x, c.y, 0.78), WHITE, opacity=0.4)


def spikes(c: Canvas) -> None:
    around = c.side + c.y  # grows from the top of the head to either ear
    tips = outline(c) - 0.03 - zigzag(around * 3.0 + 0.8) * 0.19
    c.fill(maximum(maximum(tips, c.y + 0.02), c["brim"] - c.y), c["hair_colour"])


def curls(c: Canvas) -> None:
    cloud = circle(c.x, c.y + 0.62, 0.19)
    for x, y, radius in ((0.27, -0.56, 0.20), (0.50, -0.39, 0.19), (0.61, -0.14, 0.17), (0.58, 0.10, 0.13)):
        cloud = minimum(cloud, circle(c.side - x, c.y - y, radius))
    c.fill(maximum(cloud, c["brim"] - c.y), c["hair_colour"])


def bun(c: Canvas) -> None:
    c.fill(maximum(circle(c.x, c.y + 0.68, 0.20), c["brim"] - c.y), c["hair_colour"])


def bob(c: Canvas) -> None:
    c.fill(maximum(rounded_box(c.x, c.y + 0.04, 0.63, 0.58, 0.37), c["brim"] - c.y), c["hair_shade"])


def long_hair(c: Canvas) -> None:
    c.fill(maximum(rounded_box(c.x, c.y - 0.16, 0.63, 0.76, 0.50), c["brim"] - c.y), c["hair_shade"])


def pigtails(c: Canvas) -> None:
    c.fill(ellipse(c.side - 0.66, c.y - 0.22, 0.17, 0.28), c["hair_colour"])
    c.fill(circle(c.side - 0.55, c.y + 0.02, 0.08), c["accent"])


def shoulders(c: Canvas) -> Tensor:
    return rounded_box(c.x, c.y - 1.12, 0.66, 0.50, 0.30)


def clothes(c: Canvas) -> None:
    c.fill(shoulders(c), c["clothes"])


def stripes(c: Canvas) -> None:
    c.fill(maximum(shoulders(c), (0.5 - zigzag(c.y * 5.0)) * 0.2), c["accent"])


def neck(c: Canvas) -> None:
    throat = circle(c.x, c.y - 0.60, 0.21)
    c.fill(throat - 0.05, c["accent"])
    c.fill(throat, c["skin_shade"])


def ears(c: Canvas) -> None:
    ear = circle(c.side - 0.48, c.y - 0.08, 0.11)
    c.fill(ear, c["skin"])
    c.fill(ear + 0.05, c["skin_shade"])


def outline(c: Canvas) -> Tensor:
    """The distance to the head, which is wider at the cheeks than at the brow once divided by its taper."""
    return rounded_box((c.y * 0.12).add_(1.0).mul_(c.x), c.y, c["face_width"], c["face_height"], 0.40)


def fringe(c: Canvas, head: Tensor) -> Tensor:
    """The distance to the hair in front, a row of `FRINGES` each."""
    margin, x, y, width, height, corner, end = c["fringe"].unbind(1)
    opening = rounded_box(c.x - x, c.y - y, width, height, corner)
    return maximum(maximum(maximum(head - margin, -opening), c.y - end), c["brim"] - c.y)


def skin(c: Canvas, head: Tensor, hair: Tensor) -> None:
    c.fill(head, c["skin"])
    far_side = c.soft(-circle(c.x + 0.1, c.y + 0.1, 0.55), 0.2)  # the light comes from the left
    c.fill(maximum(head, far_side), c["skin_shade"], opacity=0.6)
    c.fill(maximum(hair - 0.06, head), c["skin_shade"])


def cheeks(c: Canvas) -> None:
    c.fill(c.soft(circle(c.side - 0.33, c.y - 0.21, 0.08), 0.12), BLUSH, opacity=0.28)


def full_beard(c: Canvas) -> None:
    face = rounded_box(c.x, c.y + 0.10, 0.38, 0.30, 0.20)
    c.fill(maximum(maximum(outline(c) - 0.05, -face), -0.02 - c.y), c["hair_shade"])


def calm_mouth(c: Canvas) -> None:
    c.fill(rounded_box(c.x, c.y - 0.34, 0.11, 0.035, 0.035), LIPS)


def grin(c: Canvas) -> None:
    lips = maximum(circle(c.x, c.y - 0.25, 0.215), 0.25 - c.y)
    c.fill(lips, MOUTH)
    c.fill(maximum(circle(c.x, c.y - 0.47, 0.11), lips + 0.02), TONGUE)
    c.fill(maximum(lips + 0.015, c.y - 0.33), WHITE)


def moustache(c: Canvas) -> None:
    c.fill(ellipse(c.side - 0.12, c.y - 0.225 - c.side * 0.2, 0.15, 0.065), c["hair_shade"])


def nose(c: Canvas) -> None:
    c.fill(rounded_box(c.x, c.y - 0.13, 0.055, 0.045, 0.045), c["skin_shade"])


def eyes_and_brows(c: Canvas) -> None:
    across = c.side - EYE
    c.fill(ellipse(across, c.y + 0.01, 0.135, 0.145), WHITE)
    iris = circle(across + 0.01, c.y, 0.112)
    c.fill(iris, c["eye_colour"])
    c.fill(iris + 0.052, INK)
    c.fill(circle((c.x + 0.03).abs() - EYE, c.y + 0.03, 0.042), WHITE)
    arch = c.y + c["brow_height"] + across * across * 2.0
    c.fill(rounded_box(across, arch, 0.12, 0.032, 0.03), c["hair_shade"])


def front_hair(c: Canvas, head: Tensor, hair: Tensor) -> None:
    c.fill(hair, c["hair_colour"])
    shine = maximum((head + 0.04).abs() - 0.025, circle(c.x + 0.22, c.y + 0.36, 0.17))
    c.fill(shine, WHITE, opacity=0.35)


def glasses(c: Canvas, lens: Tensor, colour: Tensor) -> None:
    c.fill(lens, WHITE, opacity=0.2)
    bridge = rounded_box(c.x, c.y + 0.01, 0.05, 0.03, 0.01)
    arms = rounded_box(c.side - 0.44, c.y + 0.03, 0.06, 0.03, 0.01)
    c.fill(minimum(minimum(lens.abs() - 0.03, bridge), arms), colour)


def round_glasses(c: Canvas) -> None:
    glasses(c, circle(c.side - EYE, c.y + 0.01, 0.175), BERRY)


def square_glasses(c: Canvas) -> None:
    glasses(c, rounded_box(c.side - EYE - 0.01, c.y, 0.185, 0.135, 0.04), INK)


def earrings(c: Canvas) -> None:
    c.fill(circle(c.side - 0.50, c.y - 0.26, 0.07), GOLD)


def beanie(c: Canvas) -> None:
    c.fill(circle(c.x, c.y + 0.75, 0.13), c["accent"])
    c.fill(maximum(outline(c) - 0.12, c.y + 0.33), c["clothes"])
    c.fill(rounded_box(c.x, c.y + 0.33, 0.58, 0.085, 0.07), c["accent"])


def cap(c: Canvas) -> None:
    c.fill(maximum(outline(c) - 0.11, c.y + 0.28), c["clothes"])
    c.fill(circle(c.x, c.y + 0.48, 0.11), c["accent"])
    c.fill(rounded_box(c.x, c.y + 0.28 - c.x * c.x * 0.2, 0.57, 0.07, 0.07), c["accent"])


def straw(c: Canvas) -> None:
    c.fill(rounded_box(c.x, c.y + 0.31 - c.x * c.x * 0.1, 0.78, 0.06, 0.06), STRAW_SHADE)
    c.fill(maximum(rounded_box(c.x, c.y + 0.40, 0.43, 0.36, 0.25), c.y + 0.28), STRAW)
    c.fill(rounded_box(c.x, c.y + 0.35, 0.43, 0.06, 0.01), c["clothes"])


def crown(c: Canvas) -> None:
    points = -0.55 - c.y - zigzag(c.x * 2.63) * 0.22
    c.fill(maximum(maximum(c.side - 0.38, c.y + 0.40), points), GOLD)
    c.fill(circle(c.side - 0.19, c.y + 0.48, 0.04), BERRY)
