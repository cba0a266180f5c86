"""Image-classification data: sets by name, and what is done to batches of them on the device."""

from silo_jax.data.augmentation import augment, channel_statistics, normalize
from silo_jax.data.encoded import EncodedData, EncodedSplit
from silo_jax.data.sources import check_data_name, load_data, open_data
from silo_jax.data.splits import ImageData, Split

__all__ = [
    "EncodedData",
    "EncodedSplit",
    "ImageData",
    "Split",
    "augment",
    "channel_statistics",
    "check_data_name",
    "load_data",
    "normalize",
    "open_data",
]
