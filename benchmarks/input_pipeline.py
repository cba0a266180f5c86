"""Images per second of the input pipeline alone, by the number of worker processes.

    python -m benchmarks.input_pipeline --out=benchmarks/results/input_pipeline.json

JPEG images of 500×375 pixels and about the bytes of ImageNet's are written to a folder, then
decoded, cropped at random and resized to 224×224, as in training. 0 workers are as many threads as
there are cores. The first batch, which waits for the workers to start, is not counted.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.measure import report
from silo_jax.data import open_data
from silo_jax.data.encoded import EncodedData
from silo_jax.data.stream import Batch, TrainBatches, stream

WIDTH, HEIGHT = 500, 375
_FOREVER = 2**30


def write_images(root: Path, per_class: int) -> EncodedData:
    """A folder of two classes of so many images each, in train and in test."""
    from PIL import Image

    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b"):
            directory = root / split / name
            directory.mkdir(parents=True)
            for index in range(per_class):
                file = io.BytesIO()
                Image.fromarray(_picture(random)).save(file, "JPEG", quality=93)
                (directory / f"{index}.jpeg").write_bytes(file.getvalue())
    return open_data("folder", data_dir=root, validation_fraction=0.2)


def _picture(random: np.random.Generator) -> np.ndarray:
    """Coarse and fine noise, so that a JPEG of it has about the bytes of a photograph's."""
    pixels = np.zeros((HEIGHT, WIDTH, 3))
    for side in (5, 25, 125):
        coarse = random.normal(size=(HEIGHT // side + 1, WIDTH // side + 1, 3))
        pixels += np.kron(coarse, np.ones((side, side, 1)))[:HEIGHT, :WIDTH] * 20
    pixels += random.normal(size=pixels.shape) * 6
    return np.clip(pixels + 127, 0, 255).astype(np.uint8)


def images_per_second(batches: TrainBatches, workers: int, seconds: float) -> float:
    """Of a stream that has begun, over so many seconds or a little more."""
    streamed = stream(batches, range(_FOREVER), workers=workers)
    try:
        return _per_second(streamed, seconds)
    finally:
        streamed.close()


def _per_second(batches: Iterator[Batch], seconds: float) -> float:
    next(batches)
    started, images = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        images += len(next(batches).labels)
    return images / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="written, of each class and split")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        data = write_images(Path(directory), options.images)
        batches = TrainBatches(
            data.train,
            image_size=options.image_size,
            batch_size=options.batch_size,
            seed=0,
            steps_per_cycle=_FOREVER,
        )
        kilobytes = statistics.mean(len(data.train.files[n]) for n in data.train.numbers) / 1e3
        told = {"image": f"{WIDTH}x{HEIGHT}, {kilobytes:.0f} kB", "size": options.image_size}
        alone = _per_second((batches[step] for step in count()), options.seconds)
        rows = [told | {"workers": "one thread, no stream", "images_per_second": alone}]
        for workers in options.workers:
            rate = images_per_second(batches, workers, options.seconds)
            rows.append(told | {"workers": workers, "images_per_second": rate})
    report(rows, options.out)


if __name__ == "__main__":
    main()
