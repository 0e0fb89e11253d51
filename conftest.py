"""What `pytest` and `pytest --nbval-lax notebooks/` need, so that both work as typed, with no variable set."""

import os

import pytest

# The kernels inherit these. The preset is only a default: an explicit DCGAN_PRESET wins.
os.environ.setdefault("DCGAN_PRESET", "ci")
os.environ.setdefault("DCGAN_HEADLESS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
# Before torch is imported: floats depend on the number of threads, and processes side by side would fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

CELL_SECONDS = 300


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Notebooks run in the environment that pytest runs in, whatever kernel they name, and no cell runs for ever."""
    if hasattr(config.option, "nbval_lax") and not config.option.nbval_kernel_name:
        config.option.nbval_current_env = True
        if config.option.nbval_cell_timeout == 2000:  # nbval's own default
            config.option.nbval_cell_timeout = CELL_SECONDS
