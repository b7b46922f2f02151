"""What a model file may hold that came from elsewhere: a network's arithmetic, and nothing that runs or writes.

Neither of torch's loaders is safe by itself (torch 2.14, read and tried):

- `torch.export.load` unpickles any object where the file asks for it (`use_pickle`, sample inputs, the old layout),
  evaluates size expressions as Python, executes guards, loads compiled libraries.
- `torch.jit.load` unpickles in C++ and knows no Python object, but runs the archive's own TorchScript, whose
  `torch.save` and `torch.from_file` write and open files.

So a file is read with torch's own archive reader and refused unless each part is of a kind that `export` writes.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mnist_resnet.job_folder import UnreadableFolder

_ZIP = b"PK\x03\x04"

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


class _Foreign(Exception):
    """A part of the file that no network of this program has."""


def refuse_foreign_code(path: Path, content: bytes) -> None:
    """Let a model file pass only if all it can do is compute.

    Args:
        path: names the file in the message; its suffix says which kind it is, `.pt2` or `.pt`.
        content: of the file. What is loaded afterwards must be these bytes, not the file again.

    Raises:
        UnreadableFolder: it can do more, or can't be read at all.
    """
    try:
        if not content.startswith(_ZIP):
            raise _Foreign("it is no archive")
        (_screen_exported if path.suffix == ".pt2" else _screen_traced)(content)
    except _Foreign as error:
        raise UnreadableFolder(f"{path}: refused: {error}; --trust-model loads a file that you vouch for") from None
    except Exception as error:  # whatever the archive reader, zip, JSON or the pickle's reader met
        raise UnreadableFolder(f"{path}: can't be read ({str(error).splitlines()[0][:200]})") from None


def _screen_exported(content: bytes) -> None:
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    records = set(reader.get_all_records())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # torch falls back to Python's reader, which must not find another file in the same bytes.
        if {name.partition("/")[2] for name in archive.namelist()} != records:
            raise _Foreign("it reads as two different archives")
    for record in sorted(records):
        if not _EXPORTED_RECORD.fullmatch(record):
            raise _Foreign(f"it holds {record!r}")
    for kind in ("weights", "constants"):
        payloads = json.loads(reader.get_record(f"data/{kind}/model_{kind}_config.json"))["config"]
        for payload in payloads.values():
            if payload["use_pickle"] is not False or not _PAYLOAD.fullmatch(payload["path_name"]):
                raise _Foreign("it holds pickled objects")
    try:
        torch.load(io.BytesIO(reader.get_record("data/sample_inputs/model.pt")), weights_only=True)
    except Exception:
        raise _Foreign("its sample inputs are no tensors") from None
    _screen_program(json.loads(reader.get_record("models/model.json")))


def _screen_program(program: dict[str, Any]) -> None:
    if program.get("guards_code"):
        raise _Foreign("it holds guards, which are Python code")
    for part in _objects(program):
        if not _SIZE.fullmatch(str(part.get("expr_str", "1"))):
            raise _Foreign(f"a size in it is {part['expr_str']!r}")
        if "inputs" in part and "target" in part and not _OPERATOR.fullmatch(str(part["target"])):
            raise _Foreign(f"it calls {part['target']!r}")
    if "__enum__" in json.dumps(program):
        raise _Foreign("it imports modules")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _objects(part)


def _screen_traced(content: bytes) -> None:
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    for record in sorted(reader.get_all_records()):
        if record.endswith(".py") and (found := _SCRIPT_FORBIDDEN.search(reader.get_record(record).decode())):
            raise _Foreign(f"its code holds {found.group().strip()!r}")
        if record.endswith(".pkl") and b"torch.classes" in reader.get_record(record):
            raise _Foreign("it holds objects other than tensors")
