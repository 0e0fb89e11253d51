"""Makes .venv-colab: the Jupyter packages that Colab ships, beside the torch and the rest of .venv.

`make test-colab` runs this. Colab keeps ipywidgets 7 and an old kernel, and the lab has to work with both.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-colab"
PINS = ROOT / "tools" / "colab.txt"
STAMP = VENV / ".installed"


def main() -> None:
    pins = PINS.read_text()
    if STAMP.exists() and STAMP.read_text() == pins:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = [VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "-r", PINS]).returncode:
        sys.exit("pip could not install what Colab ships: look at its last lines, and run make test-colab again.")
    # After the environment's own packages come those of .venv: torch, and what has no pin of Colab's.
    own = Path(sysconfig.get_path("purelib"))
    lent = own / "lent_torch.pth"
    folders = [str(ROOT), str(own), *(lent.read_text().splitlines() if lent.exists() else [])]
    site = next((VENV / "lib").glob("python3*/site-packages"))
    (site / "rest.pth").write_text("\n".join(folders) + "\n")
    STAMP.write_text(pins)


if __name__ == "__main__":
    main()
