"""Exercises whose answer is a network, or gives one its starting weights.

The reader's network gets the same weights as the library's, by order and shape, and has to give the same pictures or
logits, in training mode and in evaluation mode. Where it doesn't, the operations that torch ran say why.

Used by notebooks 03, 04 and 05.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dcgan_lib.checks.compare import EMPTY, brief, close, draws
from dcgan_lib.checks.report import Exercise, Fault, call
from dcgan_lib.networks import Discriminator, Generator

PLAIN = {"relu", "tanh", "sigmoid", "hardtanh", "softmax", "elu", "gelu", "silu", "softplus", "dropout", "bernoulli"}
POOLS = {"max_pool2d_with_indices": "max pooling", "avg_pool2d": "average pooling", "mean": "an average over pixels"}

FAILED = ("an error", None)


class Operations(TorchDispatchMode):
    """Notes the layers that torch runs, each as (kind, details)."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name.removeprefix("aten::").removesuffix("_")
        if name == "convolution":
            _, weight, bias, stride, padding, _, transposed = args[:7]
            ends = tuple(weight.shape[:2]) if transposed else tuple(weight.shape[1::-1])
            kind = "a transposed convolution" if transposed else "a convolution"
            self.seen.append((kind, (ends, weight.shape[2], stride[0], padding[0], bias is not None)))
        elif "batch_norm" in name and "backward" not in name:
            folded = args[0].shape[0] == 1  # instance norm folds the batch into the channels
            norm = "instance norm" if folded else "batch norm"
            self.seen.append((norm, (args[1] is not None, args[3] is not None, *args[-2:])))
        elif name == "leaky_relu":
            self.seen.append(("LeakyReLU", round(args[1], 4) if len(args) > 1 else 0.01))
        elif name in PLAIN:
            self.seen.append((name.replace("bernoulli", "dropout").replace("relu", "ReLU"), None))
        elif name in ("native_group_norm", "native_layer_norm"):
            self.seen.append((name.removeprefix("native_").replace("_", " "), None))
        elif name in POOLS or name.startswith("upsample"):
            self.seen.append((POOLS.get(name, "upsampling"), None))
        elif name in ("addmm", "mm"):
            self.seen.append(("a dense layer", None))
        return function(*args, **(kwargs or {}))


def operations(network: Callable[[Tensor], Tensor], x: Tensor) -> list[tuple[str, Any]]:
    """What torch runs for these inputs, up to an error if there is one."""
    with Operations() as noted, torch.no_grad():
        try:
            network(x)
        except Exception:  # `call` will show what the reader's network raises
            noted.seen.append(FAILED)
    return noted.seen


class Difference(NamedTuple):
    """Where two networks part, and the name of that."""

    expected: str
    came: str
    name: str


def difference(expected: list[tuple[str, Any]], came: list[tuple[str, Any]]) -> Difference:
    """The first operation in which a network differs from the right one; came != expected."""
    kinds, found = [kind for kind, _ in expected], [kind for kind, _ in came]
    ends = [("nothing more", None)]
    i = next(i for i, (a, b) in enumerate(zip(expected + ends, came + ends, strict=False)) if a != b)
    (wanted, details), (now, now_details) = (expected + ends)[i], (came + ends)[i]
    place, rest, later = _place(kinds, i), kinds[i + 1 :], found[i + 1 :]
    layers = [sum("convolution" in kind for kind in names) for names in (kinds, found)]
    if layers[0] != layers[1] and came[-1:] != [FAILED]:
        name = f"a network of {layers[1]} convolutions, where there are {layers[0]}"
    elif now == FAILED[0]:
        name = ""
    elif wanted == now:
        name = f"{_detail_fault(wanted, details, now_details)}, {place}"
    elif now == "sigmoid" and i == len(expected):
        name = "a sigmoid at the end: the loss with logits brings its own, and twice is too much"
    elif rest[:1] == [now] and later[:1] == [wanted]:
        name = f"{now} before {wanted}, where it comes after it"
    elif wanted not in found and (found[i:] == rest or now == (rest + ["nothing more"])[0]):
        name = f"a network without {wanted}"
    elif found[i:] == rest:
        name = f"a network without {wanted} {place}"
    elif later[:1] == [wanted] or wanted == "nothing more":
        name = f"{now} where DCGAN has none, {place}"
    else:
        name = f"{now} in place of {wanted}, {place}"
    return Difference(f"{place}: {wanted}{_words(wanted, details)}", f"{place}: {now}{_words(now, now_details)}", name)


