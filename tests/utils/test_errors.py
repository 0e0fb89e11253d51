"""A lack of memory, told apart from other errors."""

import pytest
import torch

from dcgan_lib.utils.errors import lacks_memory


def test_only_a_lack_of_memory_is_called_one() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**45, 2**10)
    assert lacks_memory(raised.value)
    assert not lacks_memory(RuntimeError("something else"))
