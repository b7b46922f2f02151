"""Networks that begin with the weights of a file instead of random ones."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnist_resnet.errors import UsageError, wording
from mnist_resnet.models.model_file import ignore_torchscript_deprecation
from mnist_resnet.models.safe_load import refuse_foreign_code
from mnist_resnet.stored_file import MAX_WEIGHTS, check_archive, read_stored


def warm_started(network: nn.Module, file: str, sha256: str, strict: bool = True) -> nn.Module:
    """Return the network with weights from a file.

    The file's hash is an argument, and so a part of the config and of a job's signature: another file is another
    experiment, and the same one under another name can't pass for it.

    Args:
        network: the network.
        file: a job's `model.pt`, `weights.pt` or `checkpoint.pt`; a checkpoint's weights are those in training, not
            their average.
        sha256: the file's SHA-256 in hexadecimal, or its first eight digits or more.
        strict: False keeps the network's own weights where the file has none of that name and shape, such as those of a
            last layer for other classes.

    Raises:
        UsageError: The file can't be read, has another hash, or has not the weights of this network.
    """
    try:
        content = read_stored(Path(file), MAX_WEIGHTS)
    except OSError as error:
        raise UsageError(f"model.file={file}: can't be read ({error.strerror})") from None
    actual = hashlib.sha256(content).hexdigest()
    if len(sha256) < 8 or not actual.startswith(sha256.lower()):
        raise UsageError(f"model.sha256={sha256}: the hash of {file} is {actual}")
    try:
        weights = _weights(Path(file), content)
    except Exception as error:  # torch's loaders raise many types
        raise UsageError(
            f"model.file={file}: is no model.pt, weights.pt or checkpoint.pt ({wording(error, 200)})"
        ) from None
    own = network.state_dict()
    if not strict:
        weights = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
        if not weights:
            raise UsageError(f"model.file={file}: has no weights of this network")
    try:
        network.load_state_dict({**({} if strict else own), **weights})
    except RuntimeError as error:
        raise UsageError(f"model.file={file}: has not the weights of this network ({wording(error, 200)})") from None
    return network


def _weights(file: Path, content: bytes) -> dict[str, Any]:
    if file.name.startswith(("checkpoint", "weights")):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_archive(archive, len(content))
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return dict(loaded["model"] if file.name.startswith("checkpoint") else loaded)
    refuse_foreign_code(file, content)
    with ignore_torchscript_deprecation():
        traced = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
    return dict(traced.state_dict())
