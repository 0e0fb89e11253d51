"""Pictures to learn from: where they come from, how they are decoded, cached and handed out in batches.

Taught in notebooks/02_data.ipynb.
"""

from dcgan_lib.data.dataset import ImageDataset, denormalize, normalize, require_dataset_fits, to_device
from dcgan_lib.data.image_files import decode, to_mode
from dcgan_lib.data.loading import load_images
from dcgan_lib.data.sources import as_images
