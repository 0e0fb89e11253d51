"""Where `python -m dcgan_lib` begins: see `commands`."""

import sys

from dcgan_lib import endings


def main() -> int:
    """Run the command line; the exit status is 2 after a mistake that the reader can mend, 1 after one of ours."""

    def act(words: list[str]) -> None:
        from dcgan_lib import commands, parallel  # torch takes seconds, in which somebody may press Ctrl-C

        with parallel.team():
            commands.parse(words).main()

    return endings.run(act, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
