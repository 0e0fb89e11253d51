"""From bytes to a tensor, and the transposed convolution by hand: notebooks 02 and 04."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d
from torch.overrides import TorchFunctionMode

from dcgan_lib.checks.compare import EMPTY, Faults, behaves_like, brief, close, draws
from dcgan_lib.checks.report import Exercise, Fault, call


def _to_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 127.5 - 1


def _scaled(change: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], Tensor]:
    """`_to_tensor` with another scale: `change` of bytes as floats, (C, H, W)."""
    return lambda array: change((_to_tensor(array) + 1) * 127.5)


def _wrapped(change: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Tensor]:
    """A scale that counts in uint8 first."""
    return lambda array: torch.from_numpy(np.asarray(change(array), dtype=np.float32)).permute(2, 0, 1)


TENSOR_FAULTS: Faults = {
    "`reshape` or `view` in place of `permute`: pixels lose their places": lambda a: _to_tensor(
        a.reshape(a.shape[2], *a.shape[:2]).transpose(1, 2, 0)
    ),
    "dividing by 255 alone: that is [0, 1], and tanh gives [-1, 1]": _scaled(lambda x: x / 255),
    "dividing by 127.5 alone: that is [0, 2]": _scaled(lambda x: x / 127.5),
    "[0, 1] moved by a half: that is [-0.5, 0.5]": _scaled(lambda x: x / 255 - 0.5),
    "[0, 1] moved by 1: that is [-1, 0]": _scaled(lambda x: x / 255 - 1),
    "128 in place of 127.5: 255 does not become 1": _scaled(lambda x: x / 128 - 1),
    "256 in place of 255: 255 does not become 1": _scaled(lambda x: x / 256 * 2 - 1),
    "127 in place of 127.5": _scaled(lambda x: x / 127 - 1),
    "(x - 128) / 127: 0 becomes less than -1": _scaled(lambda x: (x - 128) / 127),
    "(x - 127.5) / 255: that is [-0.5, 0.5]": _scaled(lambda x: (x - 127.5) / 255),
    "the bytes as they are, in [0, 255]": _scaled(lambda x: x),
    "bytes taken for [0, 1]: 2 x - 1 without a division": _scaled(lambda x: 2 * x - 1),
    "the division missing": _scaled(lambda x: x - 127.5),
    "division by the image's own maximum": _scaled(lambda x: x / x.max() * 2 - 1),
    "the image's own minimum and maximum as the ends": _scaled(lambda x: (x - x.min()) / (x.max() - x.min()) * 2 - 1),
    "the image's own mean and deviation": (
        _scaled(lambda x: (x - x.mean()) / x.std()),
        _scaled(lambda x: (x - x.mean()) / x.std(correction=0)),
    ),
    "black and white exchanged": _scaled(lambda x: 1 - x / 127.5),
    "a division that rounds": _scaled(lambda x: x // 127.5 - 1),
    "colours in the order blue, green, red": lambda a: _to_tensor(a[:, :, ::-1]),
    "a picture upside down": lambda a: _to_tensor(a[::-1]),
    "a mirrored picture": lambda a: _to_tensor(a[:, ::-1]),
    "counting in uint8, where 2 x wraps at 256": _wrapped(lambda a: a * np.uint8(2) / 255.0 - 1),
    "counting in uint8, where a subtraction wraps below 0": (
        _wrapped(lambda a: (a * np.uint8(2) - np.uint8(255)) / 255.0),
        *(_wrapped(lambda a, b=b, c=c: (a - np.uint8(b)) / c) for b in (127, 128) for c in (127.0, 127.5, 128.0)),
        _wrapped(lambda a: ((a - np.uint8(127)) - 0.5) / 127.5),
    ),
    "the mean and deviation of ImageNet": _scaled(
        lambda x: (
            (x / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
            / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        )
    ),
}


def judge_to_tensor(answer: Any) -> None:
    bytes_ = (draws(6, 5, 3).abs() * 90).clamp(max=230).byte().numpy()
    full = bytes_.copy()
    full[0, 0], full[1, 1] = 0, 255
    cases = {
        "a picture of 6x5 pixels": bytes_,
        "one that has 0 and 255": full,
        "a grey one, (6, 5, 1)": full[:, :, :1].copy(),
    }
    for probe, array in cases.items():
        given = array.copy()
        result = call(probe, answer, given)
        h, w, c = array.shape
        if result is None or result is Ellipsis:
            raise Fault(probe, "a tensor", EMPTY)
        if not isinstance(result, Tensor):
            raise Fault(probe, "a tensor", f"a {type(result).__name__}", "an array that never became a tensor")
        orders = {
            (h, w, c): "a picture without `permute`: its colours still come last",
            (c, w, h): "height and width exchanged: `.T` reverses all axes, and `permute(2, 0, 1)` keeps the rows",
            (1, c, h, w): "a batch axis that nobody asked for",
            (h, w): "a grey picture whose colour axis was squeezed away",
        }
        if result.shape != (c, h, w):
            raise Fault(
                probe, f"shape {(c, h, w)}", f"shape {tuple(result.shape)}", orders.get(tuple(result.shape), "")
            )
        if result.dtype != torch.float32:
            name = "NumPy's float64, which no network's weights have" if result.dtype == torch.float64 else ""
            name = name if result.is_floating_point() else "counting in whole numbers: make it float first"
            raise Fault(probe, "float32", str(result.dtype).removeprefix("torch."), name)
        if not np.array_equal(given, array):
            raise Fault(
                probe, "an input that stays as it was", "a changed one", "working in place on the reader's own picture"
            )
        if not close(result, _to_tensor(array)):
            raise Fault(probe, brief(_to_tensor(array)), brief(result), behaves_like(TENSOR_FAULTS, result, (array,)))


def _stamp(x: Tensor, weight: Tensor, stride: int, add: bool = True) -> Tensor:
    """Each input number stamps the kernel into the output, (H - 1) * stride + k rows high."""
    (n, _, h, w), (_, channels, k, _) = x.shape, weight.shape
    out = torch.zeros(n, channels, (h - 1) * stride + k, (w - 1) * stride + k)
    for i in range(h):
        for j in range(w):
            place = out[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            stamp = torch.einsum("nc,cokl->nokl", x[:, :, i, j], weight)
            place.copy_(place + stamp if add else stamp)
    return out


def _crop(full: Tensor, top: int, bottom: int) -> Tensor:
    return full[:, :, top : full.shape[2] - bottom, top : full.shape[3] - bottom]


def _averaged(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    hits = _stamp(torch.ones_like(x[:, :1]), torch.ones_like(weight[:1, :1]), stride)
    return _crop(_stamp(x, weight, stride) / hits.clamp(min=1), padding, padding)


CONV_FAULTS: Faults = {
    "a kernel that is flipped: a transposed convolution stamps it as it is": lambda x, w, s, p: conv_transpose2d(
        x, w.flip(2, 3), None, s, p
    ),
    "a kernel whose rows and columns are exchanged": lambda x, w, s, p: conv_transpose2d(
        x, w.transpose(2, 3), None, s, p
    ),
    "a weight read as (out, in, k, k): here the input's channels come first": lambda x, w, s, p: conv_transpose2d(
        x, w.transpose(0, 1), None, s, p
    ),
    "stamps that overwrite one another, where they add up": lambda x, w, s, p: _crop(_stamp(x, w, s, add=False), p, p),
    "overlaps that are averaged, where they add up": _averaged,
    "all of the padding cut from the top and the left": lambda x, w, s, p: _crop(_stamp(x, w, s), 2 * p, 0),
    "all of the padding cut from the bottom and the right": lambda x, w, s, p: _crop(_stamp(x, w, s), 0, 2 * p),
    "the first input channel alone": lambda x, w, s, p: conv_transpose2d(x[:, :1], w[:1], None, s, p),
    "an average over the input channels, where they add up": lambda x, w, s, p: (
        conv_transpose2d(x, w, None, s, p) / x.shape[1]
    ),
    "the first picture of the batch, for all of them": lambda x, w, s, p: conv_transpose2d(x, w, None, s, p)[:1].expand(
        len(x), -1, -1, -1
    ),
    "the same kernel for every input channel": lambda x, w, s, p: conv_transpose2d(x, w[:1].expand_as(w), None, s, p),
    "pixels that are repeated, where zeros stand between them": lambda x, w, s, p: conv2d(
        _crop(x.repeat_interleave(s, 2).repeat_interleave(s, 3), 0, s - 1),
        w.transpose(0, 1).flip(2, 3),
        padding=w.shape[2] - 1 - p,
    ),
    "input rows and columns exchanged": lambda x, w, s, p: conv_transpose2d(x.transpose(2, 3), w, None, s, p),
}


class _Calls(TorchFunctionMode):
    """Notes the names of the torch functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(getattr(function, "__name__", ""))
        return function(*args, **(kwargs or {}))


