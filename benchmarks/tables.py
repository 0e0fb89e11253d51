"""How the benchmarks print what they measured, and where."""

import platform
import re
import sys
from pathlib import Path

import torch


def table(title: str, header: str, rows: list[tuple[object, ...]]) -> str:
    """A Markdown table below a title; the header's columns are separated by " | "."""
    line = "| " + " | ".join("---" for _ in header.split(" | ")) + " |"
    cells = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([f"### {title}", "", f"| {header} |", line, *cells]) + "\n"


def machine(device: torch.device) -> str:
    """What the results are filed under."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else ""
    names = re.findall(r"model name\s*: (.*)", cpuinfo) or [platform.processor() or platform.machine()]
    abilities = [name for name in ("amx_tile", "avx512_bf16", "avx512f", "avx2") if name in cpuinfo][:2]
    threads = torch.get_num_threads()
    return ", ".join([names[0].strip(), f"{threads} thread{'s' * (threads > 1)}", *abilities])
