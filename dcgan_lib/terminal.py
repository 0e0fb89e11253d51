"""What a terminal may be given.

Used wherever something is said.
"""


def printable(text: str) -> str:
    r"""The text on one line, what no terminal should get (line breaks, escape codes) as \n, \x1b and so on."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