def judge_conv_transpose(answer: Any) -> None:
    cases = {
        "stride 2, padding 1, kernel 4": (draws(2, 3, 4, 5), draws(3, 3, 4, 4, seed=1), 2, 1),
        "stride 1, padding 0, kernel 4": (draws(2, 3, 1, 2), draws(3, 2, 4, 4, seed=1), 1, 0),
        "stride 3, padding 1, kernel 3, 2 channels to 5": (draws(1, 2, 3, 2), draws(2, 5, 3, 3, seed=1), 3, 1),
    }
    for probe, arguments in cases.items():
        x, weight, stride, padding = arguments
        with _Calls() as calls:
            result = call(probe, answer, x.clone(), weight.clone(), stride, padding)
        if result is None or result is Ellipsis:
            raise Fault(probe, "a tensor", EMPTY)
        if any("conv_transpose" in name for name in calls.names):
            raise Fault(
                probe,
                "loops, slices and products",
                "a call of `conv_transpose2d`",
                "PyTorch's own function: write it by hand",
            )
        expected = conv_transpose2d(x, weight, None, stride, padding)
        if not isinstance(result, Tensor) or result.shape != expected.shape:
            came = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
            raise Fault(probe, f"shape {tuple(expected.shape)}", came, _shape_fault(result, *arguments))
        if not close(result.detach(), expected):
            raise Fault(
                probe, brief(expected), brief(result.detach()), behaves_like(CONV_FAULTS, result.detach(), arguments)
            )