def _place(kinds: list[str], i: int) -> str:
    """Where the i-th operation is, in words."""
    layers = ["convolution" in kind for kind in kinds]
    number = max(sum(layers[: i + 1]), 1)
    return "in the last layer" if number == sum(layers) else f"in layer {number}"


def _words(kind: str, details: Any) -> str:
    if "convolution" in kind:
        (inputs, outputs), kernel, stride, padding, bias = details
        words = f" {inputs} -> {outputs}, kernel {kernel}, stride {stride}, padding {padding}"
        return words + ", with a bias" * bias
    return f" with slope {details}" if kind == "LeakyReLU" else ""


def _detail_fault(kind: str, wanted: Any, came: Any) -> str:
    """The name of a fault in the details of the right kind of layer."""
    if kind == "LeakyReLU":
        default = ": PyTorch's default is 0.01" if came == 0.01 else ""
        return f"a slope of {came}, where the paper has {wanted} (section 4){default}"
    if kind == "batch norm":
        names = "another `affine`", "other running statistics", "another momentum", "another eps"
        other = next(name for name, a, b in zip(names, wanted, came, strict=True) if a != b)
        return f"batch norm with {other} than PyTorch's default"
    names = ["channels", "kernel", "stride", "padding", "bias"]
    i = next((i for i in range(5) if wanted[i] != came[i]), 0)
    if i == 4:
        return "a convolution with a bias, where DCGAN has none"
    return f"another {names[i]}" if i else "other numbers of channels"


def transplant(own: nn.Module, reference: nn.Module) -> bool:
    """Give the reader's parameters the reference's values, by shape and order; whether both have the same shapes."""
    theirs, wanted = (sorted(network.named_parameters(), key=_shape_and_role) for network in (own, reference))
    if [p.shape for _, p in theirs] != [p.shape for _, p in wanted]:
        return False
    with torch.no_grad():
        for (_, mine), (_, value) in zip(theirs, wanted, strict=True):
            mine.copy_(value)
    return True


def _shape_and_role(named: tuple[str, nn.Parameter]) -> tuple[tuple[int, ...], bool]:
    """A key that leaves parameters of one shape in their order, but batch norm's scales before its shifts."""
    name, weight = named
    return tuple(weight.shape), any(word in name for word in ("bias", "beta", "shift"))


def judge_network(answer: Any, reference: nn.Module, x: Tensor, inputs: str) -> None:
    """Compare a network with the library's, whose weights are made large enough to matter."""
    own = answer if answer is None or isinstance(answer, nn.Module) else call("making the network", answer)
    if own is None or own is Ellipsis:
        raise Fault("making the network", "a network", EMPTY)
    if not isinstance(own, nn.Module):
        raise Fault("making the network", "an `nn.Module`", f"a {type(own).__name__}")
    with torch.no_grad():
        for name, weight in reference.named_parameters():
            noise = draws(*weight.shape, seed=len(name) + weight.numel())
            weight.copy_(0.3 * noise + ("weight" in name) if weight.ndim == 1 else noise / weight[0].numel() ** 0.5)
    if not own.training:
        raise Fault("the network's mode", "training", "evaluation", "a network that is made in evaluation mode")
    reference.train()
    fresh = copy.deepcopy(own), copy.deepcopy(reference)  # batch norm has seen nothing yet
    right, came = operations(reference, x), operations(own, x.clone())
    differs = difference(right, came) if right != came else Difference("", "", "")
    expected = reference(x)
    try:
        result = call(inputs, own, x.clone())
        alone = call("a batch of one", own, x[:1].clone())
    except Fault as fault:
        fault.name = fault.name or differs.name
        raise
    if not isinstance(result, Tensor) or result.shape != expected.shape:
        if result is None or result is Ellipsis:
            raise Fault(inputs, "a tensor", EMPTY)
        if not isinstance(result, Tensor):
            raise Fault(inputs, "a tensor", f"a {type(result).__name__}", differs.name)
        kept = "axes of size 1 that are kept: flatten what the last layer gives"
        name = differs.name or (kept if result.numel() == expected.numel() else "")
        raise Fault(inputs, f"shape {tuple(expected.shape)}", f"shape {tuple(result.shape)}", name)
    if not result.requires_grad:
        name = "a network without gradients: `no_grad` or `detach` in its forward pass, or layers in a plain list"
        raise Fault(inputs, "a result with a gradient", "one without", name)
    if alone.shape != expected[:1].shape:
        name = "`squeeze` without its dim: of a batch of one it takes the batch's axis, too"
        raise Fault("a batch of one", f"shape {tuple(expected[:1].shape)}", f"shape {tuple(alone.shape)}", name)
    own, reference = fresh
    if not transplant(own, reference):
        expected, counts = (sum(p.numel() for p in network.parameters()) for network in (reference, own))
        if right == came:
            name = "layers in a plain list, whose weights nobody finds: use `nn.Sequential` or `nn.ModuleList`"
            raise Fault("the weights", f"{expected:,} numbers", f"{counts:,} numbers", name)
        words = differs.expected or f"{expected:,} numbers", differs.came or f"{counts:,} numbers"
        raise Fault("the shapes of the weights", *words, differs.name)
    for mode in ("training", "evaluation"):
        own.train(mode == "training"), reference.train(mode == "training")
        with torch.no_grad():
            theirs, ours = call("the same weights", own, x.clone()), reference(x)
        if not close(theirs, ours):
            differs = differs if differs.name else Difference("", "", _result_fault(own, x, theirs, ours))
            words = (differs.expected, differs.came) if differs.expected else (brief(ours), brief(theirs))
            raise Fault(f"the same weights in {mode} mode", *words, differs.name)


