"""The tables of `make bench`, each measured here and now: (a) to (h)."""

import math
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import linear_regression, median

import torch

from benchmarks.tables import table
from dcgan_lib.config import Config
from dcgan_lib.data import load_images
from dcgan_lib.speed.textbook_loop import CHANGES, TEXTBOOK, TextbookLoop, speedups
from dcgan_lib.speed.timing import compare, matmul_speed, step_flops
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils import distributed
from dcgan_lib.utils.device import choose_device, choose_dtype

DATA = "mnist"


def originals() -> torch.Tensor:
    """The digits as the files hold them, uint8 (N, 1, 28, 28)."""
    return load_images(DATA, 28).images


def per_second(config: Config, seconds: float) -> str:
    return f"{config.batch_size / seconds:,.0f}"


def end_to_end(config: Config) -> str:
    """(a) Ours against the textbook loop, data and all."""
    rows = []
    dataset, files = load_images(DATA, 64), originals()
    for batch_size in (64, 128):
        sized = config.replace(batch_size=batch_size)
        textbook, trainer = TextbookLoop(TEXTBOOK, sized, dataset, files), Trainer(sized, dataset)
        theirs, ours = compare([textbook.step, trainer.step], seconds=10)
        rows.append((batch_size, per_second(sized, theirs), per_second(sized, ours), f"{theirs / ours:.1f}"))
    return table("(a) End to end", "batch | textbook, images/s | ours, images/s | ratio", rows)


def changes(config: Config) -> str:
    """(b) Each change alone, on top of the textbook loop, and all before it together."""
    config = config.replace(batch_size=64)
    dataset, files = load_images(DATA, 64), originals()
    loops = {name: TextbookLoop(options, config, dataset, files) for name, options in speedups().items()}
    loops |= {f"{name} alone": TextbookLoop(TEXTBOOK.alone(name), config, dataset, files) for name in CHANGES[1:]}
    again = "textbook, measured again"
    loops[again] = TextbookLoop(TEXTBOOK, config, dataset, files)
    times = compare([loop.step for loop in loops.values()], seconds=4)
    seconds = dict(zip(loops, times, strict=True))
    rows = [
        (name, per_second(config, seconds[name]), f"{seconds['textbook'] / seconds[name]:.2f}", "")
        for name in ("textbook", again)
    ]
    for name in CHANGES:
        alone = seconds["textbook"] / seconds.get(f"{name} alone", seconds[name])
        rows.append(
            (name, per_second(config, seconds[name]), f"{seconds['textbook'] / seconds[name]:.2f}", f"{alone:.2f}")
        )
    return table("(b) The ladder, batch 64", "change | images/s with all so far | times textbook | alone", rows)


def ceiling(config: Config) -> str:
    """(c) Share of what the device does in a product of matrices."""
    device, rows = choose_device(config.device), []
    dataset = load_images(DATA, 64)
    for precision in ("float32", "bfloat16"):
        sized = config.replace(precision=precision, channels=1)
        peak = matmul_speed(getattr(torch, precision), device, 8192 if device.type == "cuda" else 2048)
        (seconds,) = compare([Trainer(sized, dataset).step], seconds=8)
        speed = step_flops(sized) / seconds
        used = "used" if choose_dtype("auto", device) == getattr(torch, precision) else ""
        rows.append((precision, used, f"{peak / 1e9:,.0f}", f"{speed / 1e9:,.0f}", f"{speed / peak:.0%}"))
    flops = step_flops(config.replace(channels=1)) / config.batch_size
    title = f"(c) Share of the ceiling, batch {config.batch_size}, {flops / 1e9:.2f} GFLOP an image"
    return table(title, "precision | auto | matrix product, GFLOP/s | a step, GFLOP/s | share", rows)


def data_path(config: Config) -> str:
    """(d) Pictures a second, without any network; and a step with and without its data."""
    sized = config.replace(batch_size=64)
    dataset, files = load_images(DATA, 64), originals()
    decoding, cached = (TextbookLoop(replace(TEXTBOOK, cached=c), sized, dataset, files) for c in (False, True))
    device = cached.device
    slow, fast = compare([lambda: next(decoding.batches).to(device), lambda: next(cached.batches)], seconds=3)
    trainer = Trainer(config, dataset)
    same = trainer._draw()
    steps = Trainer(config, dataset)
    steps._draw = lambda turn=0: same
    with_data, without = compare([trainer.step, steps.step], seconds=8)
    rows = [
        ("pictures/s: PIL in two workers, from the cache", per_second(sized, slow), per_second(sized, fast),
         f"{slow / fast:.0f}"),
        ("ms a step: with its data, with the same batch again", f"{with_data * 1e3:.1f}", f"{without * 1e3:.1f}",
         f"{with_data / without:.3f}"),
    ]  # fmt: skip
    return table("(d) The data path", "what | first | second | ratio", rows)


