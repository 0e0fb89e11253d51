# Finds dcgan_lib: installed, in a checkout above, or (Colab, a lone notebook) cloned beside it.
import importlib.util
import os
import sys
from pathlib import Path

if importlib.util.find_spec("dcgan_lib") is None:
    clone = Path.cwd() / "dcgan-repo"
    root = next((p for p in [*clone.parents, clone] if (p / "dcgan_lib").is_dir()), clone)
    url = os.environ.get("DCGAN_REPO", "https://github.com/OWNER/REPO")
    fetch = f'git clone --quiet --depth 1 "{url}" "{clone}" 2> "{os.devnull}"'
    if not (root / "dcgan_lib").is_dir() and os.system(fetch) != 0:
        error = ImportError(f"git cannot fetch {url}: check git and the network, then try again.")
        error._render_traceback_ = lambda: [str(error)]  # the sentence alone, without a traceback
        raise error
    sys.path.insert(0, str(root))
