"""Encoded images to square ones of one size: random crops for training, the centre otherwise."""

import io
import math
from collections.abc import Callable

import numpy as np

Box = tuple[float, float, float, float]

_CENTRAL_SHARE = 0.875
_ASPECT_RATIOS = (3 / 4, 4 / 3)
_ATTEMPTS = 10


def random_box(rng: np.random.Generator, width: int, height: int, min_area: float) -> Box:
    """A box at random inside an image: the crop that networks are trained on for ImageNet.

    Its share of the area is uniform over [min_area, 1], the logarithm of its aspect ratio over
    that of [3/4, 4/3], and its place over all places. Where ten of these do not fit into the image,
    the largest central box within the aspect ratios is taken.

    Args:
      rng: drawn from.
      width: of the image, in pixels.
      height: of the image, in pixels.
      min_area: smallest share of the image's area, in (0, 1].

    Returns:
      (left, top, right, bottom) in pixels, not rounded.

    Example:
      >>> import numpy as np
      >>> from silo_jax.data.crops import random_box
      >>> left, top, right, bottom = random_box(np.random.default_rng(0), 500, 375, 0.08)
      >>> 0 <= left < right <= 500 and 0 <= top < bottom <= 375
      True

    References:
      Szegedy et al., Going Deeper with Convolutions, 2015, section 6.
    """
    low, high = _ASPECT_RATIOS
    for _ in range(_ATTEMPTS):
        area = width * height * rng.uniform(min_area, 1)
        ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
        box_width, box_height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if box_width <= width and box_height <= height:
            left, top = rng.uniform(0, width - box_width), rng.uniform(0, height - box_height)
            return left, top, left + box_width, top + box_height
    return _central(width, height, min(width, height * high), min(height, width / low))


def central_box(width: int, height: int) -> Box:
    """The central square whose side is 7/8 of the shorter one: 224 of 256 pixels.

    Returns:
      (left, top, right, bottom) in pixels, not rounded.

    Example:
      >>> from silo_jax.data.crops import central_box
      >>> central_box(320, 256)
      (48.0, 16.0, 272.0, 240.0)
    """
    side = _CENTRAL_SHARE * min(width, height)
    return _central(width, height, side, side)


def decode_box(encoded: bytes, size: int, choose_box: Callable[[int, int], Box]) -> np.ndarray:
    """A box of an encoded image, as a square one in RGB.

    A JPEG that is much larger than what is wanted of it is decoded at half, a quarter or an eighth
    of its size, never below the size of the result, which is several times as fast.

    Args:
      encoded: JPEG, PNG or another format that Pillow reads.
      size: side of the result, in pixels.
      choose_box: from the image's width and height to (left, top, right, bottom).

    Returns:
      uint8 of shape (size, size, 3), resampled linearly with antialiasing.

    Raises:
      OSError, SyntaxError, ValueError: as Pillow raises them for a damaged image.
    """
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        width, height = image.size
        left, top, right, bottom = choose_box(width, height)
        wanted = math.ceil(width * size / (right - left)), math.ceil(height * size / (bottom - top))
        image.draft("RGB", wanted)
        across, down = image.width / width, image.height / height
        right, bottom = min(right * across, image.width), min(bottom * down, image.height)
        box = (left * across, top * down, right, bottom)
        square = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, box)
        return np.asarray(square)


def _central(width: int, height: int, box_width: float, box_height: float) -> Box:
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return left, top, left + box_width, top + box_height
