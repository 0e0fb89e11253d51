"""How the benchmarks print what they measured."""


def table(title: str, header: str, rows: list[tuple[object, ...]]) -> str:
    """A Markdown table below a title; the header's columns are separated by " | "."""
    line = "| " + " | ".join("---" for _ in header.split(" | ")) + " |"
    cells = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([f"### {title}", "", f"| {header} |", line, *cells]) + "\n"
