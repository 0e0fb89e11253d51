"""What the lab's test files share."""

import pytest

from dcgan_lib.config import Config
from dcgan_lib.data.dataset import ImageDataset
from dcgan_lib.lab.session import Session
from dcgan_lib.trainer import Trainer


@pytest.fixture
def session(tiny: Config, dataset: ImageDataset) -> Session:
    return Session(Trainer(tiny, dataset))