def _shape_fault(result: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> str:
    """What an output of that size comes from."""
    if not isinstance(result, Tensor) or result.ndim != 4:
        return ""
    (h, w), k = x.shape[2:], weight.shape[2]
    sizes = {
        "padding that is added, where a transposed convolution cuts it off": lambda side: (
            (side - 1) * stride + k + 2 * padding
        ),
        "padding that is not cut off": lambda side: (side - 1) * stride + k,
        "padding that is cut from one side only": lambda side: (side - 1) * stride + k - padding,
        "a stride that is ignored": lambda side: side - 1 + k - 2 * padding,
        "an ordinary convolution": lambda side: (side + 2 * padding - k) // stride + 1,
        "`[padding:-padding]`, which is empty where padding is 0": lambda side: 0,
        "`stride` zeros between the numbers, where there are stride - 1": lambda side: (
            (side - 1) * (stride + 1) + k - 2 * padding
        ),
        "H * stride rows, which is right for some kernels only": lambda side: side * stride,
        "H * stride + k rows, where it is (H - 1) * stride + k": lambda side: side * stride + k - 2 * padding,
    }
    if tuple(result.shape[2:]) == ((h - 1) * stride + k - 2 * padding,) * 2:
        return "the height taken for the width, too"
    if tuple(result.shape[2:]) == ((h - 1) * 2 + k - 2 * padding, (w - 1) * 2 + k - 2 * padding):
        return "a stride of 2, whatever it should be"
    return next((name for name, size in sizes.items() if tuple(result.shape[2:]) == (size(h), size(w))), "")


EXERCISES = [
    Exercise(
        "02.to_tensor",
        judge_to_tensor,
        (
            "Three things change: the order of the axes, the type, and the range.",
            "`torch.from_numpy(array).permute(2, 0, 1)` moves the colours to the front; divide only after `.float()`.",
            "0 must become -1 and 255 must become 1, so divide by half of 255 and take off 1.",
        ),
        "how fast it is, and whether the tensor's memory lies in one piece (`.contiguous()`).",
    ),
    Exercise(
        "04.conv_transpose",
        judge_conv_transpose,
        (
            "Begin with zeros of (H - 1) * stride + k rows; each input number adds its kernel at its own place.",
            "Place (i, j) begins at row i * stride, column j * stride; its stamp is "
            "`torch.einsum('nc,cokl->nokl', x[:, :, i, j], weight)`.",
            "At the end cut `padding` rows and columns off every side; `out[:, :, padding:-padding]` fails for 0, "
            "because `-0` is 0.",
        ),
        "speed: PyTorch does the same with one large matrix product.",
    ),
]
