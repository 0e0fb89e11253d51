"""Answers that people give to the exercises: wrong ones with one fault each, and right ones in different styles.

Beside each wrong one stand words that the name of its fault has to contain.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import nn

WRONG: list[tuple[str, str, Any]] = []
RIGHT: list[tuple[str, Any]] = []


def wrong(exercise: str, words: str) -> Callable[[Any], Any]:
    return lambda answer: WRONG.append((exercise, words, answer)) or answer


def right(exercise: str) -> Callable[[Any], Any]:
    return lambda answer: RIGHT.append((exercise, answer)) or answer


# 01.value

for words, f in {
    "sum over the batch": lambda r, f: torch.sum(torch.log(r)) + torch.sum(torch.log(1 - f)),
    "average of V's two terms": lambda r, f: 0.5 * (torch.log(r).mean() + torch.log(1 - f).mean()),
    "-V": lambda r, f: F.binary_cross_entropy(r, torch.ones_like(r)) + F.binary_cross_entropy(f, torch.zeros_like(f)),
    "log D(G(z)) in the second": lambda r, f: torch.log(r).mean() + torch.log(f).mean(),
    "exchanged": lambda real, fake: torch.log(fake).mean() + torch.log(1 - real).mean(),
    "without its logarithms": lambda r, f: (r.mean() + 1 - f.mean()).item(),
    "base 2": lambda r, f: torch.log2(r).mean() + torch.log2(1 - f).mean(),
    "logarithm of a mean": lambda r, f: math.log(r.mean()) + math.log(1 - f.mean()),
    "one mean over both": lambda r, f: (torch.log(r).sum() + torch.log(1 - f).sum()) / (len(r) + len(f)),
    "first term alone": lambda r, f: torch.log(r).mean(),
    "minus between": lambda r, f: torch.log(r).mean() - torch.log(1 - f).mean(),
    "log(1 + D(G(z)))": lambda r, f: torch.log(r).mean() + torch.log(1 + f).mean(),
    "sigmoid on what is a probability": lambda r, f: F.logsigmoid(r).mean() + F.logsigmoid(-f).mean(),
}.items():
    wrong("01.value", words)(f)


@wrong("01.value", "forgets to average")
def _(real_probs, fake_probs):
    return torch.log(real_probs)[:3] + torch.log(1 - fake_probs)[:3]


RIGHT += [
    ("01.value", lambda r, f: -(F.binary_cross_entropy(r, torch.ones_like(r)) + F.binary_cross_entropy(f, 0 * f))),
    ("01.value", lambda r, f: float(np.log(r.numpy()).mean() + np.log(1 - f.numpy()).mean())),
    ("01.value", lambda r, f: sum(math.log(p) for p in r) / len(r) + sum(math.log(1 - p) for p in f) / len(f)),
]

# 02.to_tensor

for words, f in {
    "without `permute`": lambda a: torch.from_numpy(a).float() / 127.5 - 1,
    "height and width exchanged": lambda a: torch.tensor(a.T, dtype=torch.float32) / 127.5 - 1,
    "`reshape` or `view`": lambda a: torch.from_numpy(a).view(a.shape[2], a.shape[0], a.shape[1]).float() / 127.5 - 1,
    "255 alone": lambda a: torch.from_numpy(a).permute(2, 0, 1).float().div(255),
    "127.5 alone": lambda a: torch.from_numpy(a).permute(2, 0, 1) / 127.5,
    "[-0.5, 0.5]": lambda a: torch.from_numpy(a).permute(2, 0, 1) / 255 - 0.5,
    "128 in place of 127.5": lambda a: (torch.from_numpy(a).permute(2, 0, 1).float() - 128) / 128,
    "float64": lambda a: torch.from_numpy((a / 127.5 - 1).transpose(2, 0, 1)),
    "never became a tensor": lambda a: (a / 127.5 - 1).transpose(2, 0, 1).astype("float32"),
    "batch axis": lambda a: torch.from_numpy(a).permute(2, 0, 1).float().unsqueeze(0) / 127.5 - 1,
    "own maximum": lambda a: torch.from_numpy(a / a.max() * 2 - 1).permute(2, 0, 1).float(),
    "minimum and maximum": lambda a: torch.from_numpy((a - a.min()) / np.ptp(a) * 2 - 1).permute(2, 0, 1).float(),
    "mean and deviation": lambda a: torch.from_numpy((a - a.mean()) / a.std()).permute(2, 0, 1).float(),
    "uint8": lambda a: torch.from_numpy((2 * a - 255) / 255).permute(2, 0, 1).float(),
    "whole numbers": lambda a: torch.from_numpy(a).permute(2, 0, 1) // 127 - 1,
    "blue, green, red": lambda a: torch.from_numpy(a[..., ::-1].copy()).permute(2, 0, 1).float() / 127.5 - 1,
    "colour axis was squeezed": lambda a: torch.from_numpy(a.transpose(2, 0, 1)).float().div(127.5).sub(1).squeeze(),
}.items():
    wrong("02.to_tensor", words)(f)


@wrong("02.to_tensor", "in place on the reader's own")
def _(array):
    array[array < 3] = 0
    array[:] = np.clip(array, 2, 255)
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 127.5 - 1


RIGHT += [
    ("02.to_tensor", lambda a: torch.from_numpy(a).permute(2, 0, 1).float() / 127.5 - 1),
    ("02.to_tensor", lambda a: torch.tensor(np.moveaxis(a, -1, 0) / 255.0 * 2 - 1, dtype=torch.float32)),
    ("02.to_tensor", lambda a: torch.from_numpy(a.astype(np.float32)).movedim(2, 0).div_(255).sub_(0.5).div_(0.5)),
]

# 03.init_weights


def init(conv=(0.0, 0.02), norm=(1.0, 0.02), layers=(nn.Conv2d, nn.ConvTranspose2d), bias=nn.init.zeros_):
    def f(module):
        if isinstance(module, layers):
            nn.init.normal_(module.weight, *conv)
        elif isinstance(module, nn.BatchNorm2d):
            if norm:
                nn.init.normal_(module.weight, *norm)
            bias(module.bias)

    return f


for words, f in {
    "N(0, 0.02) for batch norm": init(norm=(0.0, 0.02)),
    "batch norm's scale by": init(norm=None),
    "N(1, 0.02) for a convolution": init(conv=(1.0, 0.02)),
    "transposed convolution by": init(layers=nn.Conv2d),
    "a convolution by": init(layers=nn.ConvTranspose2d),
    "variance": init(conv=(0.0, 0.02**0.5)),
    "squared": init(conv=(0.0, 0.02**2)),
    "decimal point": init(conv=(0.0, 0.2)),
    "shift that was left": init(bias=lambda bias: bias),
    "a shift other than 0": init(bias=lambda bias: nn.init.normal_(bias, 0, 0.02)),
}.items():
    wrong("03.init_weights", words)(f)


@wrong("03.init_weights", "uniform draw between")
def _(m):
    if "Conv" in type(m).__name__:
        m.weight.data.uniform_(-0.02, 0.02)
    elif "BatchNorm" in type(m).__name__:
        m.weight.data.normal_(1.0, 0.02)
        m.bias.data.fill_(0)


@wrong("03.init_weights", "never written")
def _(m):
    if hasattr(m, "weight"):
        torch.normal(0.0, 0.02, m.weight.shape)


@wrong("03.init_weights", "Xavier")
def _(m):
    if "Conv" in type(m).__name__:
        nn.init.xavier_normal_(m.weight)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


@wrong("03.init_weights", "seed that is set inside")
def _(m):
    torch.manual_seed(0)
    init()(m)


@right("03.init_weights")
def _(m):
    name = m.__class__.__name__
    if name.find("Conv") != -1:
        m.weight.data.normal_(0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        m.weight.data.normal_(1.0, 0.02)
        m.bias.data.fill_(0)


@right("03.init_weights")
@torch.no_grad()
def _(m):
    match m:
        case nn.Conv2d() | nn.ConvTranspose2d():
            m.weight.copy_(0.02 * torch.randn_like(m.weight))
        case nn.BatchNorm2d():
            m.weight.copy_(1 + 0.02 * torch.randn_like(m.weight))
            m.bias.zero_()


@right("03.init_weights")
def _(m):
    if isinstance(m, nn.modules.conv._ConvNd):
        m.weight = nn.Parameter(torch.empty_like(m.weight).normal_(std=0.02))
    if isinstance(m, nn.modules.batchnorm._BatchNorm):
        m.weight = nn.Parameter(torch.empty_like(m.weight).normal_(1, 0.02))
        m.bias = nn.Parameter(torch.zeros_like(m.bias))


# 04.conv_transpose


def stamps(x, weight, stride, padding, put=None, far=None, near=None):
    (n, _, h, w), (_, o, k, _) = x.shape, weight.shape
    out = torch.zeros(n, o, (h - 1) * stride + k, (w - 1) * stride + k)
    for a in range(h):
        for b in range(w):
            value = (x[:, :, a, b, None, None, None] * weight).sum(1)
            if put:
                put(out, value, a * stride, b * stride, k)
            else:
                out[:, :, a * stride : a * stride + k, b * stride : b * stride + k] += value
    near = padding if near is None else near
    far = out.shape[2] - padding if far is None else far
    return out[:, :, near:far, near : far + out.shape[3] - out.shape[2]]


def over(out, value, a, b, k):
    out[:, :, a : a + k, b : b + k] = value


for words, f in {
    "flipped": lambda x, w, s, p: stamps(x, w.flip(-1, -2), s, p),
    "rows and columns are exchanged": lambda x, w, s, p: stamps(x, w.transpose(-1, -2), s, p),
    "(out, in, k, k)": lambda x, w, s, p: stamps(x, w.transpose(0, 1), s, p),
    "overwrite": lambda x, w, s, p: stamps(x, w, s, p, put=over),
    "not cut off": lambda x, w, s, p: stamps(x, w, s, 0),
    "one side only": lambda x, w, s, p: stamps(x, w, s, p, near=0),
    "top and the left": lambda x, w, s, p: stamps(x, w, s, 0, near=2 * p),
    "stride that is ignored": lambda x, w, s, p: stamps(x, w, 1, p),
    "PyTorch's own": lambda x, w, s, p: F.conv_transpose2d(x, w, stride=s, padding=p),
    "empty where padding is 0": lambda x, w, s, p: stamps(x, w, s, 0)[:, :, p:-p, p:-p],
    "ordinary convolution": lambda x, w, s, p: F.conv2d(x, w.transpose(0, 1), stride=s, padding=p),
    "average over the input": lambda x, w, s, p: stamps(x / x.shape[1], w, s, p),
}.items():
    wrong("04.conv_transpose", words)(f)


@right("04.conv_transpose")
def _(x, weight, stride, padding):
    return stamps(x, weight, stride, padding)


@right("04.conv_transpose")
def _(x, weight, stride, padding):
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, (h - 1) * stride + 1, (w - 1) * stride + 1)
    spread[:, :, ::stride, ::stride] = x
    k = weight.shape[-1]
    return F.conv2d(spread, weight.transpose(0, 1).flip(2, 3), padding=k - 1 - padding)


@right("04.conv_transpose")
def _(x, weight, stride, padding):
    (n, _, h, w), (_, o, k, _) = x.shape, weight.shape
    out = np.zeros((n, o, (h - 1) * stride + k - 2 * padding, (w - 1) * stride + k - 2 * padding), dtype=np.float32)
    x, weight = x.numpy(), weight.numpy()
    for row in range(out.shape[2]):
        for column in range(out.shape[3]):
            for i in range(h):
                for j in range(w):
                    u, v = row + padding - i * stride, column + padding - j * stride
                    if 0 <= u < k and 0 <= v < k:
                        out[:, :, row, column] += x[:, :, i, j] @ weight[:, :, u, v]
    return torch.from_numpy(out)


# 04.generator, 05.discriminator


def generator(
    act=lambda: nn.ReLU(True), end=nn.Tanh, bias=False, norm=nn.BatchNorm2d, kernel=4, first=(1, 0), skip=(), order=0,
    widths=(100, 512, 256, 128, 64, 3), view=True, last_norm=False,
):  # fmt: skip
    def make():
        layers = []
        for i in range(len(widths) - 1):
            stride, padding = first if i == 0 else (2, 1)
            layers.append(nn.ConvTranspose2d(widths[i], widths[i + 1], kernel, stride, padding, bias=bias))
            if i < len(widths) - 2:
                block = [] if i in skip else [norm(widths[i + 1])]
                layers += [act(), *block] if order else [*block, act()]
        layers += [norm(widths[-1])] if last_norm else []
        layers += [end()] if end else []
        start = [nn.Unflatten(1, (widths[0], 1, 1))] if view else []
        return nn.Sequential(*start, *layers)

    return make


for words, f in {
    "sigmoid in place of tanh": generator(end=nn.Sigmoid),
    "without tanh": generator(end=None),
    "LeakyReLU in place of ReLU": generator(act=lambda: nn.LeakyReLU(0.2)),
    "bias": generator(bias=True),
    "without batch norm": generator(skip=range(4)),
    "without batch norm in layer 3": generator(skip=(2,)),
    "ReLU before batch norm": generator(order=1),
    "batch norm where DCGAN has none, in the last": generator(last_norm=True),
    "numbers of channels": generator(widths=(100, 1024, 512, 256, 128, 3)),
    "4 convolutions": generator(widths=(100, 256, 128, 64, 3)),
    "two axes": generator(view=False),
    "stride": generator(first=(2, 1)),
    "kernel": generator(kernel=5),
    "momentum": generator(norm=lambda c: nn.BatchNorm2d(c, momentum=0.8)),
    "eps": generator(norm=lambda c: nn.BatchNorm2d(c, 0.8)),
    "instance norm": generator(norm=nn.InstanceNorm2d),
    "running statistics": generator(norm=lambda c: nn.BatchNorm2d(c, track_running_stats=False)),
    "dropout where DCGAN has none": generator(act=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.3))),
}.items():
    wrong("04.generator", words)(f)


@wrong("04.generator", "upsampling")
def _():
    layers = [nn.Unflatten(1, (100, 1, 1)), nn.ConvTranspose2d(100, 512, 4, bias=False), nn.BatchNorm2d(512), nn.ReLU()]
    for a, b in ((512, 256), (256, 128), (128, 64)):
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Upsample(scale_factor=2), nn.Conv2d(64, 3, 3, 1, 1, bias=False), nn.Tanh())


RIGHT.append(("04.generator", generator()))


@right("04.generator")
class _(nn.Module):
    def __init__(self):
        super().__init__()
        self.ct = nn.ModuleList()
        self.bn = nn.ModuleList()
        for a, b in ((100, 512), (512, 256), (256, 128), (128, 64)):
            self.ct.append(nn.ConvTranspose2d(a, b, 4, 1 if a == 100 else 2, 0 if a == 100 else 1, bias=False))
            self.bn.append(nn.BatchNorm2d(b))
        self.out = nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False)

    def forward(self, z):
        x = z[:, :, None, None]
        for ct, bn in zip(self.ct, self.bn, strict=True):
            x = F.relu(bn(ct(x)))
        return torch.tanh(self.out(x))


@right("04.generator")
class _(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = (100, 512, 256, 128, 64, 3)
        self.kernels = nn.ParameterList(torch.randn(a, b, 4, 4) * 0.02 for a, b in zip(sizes, sizes[1:], strict=False))
        self.scales = nn.ParameterList(torch.ones(b) for b in sizes[1:-1])
        self.shifts = nn.ParameterList(torch.zeros(b) for b in sizes[1:-1])
        for i, b in enumerate(sizes[1:-1]):
            self.register_buffer(f"mean{i}", torch.zeros(b))
            self.register_buffer(f"var{i}", torch.ones(b))

    def forward(self, z):
        x = z.reshape(len(z), 100, 1, 1)
        for i, kernel in enumerate(self.kernels):
            x = F.conv_transpose2d(x, kernel, stride=2 if i else 1, padding=1 if i else 0)
            if i < 4:
                mean, var = getattr(self, f"mean{i}"), getattr(self, f"var{i}")
                x = F.batch_norm(x, mean, var, self.scales[i], self.shifts[i], self.training).clamp(min=0)
        return x.tanh()


def discriminator(
    slope=0.2, act=None, bias=False, skip=(0,), order=0, end=(), flat=lambda: nn.Flatten(0), kernel=4,
    widths=(3, 64, 128, 256, 512, 1), stride=2, norm=nn.BatchNorm2d, last=(1, 0), extra=(),
):  # fmt: skip
    def make():
        layers = []
        for i in range(len(widths) - 2):
            layers.append(nn.Conv2d(widths[i], widths[i + 1], kernel, stride, 1, bias=bias))
            block, relu = [] if i in skip else [norm(widths[i + 1])], act() if act else nn.LeakyReLU(slope)
            layers += [relu, *block, *extra] if order else [*block, relu, *extra]
        layers.append(nn.Conv2d(widths[-2], 1, 4, *last, bias=bias))
        return nn.Sequential(*layers, *end, flat())

    return make


class Squeezed(nn.Module):
    def forward(self, x):
        return x.squeeze()


for words, f in {
    "sigmoid at the end": discriminator(end=[nn.Sigmoid()]),
    "batch norm where DCGAN has none, in layer 1": discriminator(skip=()),
    "without batch norm": discriminator(skip=range(4)),
    "without batch norm in layer 2": discriminator(skip=(0, 1)),
    "slope of 0.01": discriminator(slope=0.01),
    "ReLU in place of LeakyReLU": discriminator(act=nn.ReLU),
    "bias": discriminator(bias=True),
    "LeakyReLU before batch norm": discriminator(order=1),
    "axes of size 1 that are kept": discriminator(flat=nn.Identity),
    "`squeeze` without its dim": discriminator(flat=Squeezed),
    "slope of 0.02": discriminator(slope=0.02),
    "batch norm where DCGAN has none, in the last": discriminator(end=[nn.BatchNorm2d(1)]),
    "instance norm": discriminator(norm=lambda c: nn.InstanceNorm2d(c, affine=True)),
    "dropout": discriminator(extra=[nn.Dropout(0.25)]),
    "stride": discriminator(stride=1, extra=[nn.MaxPool2d(2)]),
    "channels": discriminator(widths=(3, 32, 64, 128, 256, 1)),
    "tanh": discriminator(end=[nn.Tanh()]),
}.items():
    wrong("05.discriminator", words)(f)

RIGHT.append(("05.discriminator", discriminator()))
RIGHT.append(("05.discriminator", discriminator(flat=lambda: nn.Sequential(nn.Flatten(1), nn.Flatten(0)))))


@right("05.discriminator")
class _(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.Conv2d(64, 128, 4, 2, 1, bias=False)
        self.conv3, self.conv4 = nn.Conv2d(128, 256, 4, 2, 1, bias=False), nn.Conv2d(256, 512, 4, 2, 1, bias=False)
        self.bn2, self.bn3, self.bn4 = nn.BatchNorm2d(128), nn.BatchNorm2d(256), nn.BatchNorm2d(512)
        self.head = nn.Conv2d(512, 1, 4, bias=False)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)
        x = F.leaky_relu(self.bn2(self.conv2(x)), 0.2)
        x = self.bn3(self.conv3(x))
        x = torch.where(x > 0, x, 0.2 * x)
        x = self.bn4(self.conv4(x))
        return self.head(torch.maximum(x, 0.2 * x)).view(-1)


# 06.d_loss, 06.g_loss


def bce(logits, label):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


for words, f in {
    "average of both halves": lambda r, f: (bce(r, 1.0) + bce(f, 0.0)) / 2,
    "real images alone": lambda r, f: bce(r, 1.0),
    "fakes alone": lambda r, f: bce(f, 0.0),
    "swapped labels": lambda r, f: bce(r, 0.0) + bce(f, 1.0),
    "sum over the batch": lambda r, f: F.softplus(-r).sum() + F.softplus(f).sum(),
    "one mean over both": lambda r, f: F.binary_cross_entropy_with_logits(
        torch.cat([r, f]), torch.cat([torch.ones_like(r), torch.zeros_like(f)])
    ),
    "sigmoid twice": lambda r, f: bce(torch.sigmoid(r), 1.0) + bce(torch.sigmoid(f), 0.0),
    "label 1 for the fakes": lambda r, f: bce(r, 1.0) + bce(f, 1.0),
    "overflows": lambda r, f: -(r.sigmoid().log().mean() + (1 - f.sigmoid()).log().mean()),
    "gives up far out": lambda r, f: (
        nn.BCELoss()(r.sigmoid(), torch.ones_like(r)) + nn.BCELoss()(f.sigmoid(), torch.zeros_like(f))
    ),
    "gives up far out ": lambda r, f: -((r.sigmoid() + 1e-8).log().mean() + (1 - f.sigmoid() + 1e-8).log().mean()),
    "V itself": lambda r, f: F.logsigmoid(r).mean() + F.logsigmoid(-f).mean(),
    "`.item()`": lambda r, f: bce(r, 1.0).item() + bce(f, 0.0).item(),
    "`detach`": lambda r, f: bce(r, 1.0) + bce(f.detach(), 0.0),
    "hinge": lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(),
    "0.9": lambda r, f: bce(r, 0.9) + bce(f, 0.0),
    "sigmoid is missing": lambda r, f: (
        F.binary_cross_entropy(r, torch.ones_like(r)) + F.binary_cross_entropy(f, torch.zeros_like(f))
    ),
}.items():
    wrong("06.d_loss", words.strip())(f)

for words, f in {
    "saturating": lambda f: -bce(f, 0.0),
    "label 0": lambda f: bce(f, 0.0),
    "without the minus": lambda f: F.logsigmoid(f).mean(),
    "sum over the batch": lambda f: F.softplus(-f).sum(),
    "sigmoid twice": lambda f: bce(f.sigmoid(), 1.0),
    "overflows": lambda f: -torch.log(torch.sigmoid(f)).mean(),
    "Wasserstein": lambda f: -f.mean(),
    "without a logarithm": lambda f: (1 - f.sigmoid()).mean(),
    "0.9": lambda f: bce(f, 0.9),
    "`.item()`": lambda f: bce(f.detach(), 1.0),
}.items():
    wrong("06.g_loss", words)(f)

RIGHT += [
    ("06.d_loss", lambda r, f: bce(r, 1.0) + bce(f, 0.0)),
    ("06.d_loss", lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean()),
    ("06.d_loss", lambda r, f: -(F.logsigmoid(r).mean() + F.logsigmoid(-f).mean())),
    ("06.g_loss", lambda f: bce(f, 1.0)),
    ("06.g_loss", lambda f: F.softplus(-f).mean()),
    ("06.g_loss", lambda f: torch.logaddexp(torch.zeros_like(f), -f).mean()),
]

# 07.d_step, 07.g_step, 07.train_step

D_STEP = """\
def answer(G, D, opt, real, z):
    opt.zero_grad()
    fake = G(z).detach()
    loss = bce(D(real), 1.0) + bce(D(fake), 0.0)
    loss.backward()
    opt.step()
