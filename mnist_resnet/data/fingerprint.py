"""The hash of the images and labels that a job sees, which makes them part of its identity."""

import hashlib
from functools import lru_cache

from mnist_resnet.config.classifier_schema import Data
from mnist_resnet.data.batches import is_published, load
from mnist_resnet.job_folder import from_json, to_json


def fingerprint(data: Data) -> str | None:
    """Return the SHA-256 of the images and labels that the config `data` describes, in hexadecimal.

    It is the same for the same training, validation and test images in the same order, wherever they are stored. Of
    streamed data it has the number of items, and some of them.

    Returns:
        The hash, or None if the source vouches for its content, which the config then describes completely.

    Raises:
        UsageError: As in `batches.load`.
    """
    return None if is_published(data) else _sha256(to_json(data.model_dump(by_alias=True, exclude_unset=True)))


@lru_cache(maxsize=64)
def _sha256(data: str) -> str:
    digest = hashlib.sha256()
    splits = load(Data.model_validate(from_json(data)), "cpu")
    for split in (splits.train, *([splits.val] if splits.val else []), splits.test):
        for tensor in split.content():
            digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