def _result_fault(own: nn.Module, x: Tensor, theirs: Tensor, ours: Tensor) -> str:
    """What other results from the same operations come from."""
    if close(theirs, (ours + 1) / 2):
        return "pictures in [0, 1], where tanh gives [-1, 1]"
    if not close(theirs, own(x.clone())):
        return "a network that is random: noise on its way"
    return ""


def judge_generator(answer: Any) -> None:
    judge_network(answer, Generator(100, 64, 3, 64), draws(3, 100), "z of shape (3, 100)")


def judge_discriminator(answer: Any) -> None:
    judge_network(answer, Discriminator(64, 3, 64), draws(3, 3, 64, 64).clamp(-1, 1), "images of shape (3, 3, 64, 64)")


# 03.init_weights


def judge_init(answer: Any) -> None:
    """Apply it to layers that begin with numbers far from those that are wanted."""
    network = nn.Sequential(
        nn.Conv2d(16, 64, 4, bias=False), nn.BatchNorm2d(4096), nn.ReLU(), nn.ConvTranspose2d(64, 16, 4, bias=False),
        nn.Sequential(nn.Conv2d(16, 64, 4, bias=False), nn.LeakyReLU(0.2)), nn.Tanh(),
    )  # fmt: skip
    first, norm, _, transposed, inner, _ = network
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(draws(*weight.shape) + 3)
        norm.running_mean.fill_(5)
    before = [weight.clone() for weight in network.parameters()]
    call("`network.apply(f)`", network.apply, answer)
    unchanged = [torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    if all(unchanged):
        name = "nothing yet, or numbers that were drawn but never written: use `nn.init.normal_(module.weight, ...)`"
        raise Fault("the weights afterwards", "new numbers", "the old ones", name)
    _judge_draw("a convolution", first.weight, before, 0.0)
    _judge_draw("a transposed convolution", transposed.weight, before, 0.0)
    _judge_draw("a convolution inside a block", inner[0].weight, before, 0.0)
    if not all(p.requires_grad for p in network.parameters()):
        name = "new parameters that need no gradient: they would never learn"
        raise Fault("the weights", "trainable", "frozen ones", name)
    if torch.equal(first.weight, inner[0].weight):
        name = "a seed that is set inside the function: every layer gets the same draw"
        raise Fault("two convolutions of the same shape", "different numbers", "the same numbers", name)
    _judge_draw("batch norm's scale", norm.weight, before, 1.0)
    if norm.bias.any():
        left = any(torch.equal(norm.bias, old) for old in before)
        name = "a shift that was left as it was" if left else "a shift other than 0"
        raise Fault("batch norm's shift (bias)", "0 everywhere", _spread(norm.bias), name)
    if not (norm.running_mean == 5).all():
        raise Fault("batch norm's running mean", "as it was", "changed", "a start that resets statistics, too")


def _spread(weight: Tensor) -> str:
    return f"mean {weight.mean().item():.3g}, std {weight.std().item():.3g}"


def _judge_draw(name: str, weight: Tensor, before: list[Tensor], mean: float) -> None:
    """Whether a weight looks like draws from N(mean, 0.02)."""
    weight, norm = weight.detach(), "batch norm" in name
    std, centre, tail = weight.std().item(), weight.mean().item(), (weight - weight.mean()).abs().max().item()
    fourth = ((weight - centre) / max(std, 1e-12)).pow(4).mean().item()
    right = abs(std - 0.02) < 0.0015 and abs(centre - mean) < 0.002
    if right and fourth > 2.3:
        return
    if any(weight.shape == old.shape and torch.equal(weight, old) for old in before):
        fault = f"a function that passes {name} by, or draws numbers and never writes them"
    elif std < 1e-6:
        fault = f"the same number everywhere, {centre:.3g}, where N({mean:g}, 0.02) is drawn"
    elif norm and abs(centre) < 0.01:
        fault = "N(0, 0.02) for batch norm's scale, which is N(1, 0.02): it would nearly switch every channel off"
    elif not norm and abs(centre - 1) < 0.05:
        fault = "N(1, 0.02) for a convolution: that is batch norm's scale"
    elif abs(std - 0.02**0.5) < 0.01:
        fault = "a variance of 0.02: the paper's 0.02 is the standard deviation"
    elif abs(std - 0.0004) < 0.0001:
        fault = "0.02 squared: `normal_` takes the standard deviation"
    elif fourth < 2.3 and tail <= 0.021:
        fault = "a uniform draw between -0.02 and 0.02, where a normal one has std 0.02"
    elif fourth < 2.3:
        fault = "a uniform draw (Xavier's and Kaiming's are, too), where N(0, 0.02) is normal"
    elif abs(std - 0.2) < 0.02 or abs(std - 0.002) < 0.0003:
        fault = f"a std of {std:.1g}: the decimal point has moved"
    elif abs(std - 1) < 0.1 and 0.01 < abs(centre) < 0.03:
        fault = "0.02 as the mean: the standard deviation is the second number"
    elif abs(std - 1) < 0.1:
        fault = "numbers of std 1, never multiplied by 0.02"
    elif abs(centre - mean) > 0.002:
        fault = f"a mean of {centre:.2g}, where it is {mean:g}"
    else:
        fault = f"another std than 0.02, {std:.2g}: Xavier's or Kaiming's rule, perhaps"
    raise Fault(name, f"mean {mean:g}, std 0.02, normal", _spread(weight), fault)


EXERCISES = [
    Exercise(
        "03.init_weights",
        judge_init,
        (
            "`apply` calls your function once for each layer; ask with `isinstance` what it was given.",
            "Convolutions are `nn.Conv2d` and `nn.ConvTranspose2d`. `nn.init.normal_` writes into a weight.",
            "Convolutions: mean 0, std 0.02. `nn.BatchNorm2d`: weight with mean 1, std 0.02, bias by `nn.init.zeros_`.",
        ),
        "layers that this network has none of, such as `nn.Linear`.",
    ),
    Exercise(
        "04.generator",
        judge_generator,
        (
            "Five transposed convolutions: the first makes 4x4 of 1x1, each of the others doubles. z has two axes, "
            "and they want four: `z.view(-1, 100, 1, 1)`.",
            "100 -> 512 -> 256 -> 128 -> 64 -> 3 channels, kernel 4; stride 1 and padding 0 in the first, 2 and 1 in "
            "the others; `bias=False`, because batch norm shifts anyway.",
            "Between them come batch norm and ReLU, in this order, and after the last one tanh alone.",
        ),
        "the starting weights: give it those of notebook 03 with `apply`.",
    ),
    Exercise(
        "05.discriminator",
        judge_discriminator,
        (
            "Five convolutions: the first four halve the picture, and the last one makes one number of what is left.",
            "3 -> 64 -> 128 -> 256 -> 512 -> 1 channels, kernel 4, no bias. LeakyReLU(0.2) after each but the last; "
            "batch norm before it, but not in the first layer.",
            "The last convolution (stride 1, padding 0) gives (N, 1, 1, 1), which you flatten to (N,). The sigmoid "
            "belongs to the loss.",
        ),
        "the starting weights, and whether you flatten by `view`, `flatten` or `squeeze((1, 2, 3))`.",
    ),
]