"""
G_STEP = """\
def answer(G, D, opt, z):
    opt.zero_grad()
    fake = G(z)
    loss = bce(D(fake), 1.0)
    loss.backward()
    opt.step()
"""
TRAIN_STEP = """\
def answer(G, D, g_opt, d_opt, real, z):
    fake = G(z)
    d_opt.zero_grad()
    d_loss = bce(D(real), 1.0) + bce(D(fake.detach()), 0.0)
    d_loss.backward()
    d_opt.step()
    g_opt.zero_grad()
    g_loss = bce(D(fake), 1.0)
    g_loss.backward()
    g_opt.step()
"""


def written(source: str, *changes: tuple[str, str]) -> Callable[..., None]:
    """The step of that source, with some of its lines changed."""
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    namespace = {"bce": bce, "torch": torch, "F": F}
    exec(source, namespace)
    return namespace["answer"]


for words, *changes in [
    ("without `zero_grad`", ("opt.zero_grad()", "pass")),
    ("without `zero_grad`", ("opt.zero_grad()", "G.zero_grad()")),
    ("without `zero_grad`", ("opt.zero_grad()", "pass"), ("opt.step()", "opt.step(); opt.zero_grad()")),
    ("without `detach`", (".detach()", "")),
    ("evaluation mode", ("opt.zero_grad()", "D.eval(); opt.zero_grad()"), ("opt.step()", "opt.step(); D.train()")),
    ("evaluation mode", ("G(z).detach()", "G.eval()(z).detach()")),
    ("leaves a network in evaluation", ("opt.step()", "opt.step(); G.eval()")),
    ("never shows real", ("bce(D(real), 1.0) + ", "")),
    ("never shows the fakes", (" + bce(D(fake), 0.0)", "")),
    ("with their logits detached", ("bce(D(fake), 0.0)", "bce(D(fake).detach(), 0.0)")),
    ("label 0 for the real", ("1.0", "0.0 "), ("0.0)\n", "1.0)\n")),
    ("label 1 for the fakes", ("0.0", "1.0")),
    ("label 0.9", ("1.0", "0.9")),
    ("half of the loss", ("loss.backward()", "(loss / 2).backward()")),
    ("wrong sign", ("loss.backward()", "(-loss).backward()")),
    ("sigmoid twice", ("D(real)", "D(real).sigmoid()"), ("D(fake)", "D(fake).sigmoid()")),
    ("Wasserstein", ("bce(D(real), 1.0) + bce(D(fake), 0.0)", "D(fake).mean() - D(real).mean()")),
    ("between `backward` and the optimizer", ("loss.backward()", "loss.backward(); opt.zero_grad()")),
    ("between the two halves", (
        "loss = bce(D(real), 1.0) + bce", "bce(D(real), 1.0).backward(); opt.zero_grad(); loss = bce")),
    ("updated 2 times", (
        "loss = bce(D(real), 1.0) + bce", "bce(D(real), 1.0).backward(); opt.step(); opt.zero_grad(); loss = bce")),
    ("never calls `step`", ("opt.step()", "pass")),
    ("without `backward`", ("loss.backward()", "pass")),
    ("before `backward`", ("loss.backward()\n    opt.step()", "opt.step()\n    loss.backward()")),
    ("draws its own z", ("G(z)", "G(torch.randn_like(z))")),
    ("changed on the way", ("D(real)", "D(real + 0.1 * torch.randn_like(real))")),
    ("clipping", ("opt.step()", "opt.step(); [p.data.clamp_(-0.1, 0.1) for p in D.parameters()]")),
    ("also updates the generator", (
        ".detach()", ""), ("opt.step()", "opt.step(); torch.optim.SGD(G.parameters(), 0.1).step()")),
    ("no way back", ("    loss = ", "    with torch.no_grad(): loss = ")),
    ("mixed in one batch", (
        "loss = bce(D(real), 1.0) + bce(D(fake), 0.0)",
        "r, f = D(torch.cat([real, fake])).chunk(2); loss = bce(r, 1.0) + bce(f, 0.0)")),
]:  # fmt: skip
    wrong("07.d_step", words)(written(D_STEP, *changes))

for words, *changes in [
    ("without `zero_grad`", ("opt.zero_grad()", "pass")),
    ("saturating", ("bce(D(fake), 1.0)", "-bce(D(fake), 0.0)")),
    ("label 0", ("1.0", "0.0")),
    ("`detach` or `no_grad`", ("G(z)", "G(z).detach()")),
    ("evaluation mode", ("opt.zero_grad()", "D.eval(); opt.zero_grad()"), ("opt.step()", "opt.step(); D.train()")),
    ("draws its own z", ("G(z)", "G(torch.randn(z.shape))")),
    ("also updates the discriminator", (
        "opt.step()", "opt.step(); torch.optim.SGD(D.parameters(), 0.1).step()")),
    ("never frees", ("opt.zero_grad()", "D.requires_grad_(False); opt.zero_grad()")),
    ("sum over the batch", ("bce(D(fake), 1.0)", "F.softplus(-D(fake)).sum()")),
    ("sigmoid twice", ("D(fake)", "D(fake).sigmoid()")),
    ("between `backward` and the optimizer", ("loss.backward()", "loss.backward(); G.zero_grad()")),
    ("never calls `step`", ("opt.step()", "pass")),
]:  # fmt: skip
    wrong("07.g_step", words)(written(G_STEP, *changes))

for words, *changes in [
    ("without `detach`", (".detach()", "")),
    ("without `detach`", (".detach()", ""), ("d_loss.backward()", "d_loss.backward(retain_graph=True)")),
    ("without `zero_grad`", ("d_opt.zero_grad()", "pass")),
    ("without `zero_grad`", ("g_opt.zero_grad()", "pass")),
    ("`detach` or `no_grad` on the fakes in the generator", ("fake = G(z)", "fake = G(z).detach()")),
    ("exchanged optimizers", ("d_opt.step()", "g_opt.step( )"), ("g_opt.step()", "d_opt.step()")),
    ("generator never steps", ("g_opt.step()", "pass")),
    ("discriminator never steps", ("d_opt.step()", "pass")),
    ("saturating", ("bce(D(fake), 1.0)", "torch.log(1 - D(fake).sigmoid()).mean()")),
    ("draws its own z", ("D(fake)", "D(G(torch.randn_like(z)))")),
    ("more than once", ("    g_opt.zero_grad()", "    d_opt.step()\n    g_opt.zero_grad()")),
    ("more than once", ("    g_opt.step()", "    g_opt.step()\n    g_opt.step()")),
    ("label 0 for the fakes in the generator", ("D(fake), 1.0", "D(fake), 0.0")),
    ("evaluation mode", ("    g_opt.zero_grad()", "    D.eval()\n    g_opt.zero_grad()")),
    ("before the discriminator's update", (
        "    d_opt.zero_grad()", "    g_loss = bce(D(fake), 1.0)\n    d_opt.zero_grad()"),
        ("    d_opt.step()\n", ""),
        ("    g_loss = bce(D(fake), 1.0)\n    g_loss.backward()", "    g_loss.backward()\n    d_opt.step()")),
]:  # fmt: skip
    wrong("07.train_step", words)(written(TRAIN_STEP, *changes))


@wrong("07.train_step", "generator's turn before")
def _(G, D, g_opt, d_opt, real, z):
    fake = G(z)
    g_opt.zero_grad()
    bce(D(fake), 1.0).backward()
    g_opt.step()
    d_opt.zero_grad()
    (bce(D(real), 1.0) + bce(D(fake.detach()), 0.0)).backward()
    d_opt.step()


RIGHT += [("07.d_step", written(D_STEP)), ("07.g_step", written(G_STEP)), ("07.train_step", written(TRAIN_STEP))]


@right("07.d_step")
def _(G, D, opt, real, z):
    for p in D.parameters():
        p.grad = None
    bce(D(real), 1.0).backward()
    with torch.no_grad():
        fake = G(z)
    bce(D(fake), 0.0).backward()
    opt.step()
    with torch.no_grad():
        return D(real).sigmoid().mean()


@right("07.d_step")
def _(G, D, opt, real, z):
    fake = G(z).detach()
    logits_fake, logits_real = D(fake), D(real)
    grads = torch.autograd.grad(F.softplus(logits_fake).mean() + F.softplus(-logits_real).mean(), list(D.parameters()))
    for p, g in zip(D.parameters(), grads, strict=True):
        p.grad = g
    opt.step()


@right("07.d_step")
def _(G, D, opt, real, z):
    def closure():
        opt.zero_grad()
        loss = bce(D(real), 1.0) + bce(D(G(z).detach()), 0.0)
        loss.backward()
        return loss

    opt.step(closure)


@right("07.g_step")
def _(G, D, opt, z):
    D.requires_grad_(False)
    opt.zero_grad(set_to_none=False)
    (-F.logsigmoid(D(G(z)))).mean().backward()
    opt.step()
    D.requires_grad_(True)


@right("07.g_step")
def _(G, D, opt, z):
    G.zero_grad()
    D.zero_grad()
    p = torch.sigmoid(D(G(z)))
    nn.BCELoss()(p, torch.ones_like(p)).backward()
    opt.step()
    D.zero_grad()


@right("07.train_step")
def _(G, D, g_opt, d_opt, real, z):
    written(D_STEP)(G, D, d_opt, real, z)
    D.requires_grad_(False)
    written(G_STEP)(G, D, g_opt, z)
    D.requires_grad_(True)


@right("07.train_step")
def _(G, D, g_opt, d_opt, real, z):
    g_opt.zero_grad()
    d_opt.zero_grad()
    fake = G(z)
    F.softplus(-D(real)).mean().backward()
    F.softplus(D(fake.detach())).mean().backward()
    d_opt.step()
    g_loss = F.softplus(-D(fake)).mean()
    g_loss.backward()
    g_opt.step()
    return g_loss.item()


# 08.fid, 08.slerp, 08.nearest


def moments(x):
    x = x.double().numpy()
    return x.mean(0), np.cov(x, rowvar=False)


def score(f):
    def answer(real, fake):
        (m1, c1), (m2, c2) = moments(real), moments(fake)
        return f(m1 - m2, c1, c2)

    return answer


def root(m):
    return np.real(scipy.linalg.sqrtm(m))


for words, f in {
    "means alone": score(lambda d, a, b: d @ d),
    "covariances alone": score(lambda d, a, b: np.trace(a + b - 2 * root(a @ b))),
    "not squared": score(lambda d, a, b: np.linalg.norm(d) + np.trace(a + b - 2 * root(a @ b))),
    "without its root": score(lambda d, a, b: d @ d + np.trace(a + b - 2 * a @ b)),
    "variances alone": score(lambda d, a, b: d @ d + ((np.sqrt(np.diag(a)) - np.sqrt(np.diag(b))) ** 2).sum()),
    "factor of 2": score(lambda d, a, b: d @ d + np.trace(a + b - root(a @ b))),
    "root of the whole": score(lambda d, a, b: np.sqrt(d @ d + np.trace(a + b - 2 * root(a @ b)))),
    "number by number": score(lambda d, a, b: d @ d + ((a - b) ** 2).sum()),
    "product of two roots": score(lambda d, a, b: d @ d + np.trace(a + b - 2 * root(a) @ root(b))),
    "root of each number": score(lambda d, a, b: d @ d + np.trace(a + b - 2 * np.sqrt(np.maximum(a @ b, 0)))),
}.items():
    wrong("08.fid", words)(f)


@wrong("08.fid", "transpose first")
def _(real, fake):
    m1, m2 = real.double().mean(0), fake.double().mean(0)
    c1, c2 = torch.cov(real.double()).numpy(), torch.cov(fake.double()).numpy()
    values = np.linalg.eigvals(c1 @ c2)
    return (m1 - m2).square().sum() + np.trace(c1) + np.trace(c2) - 2 * np.sqrt(np.abs(values.real)).sum()


@right("08.fid")
def _(real, fake):
    (m1, c1), (m2, c2) = moments(real), moments(fake)
    return float(((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * root(c1 @ c2)))


@right("08.fid")
def _(real, fake):
    m1, m2, c1, c2 = real.mean(0), fake.mean(0), real.T.cov(correction=0), fake.T.cov(correction=0)
    return (m1 - m2).square().sum() + c1.trace() + c2.trace() - 2 * torch.linalg.eigvals(c1 @ c2).sqrt().real.sum()


@right("08.fid")
def _(real, fake):
    a, b = real.double() - real.double().mean(0), fake.double() - fake.double().mean(0)
    ca, cb = a.T @ a / (len(a) - 1), b.T @ b / (len(b) - 1)
    e, v = torch.linalg.eigh(ca)
    half = v @ torch.diag(e.clamp(min=0).sqrt()) @ v.T
    cross = torch.linalg.eigvalsh(half @ cb @ half).clamp(min=0).sqrt().sum()
    return torch.dist(real.double().mean(0), fake.double().mean(0)) ** 2 + ca.trace() + cb.trace() - 2 * cross


def angle(a, b):
    return torch.acos(torch.clamp(F.cosine_similarity(a, b, dim=0), -1, 1))


for words, f in {
    "straight line (lerp)": lambda a, b, t: (1 - t) * a + t * b,
    "from b to a": lambda a, b, t: (
        (torch.sin((1 - t) * angle(a, b)) * b + torch.sin(t * angle(a, b)) * a) / angle(a, b).sin()
    ),
    "0 divided by 0": lambda a, b, t: (
        (torch.sin((1 - t) * angle(a, b)) * a + torch.sin(t * angle(a, b)) * b) / torch.sin(angle(a, b))
    ),
    "not normalised": lambda a, b, t: (
        (
            torch.sin((1 - t) * torch.acos((a @ b).clamp(-1, 1))) * a
            + torch.sin(t * torch.acos((a @ b).clamp(-1, 1))) * b
        )
        / torch.sin(torch.acos((a @ b).clamp(-1, 1)))
    ),
    "length 1": lambda a, b, t: F.normalize((1 - t) * a + t * b, dim=0),
    "sin(w) that is missing": lambda a, b, t: torch.sin((1 - t) * angle(a, b)) * a + torch.sin(t * angle(a, b)) * b,
    "degrees": lambda a, b, t: (
        (torch.sin((1 - t) * torch.rad2deg(angle(a, b))) * a + torch.sin(t * torch.rad2deg(angle(a, b))) * b)
        / torch.sin(torch.rad2deg(angle(a, b)))
    ),
}.items():
    wrong("08.slerp", words)(f)


@right("08.slerp")
def _(a, b, t):
    w = angle(a, b)
    if w < 1e-3:
        return (1 - t) * a + t * b
    return torch.sin((1 - t) * w) / torch.sin(w) * a + torch.sin(t * w) / torch.sin(w) * b


@right("08.slerp")
def _(a, b, t):
    w = angle(a, b)
    safe = torch.where(w < 1e-3, torch.ones_like(w), w)
    return torch.where(
        w < 1e-3, torch.lerp(a, b, t), (torch.sin((1 - t) * safe) * a + torch.sin(t * safe) * b) / safe.sin()
    )


@right("08.slerp")
def _(a, b, t):
    x, y = a.numpy().astype(float), b.numpy().astype(float)
    w = np.arccos(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1, 1))
    if w < 1e-5:
        return a
    return torch.tensor((np.sin((1 - t) * w) * x + np.sin(t * w) * y) / np.sin(w), dtype=torch.float32)


def table(a, b):
    return torch.cdist(a.flatten(1), b.flatten(1))


for words, f in {
    "farthest": lambda a, b: table(a, b).argmax(1),
    "axes are exchanged": lambda a, b: table(a, b).argmin(0),
    "absolute": lambda a, b: torch.cdist(a.flatten(1), b.flatten(1), p=1).argmin(1),
    "mean brightness": lambda a, b: (a.mean((1, 2, 3))[:, None] - b.mean((1, 2, 3))[None]).abs().argmin(1),
    "the distances": lambda a, b: table(a, b).min(1).values,
    "angles": lambda a, b: (F.normalize(a.flatten(1), dim=1) @ F.normalize(b.flatten(1), dim=1).T).argmax(1),
    "second nearest": lambda a, b: table(a, b).topk(2, largest=False).indices[:, 1],
    "needs its dim": lambda a, b: table(a, b).argmin(),
    "cancel": lambda a, b: torch.stack([(x - b).sum((1, 2, 3)).argmin() for x in a]),
}.items():
    wrong("08.nearest", words)(f)

RIGHT += [
    ("08.nearest", lambda a, b: table(a, b).argmin(1)),
    ("08.nearest", lambda a, b: torch.stack([((b - x) ** 2).sum((1, 2, 3)).argmin() for x in a])),
    ("08.nearest", lambda a, b: [min(range(len(b)), key=lambda j: torch.dist(x, b[j])) for x in a]),
]

# 10.relativistic, 10.r1

for words, f in {
    "exchanged": lambda r, f: F.softplus(r - f).mean(),
    "sum over the batch": lambda r, f: F.softplus(f - r).sum(),
    "paired with every": lambda r, f: F.softplus(f.view(1, -1) - r.view(-1, 1)).mean(),
    "mean difference": lambda r, f: F.softplus(-(r - f).mean()),
    "ordinary loss of D, which": lambda r, f: bce(r, 1.0) + bce(f, 0.0),
    "halved": lambda r, f: (bce(r, 1.0) + bce(f, 0.0)) / 2,
    "relativistic average": lambda r, f: bce(r - f.mean(), 1.0) + bce(f - r.mean(), 0.0),
    "without its minus": lambda r, f: F.logsigmoid(r - f).mean(),
    "Wasserstein": lambda r, f: f.mean() - r.mean(),
    "hinge": lambda r, f: F.relu(1 - r + f).mean(),
    "probabilities without": lambda r, f: 1 - torch.sigmoid(r - f).mean(),
    "comes after the difference": lambda r, f: -torch.log(torch.sigmoid(r.sigmoid() - f.sigmoid())).mean(),
    "overflows": lambda r, f: -torch.log(torch.sigmoid(r - f)).mean(),
    "overflows ": lambda r, f: torch.log(1 + torch.exp(f - r)).mean(),
    "`.item()`": lambda r, f: F.softplus(f - r).mean().item(),
    "`detach`": lambda r, f: F.softplus(f.detach() - r).mean(),
    "least squares": lambda r, f: ((r - f - 1) ** 2).mean(),
}.items():
    wrong("10.relativistic", words.strip())(f)

RIGHT += [
    ("10.relativistic", lambda r, f: F.softplus(f - r).mean()),
    ("10.relativistic", lambda r, f: bce(r - f, 1.0)),
    ("10.relativistic", lambda r, f: -F.logsigmoid(r - f).mean()),
    ("10.relativistic", lambda r, f: sum(torch.logaddexp(0 * a, b - a) for a, b in zip(r, f, strict=True)) / len(r)),
]


def slope(logits, images, **options):
    return torch.autograd.grad(logits.sum(), images, create_graph=True, **options)[0]


for words, f in {
    "not squared": lambda d, x, g: g / 2 * slope(d, x).flatten(1).norm(dim=1).mean(),
    "sum over the batch": lambda d, x, g: g / 2 * slope(d, x).square().sum(),
    "without the factor 1/2": lambda d, x, g: g * slope(d, x).square().sum((1, 2, 3)).mean(),
    "without gamma": lambda d, x, g: 0.5 * slope(d, x).square().sum((1, 2, 3)).mean(),
    "gamma squared": lambda d, x, g: g * g / 2 * slope(d, x).square().sum((1, 2, 3)).mean(),
    "WGAN-GP": lambda d, x, g: g * ((slope(d, x).flatten(1).norm(dim=1) - 1) ** 2).mean(),
    "mean length": lambda d, x, g: g / 2 * slope(d, x).flatten(1).norm(dim=1).mean() ** 2,
    "mean over the pixels": lambda d, x, g: g / 2 * slope(d, x).pow(2).mean(),
    "logits' mean": lambda d, x, g: (
        g / 2 * torch.autograd.grad(d.mean(), x, create_graph=True)[0].pow(2).sum((1, 2, 3)).mean()
    ),
    "absolute": lambda d, x, g: g / 2 * slope(d, x).abs().sum((1, 2, 3)).mean(),
    "squared sum": lambda d, x, g: g / 2 * (slope(d, x).sum((1, 2, 3)) ** 2).mean(),
    "mean gradient": lambda d, x, g: g / 2 * slope(d, x).mean(0).pow(2).sum(),
    "logits squared": lambda d, x, g: g / 2 * d.square().mean(),
    "loss for real images": lambda d, x, g: g / 2 * slope(F.softplus(-d), x).square().sum((1, 2, 3)).mean(),
    "D's probability": lambda d, x, g: g / 2 * slope(d.sigmoid(), x).square().sum((1, 2, 3)).mean(),
    "minus": lambda d, x, g: -g / 2 * slope(d, x).square().sum((1, 2, 3)).mean(),
    "create_graph": lambda d, x, g: (
        g / 2 * torch.autograd.grad(d.sum(), x, retain_graph=True)[0].square().sum((1, 2, 3)).mean()
    ),
    "create_graph ": lambda d, x, g: g / 2 * slope(d, x).detach().square().sum((1, 2, 3)).mean(),
    "partly cut off": lambda d, x, g: g / 2 * (slope(d, x) * slope(d, x).detach()).sum((1, 2, 3)).mean(),
}.items():
    wrong("10.r1", words.strip())(f)


@right("10.r1")
def _(logits, images, gamma):
    gradient = torch.autograd.grad(logits, images, torch.ones_like(logits), create_graph=True)[0]
    return gamma * 0.5 * gradient.flatten(1).norm(dim=1).square().mean()


@right("10.r1")
def _(logits, images, gamma):
    squares = [torch.autograd.grad(d, images, create_graph=True)[0].pow(2).sum() for d in logits]
    return gamma / 2 * sum(squares) / len(squares)


RIGHT.append(("10.r1", lambda d, x, g: g / 2 * slope(d, x).square().sum((1, 2, 3)).mean()))
