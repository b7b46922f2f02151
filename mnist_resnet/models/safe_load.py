"""Rejects untrusted model files that could do more than compute, before torch loads them.

Neither of torch's loaders is safe by itself (found by reading and trying torch 2.14):

- `torch.export.load` unpickles arbitrary objects if the file says so (`use_pickle`, sample inputs, the old layout),
  evaluates size expressions as Python, executes guards and loads compiled libraries.
- `torch.jit.load` unpickles in C++ and creates no Python objects, but runs the archive's TorchScript, in which
  `torch.save` and `torch.from_file` write and open files.

Therefore the file is read with torch's archive reader, and refused unless every part is of a kind that `export.py`
writes.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mnist_resnet.errors import wording
from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.stored_file import check_archive, parse_json

_ZIP = b"PK\x03\x04"

_MAX_CODE = 2**24
"""Bytes that an archive may unpack to beyond its size: the code of a traced network is compressed, weights are not."""

_EXPORTED_RECORD = re.compile(
    r"archive_format|archive_version|byteorder|\.\w+(/\w+)?|extra/[\w.]+|models/model\.json"
    r"|data/sample_inputs/model\.pt|data/(weights/model_weights|constants/model_constants)_config\.json"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+"
)
_PAYLOAD = re.compile(r"(weight|tensor)_\d+")
_SIZE = re.compile(r"-?\w+|Symbol\('\w+'(, \w+=(True|False))*\)")
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!save\b|from_file\b)\w+\.\w+|torch\.sym_\w+|math\.\w+"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|getitem|eq|ne|ge|gt|le|lt)"
)
_SCRIPT_FORBIDDEN = re.compile(
    r"\b(save|from_file|classes)\b|\bgetattr\b(?!\(\w+, \"\w+\"\))|\bops\s*\.\s*(?!prim\b|aten\b)"
)


class _Unsafe(Exception):
    """The file has a part that no network of this program has; the message names it."""


def refuse_foreign_code(path: Path, content: bytes) -> None:
    """Raise an error unless a model file can do nothing but compute.

    Args:
        path: the file, for the error message; its suffix gives its format, `.pt2` or `.pt`.
        content: the file's bytes. Load these bytes afterwards, do not read the file again: it may have changed.

    Raises:
        UnreadableFolder: The file can do more than compute, or it can't be read.
    """
    try:
        if not content.startswith(_ZIP):
            raise _Unsafe("it is no archive")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_archive(archive, len(content) + _MAX_CODE)
        (_screen_exported if path.suffix == ".pt2" else _screen_traced)(content)
    except _Unsafe as error:
        raise UnreadableFolder(f"{path}: refused: {error}; --trust-model loads a file that you trust") from None
    except Exception as error:  # the readers of archives, zip files, JSON and pickles raise many types
        raise UnreadableFolder(f"{path}: can't be read ({wording(error, 200)})") from None


def _screen_exported(content: bytes) -> None:
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    records = set(reader.get_all_records())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # torch may fall back to Python's zip reader, which must find the same records in these bytes.
        if {name.partition("/")[2] for name in archive.namelist()} != records:
            raise _Unsafe("it reads as two different archives")
    for record in sorted(records):
        if not _EXPORTED_RECORD.fullmatch(record):
            raise _Unsafe(f"it contains {record!r}")
    for kind in ("weights", "constants"):
        payloads = parse_json(reader.get_record(f"data/{kind}/model_{kind}_config.json"))["config"]
        for payload in payloads.values():
            if payload["use_pickle"] is not False or not _PAYLOAD.fullmatch(payload["path_name"]):
                raise _Unsafe("it contains pickled objects")
    try:
        torch.load(io.BytesIO(reader.get_record("data/sample_inputs/model.pt")), weights_only=True)
    except Exception:
        raise _Unsafe("its sample inputs are not tensors") from None
    _screen_program(parse_json(reader.get_record("models/model.json")))


def _screen_program(program: dict[str, Any]) -> None:
    if program.get("guards_code"):
        raise _Unsafe("it contains guards, which are Python code")
    for part in _objects(program):
        if not _SIZE.fullmatch(str(part.get("expr_str", "1"))):
            raise _Unsafe(f"it contains the size {part['expr_str']!r}")
        if "inputs" in part and "target" in part and not _OPERATOR.fullmatch(str(part["target"])):
            raise _Unsafe(f"it calls {part['target']!r}")
    if "__enum__" in json.dumps(program):
        raise _Unsafe("it imports modules")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all JSON objects in `value`, itself included, depth first."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _objects(part)


def _screen_traced(content: bytes) -> None:
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    for record in sorted(reader.get_all_records()):
        if record.endswith(".py") and (found := _SCRIPT_FORBIDDEN.search(reader.get_record(record).decode())):
            raise _Unsafe(f"its code contains {found.group().strip()!r}")
        if record.endswith(".pkl") and b"torch.classes" in reader.get_record(record):
            raise _Unsafe("it contains objects other than tensors")