def costs(config: Config) -> str:
    """(e) How the time of a step grows; the exponent is the slope of the straight line through the logarithms."""
    rows = []
    for name, values, base in (
        ("batch_size", (16, 32, 64, 128), config),
        ("width", (16, 32, 64, 128), config.replace(batch_size=32)),
        ("image_size", (16, 32, 64, 128), config.replace(batch_size=32)),
    ):
        steps = []
        for value in values:
            changes = {"g_width": value, "d_width": value} if name == "width" else {name: value}
            changed = base.replace(data="faces", **changes)
            steps.append(Trainer(changed, load_images("faces", changed.image_size)).step)
        seconds = compare(steps, seconds=1.5)
        slope = linear_regression(*([math.log(v) for v in column] for column in (values, seconds))).slope
        times = ", ".join(f"{v}: {t * 1e3:,.0f}" for v, t in zip(values, seconds, strict=True))
        rows.append((name, times, f"{slope:.2f}"))
    return table("(e) What a step costs, in ms", "by | value: ms | fitted exponent", rows)


def memory(config: Config) -> str:
    """(f) The most memory that a process of its own ever held."""
    rows = []
    for batch_size in (64, 128):
        held = [
            int(worker(config, 1, "--memory", kind, "--batch", str(batch_size)))
            for kind in ("none", "textbook", "ours")
        ]
        theirs, ours = (max(1, value - held[0]) for value in held[1:])
        rows.append((batch_size, f"{theirs / 2**20:,.0f}", f"{ours / 2**20:,.0f}", f"{theirs / ours:.2f}"))
    return table("(f) Peak memory of a run beyond that of its imports, in MiB", "batch | textbook | ours | ratio", rows)


def processes(config: Config) -> str:
    """(g) One run on several processes of this machine."""
    rows, first = [], 0.0
    devices = torch.cuda.device_count() if choose_device(config.device).type == "cuda" else 2
    counts = [count for count in (1, 2, 4, 8) if count <= devices]
    for count in counts:
        speed = float(worker(config, count, "--speed", "1", "--batch", "64"))
        first = first or speed
        rows.append((count, f"{speed:,.0f}", f"{speed / first:.2f}"))
    return table(
        "(g) Processes under torchrun, one thread each on a CPU, batch 64 in all", "processes | images/s | ratio", rows
    )


def threads(config: Config) -> str:
    """(h) How much another busy process slows a step down, with torch's number of threads and with ours."""
    free = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # nobody has chosen
    count = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    default = subprocess.run(count, env=free, check=True, capture_output=True, text=True).stdout.strip()
    rows = []
    for name, chosen in (("torch's default", {"OMP_NUM_THREADS": default}), ("this library's", {})):
        number, alone, beside = worker(config, 1, "--threads", environment=free | chosen).split("/")
        rows.append((name, number, alone, beside, f"{float(beside) / float(alone):.2f}"))
    header = "threads | number | ms a step alone | ms beside a busy process | ratio"
    return table("(h) A step of the laptop preset beside a process that spins", header, rows)


def worker(config: Config, count: int, *options: str, environment: dict[str, str] | None = None) -> str:
    """What a fresh process prints, or the first of several."""
    here = ["--device", config.device, *options]
    launch = (
        ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"] if "--speed" in options else []
    )
    environment = {**(environment or os.environ), "PYTHONPATH": str(Path(__file__).parents[1])}
    if launch:
        environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, *launch, "-m", "benchmarks.bench", *here]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]


def measure_memory(kind: str, config: Config) -> int:
    if kind != "none":
        dataset = load_images(DATA, 64)
        run = Trainer(config, dataset) if kind == "ours" else TextbookLoop(TEXTBOOK, config, dataset, originals())
        for _ in range(3):
            run.step()
    if choose_device(config.device).type == "cuda":
        return torch.cuda.max_memory_allocated()
    if (status := Path("/proc/self/status")).exists():  # getrusage would count what the parent held when it forked
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_speed(config: Config) -> float:
    with distributed.process_group():
        trainer = Trainer(config)
        trainer.train(5)
        start = time.perf_counter()
        trainer.train(15)
        return 15 * config.batch_size / (time.perf_counter() - start)


def measure_threads(rounds: int = 5) -> str:
    """Number of threads, and milliseconds a step takes alone and beside a process that spins: medians of turns."""
    trainer, seconds = Trainer(Config.laptop(device="cpu")), {"alone": [], "beside": []}
    for _ in range(rounds):
        seconds["alone"] += compare([trainer.step], rounds=1)
        other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            time.sleep(0.5)
            seconds["beside"] += compare([trainer.step], rounds=1)
        finally:
            other.kill()
            other.wait()
    return "/".join([str(torch.get_num_threads()), *(f"{median(values) * 1e3:.1f}" for values in seconds.values())])
