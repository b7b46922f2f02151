"""Tests of model files: untrusted files that run code or access other files are refused before torch loads them."""

import io
import json
import os
import pickle
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from mnist_resnet.job_folder import EXPORTED_MODEL, TRACED_MODEL, UnreadableFolder
from mnist_resnet.models.export import export_model
from mnist_resnet.models.model_file import (
    DESCRIPTION,
    ModelDescription,
    find_model,
    ignore_torchscript_deprecation,
    load_model,
)
from mnist_resnet.models.resnet import ResNet

torch.set_num_threads(1)

Records = dict[str, bytes]

GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"


class Attack:
    """Creates the folder `mark` when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    network = ResNet(width=2, blocks=[1, 1])
    export_model(network, images, ModelDescription.of(images, 0.1307, 0.3081, 10), folder)
    return folder


def altered(original: Path, target: Path, alter: Callable[[Records], None]) -> Path:
    """Copy a model file with changed records; they are stored uncompressed, because torch reads no others."""
    with zipfile.ZipFile(original) as archive:
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    alter(records)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
    return target


def edit_json(record: str, edit: Callable[[Any], None]) -> Callable[[Records], None]:
    def alter(records: Records) -> None:
        content = json.loads(records[record])
        edit(content)
        records[record] = json.dumps(content).encode()

    return alter


def torch_bytes(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def pickled_weight(mark: Path) -> Callable[[Records], None]:
    def alter(records: Records) -> None:
        config = json.loads(records[WEIGHTS])
        first = next(iter(config["config"].values()))
        first["use_pickle"] = True
        records[WEIGHTS] = json.dumps(config).encode()
        records[f"data/weights/{first['path_name']}"] = torch_bytes(Attack(mark))

    return alter


def pickled_inputs(mark: Path) -> Callable[[Records], None]:
    return lambda records: records.update({"data/sample_inputs/model.pt": torch_bytes(Attack(mark))})


def legacy_weights(mark: Path) -> Callable[[Records], None]:
    return lambda records: records.update({"data/weights/model.pt": torch_bytes(Attack(mark))})


def evaluated_size(mark: Path) -> Callable[[Records], None]:
    code = f"__import__('os').mkdir({str(mark)!r}) or 1"

    def edit(program: Any) -> None:
        inputs = program["graph_module"]["graph"]["tensor_values"]
        sizes = next(iter(inputs.values()))["sizes"]
        sizes[0] = {"as_expr": {"expr_str": code, "hint": None}}

    return edit_json(GRAPH, edit)


def run_guard(mark: Path) -> Callable[[Records], None]:
    return edit_json(GRAPH, lambda program: program.update(guards_code=[f"__import__('os').mkdir({str(mark)!r})"]))


@pytest.mark.parametrize("attack", [pickled_weight, pickled_inputs, legacy_weights, evaluated_size])
def test_refused_files_would_run_code_in_torchs_own_loader(
    tmp_path: Path, exported: Path, attack: Callable[[Path], Callable[[Records], None]]
) -> None:
    mark = tmp_path / "it_ran"
    path = altered(exported / EXPORTED_MODEL, tmp_path / "model.pt2", attack(mark))
    with pytest.raises(UnreadableFolder, match="refused: "):
        load_model(path)
    assert not mark.exists()
    with suppress(Exception):  # some attacks run and then fail
        torch.export.load(path)
    assert mark.exists(), "the attack does not work, so the test proves nothing"


def call(target: str) -> Callable[[Records], None]:
    return edit_json(GRAPH, lambda program: program["graph_module"]["graph"]["nodes"][0].update(target=target))


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (call("torch.ops.aten.from_file.default"), "from_file"),
        (call("torch.ops.aten.save.default"), "save"),
        (call("torch.hub.load"), "torch.hub.load"),
        (call("torch.ops.higher_order.cond"), "cond"),
        (call("_operator.methodcaller"), "methodcaller"),
        (run_guard(Path("never")), "guards"),
        (lambda records: records.update({"data/aotinductor/model/code.so": b""}), "aotinductor"),
        (lambda records: records.update({"models/other.json": records[GRAPH]}), "other.json"),
        (lambda records: records.update({"data/constants/opaque_obj_0": pickle.dumps(1)}), "opaque_obj_0"),
        (edit_json(GRAPH, lambda program: program.update(__enum__="x.y")), "imports"),
    ],
)
def test_exported_files_that_can_do_more_than_compute_are_refused(
    tmp_path: Path, exported: Path, alter: Callable[[Records], None], reason: str
) -> None:
    path = altered(exported / EXPORTED_MODEL, tmp_path / "model.pt2", alter)
    with pytest.raises(UnreadableFolder, match=f"refused: .*{reason}"):
        load_model(path)


@pytest.mark.parametrize("file", [EXPORTED_MODEL, TRACED_MODEL])
def test_repacked_but_unchanged_file_still_loads(tmp_path: Path, exported: Path, file: str) -> None:
    path = altered(exported / file, tmp_path / file, lambda records: records.update({}))
    assert load_model(path).description == load_model(exported / file).description


def test_traced_file_that_writes_a_file_is_refused(tmp_path: Path) -> None:
    class Writing(nn.Module):
        def __init__(self, target: str) -> None:
            super().__init__()
            self.target = target

        def forward(self, images: Tensor) -> Tensor:
            torch.save(images, self.target)
            return images.flatten(1)

    mark, path = tmp_path / "written", tmp_path / "model.pt"
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    with ignore_torchscript_deprecation():
        script = torch.jit.script(Writing(str(mark)))
        torch.jit.save(script, path, _extra_files={DESCRIPTION: ModelDescription.of(images, 0.0, 1.0, 784).to_json()})
    with pytest.raises(UnreadableFolder, match="refused: its code contains 'save'"):
        load_model(path)
    assert not mark.exists()
    load_model(path, trusted=True).logits(images)
    assert mark.exists(), "the attack does not work, so the test proves nothing"


def test_pickles_in_torchscript_files_create_no_python_objects(tmp_path: Path, exported: Path) -> None:
    mark = tmp_path / "it_ran"
    alter = {"data.pkl": pickle.dumps(Attack(mark), protocol=2)}
    path = altered(exported / TRACED_MODEL, tmp_path / "model.pt", lambda records: records.update(alter))
    for trusted in (False, True):
        with pytest.raises(UnreadableFolder):
            load_model(path, trusted)
        assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["model.onnx", "model.pt", "model.pt2"], ids=["other suffix", "text as pt", "text as pt2"]
)
def test_other_files_are_a_one_line_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("hello")
    with pytest.raises(UnreadableFolder) as caught:
        load_model(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "description",
    ["", "[]", "{", '{"format": 2}', '{"format": 1}', '{"format": 1, "channels": []}'],
)
@pytest.mark.parametrize("file", [EXPORTED_MODEL, TRACED_MODEL])
def test_file_without_a_valid_description_is_refused(
    tmp_path: Path, exported: Path, file: str, description: str
) -> None:
    replaced = {f"extra/{DESCRIPTION}": description.encode()}
    path = altered(exported / file, tmp_path / file, lambda records: records.update(replaced))
    with pytest.raises(UnreadableFolder, match="not a model file of this program"):
        load_model(path)


@pytest.mark.parametrize(
    "change", [{"std": [0.0]}, {"mean": [0.1, 0.2]}, {"class_names": []}, {"height": -1}, {"width": 10**9}]
)
def test_description_with_impossible_values_is_refused(change: dict[str, Any]) -> None:
    images = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    description = ModelDescription.of(images, 0.1, 1.0, 10)
    assert ModelDescription.from_json(description.to_json()) == description
    with pytest.raises(ValueError, match="has impossible values"):
        ModelDescription.from_json(json.dumps(json.loads(description.to_json()) | change))


def test_ink_side_is_the_median_longer_side_of_the_ink() -> None:
    images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    images[0, 0, 4:24, 10:15] = 1
    images[1, 0, 9, 3:23] = 255
    images[2, 0, 5, 5] = 255
    assert ModelDescription.of(images, 0.1, 1.0, 10).ink_side == 20
    assert ModelDescription.of(torch.zeros(2, 1, 8, 9, dtype=torch.uint8), 0.1, 1.0, 10).ink_side == 9


def test_exported_model_is_preferred_in_a_job_folder(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFolder, match=r"contains neither model\.pt2 nor model\.pt"):
        find_model(tmp_path)
    (tmp_path / TRACED_MODEL).touch()
    assert find_model(tmp_path) == tmp_path / TRACED_MODEL
    (tmp_path / EXPORTED_MODEL).touch()
    assert find_model(tmp_path) == tmp_path / EXPORTED_MODEL
    with pytest.raises(UnreadableFolder, match="no such file or folder"):
        find_model(tmp_path / "missing")


JSON_VALUES = st.sampled_from([None, True, -1, 0, 1.5, 2**63, 10**29, 4 * 10**10, "", "<b>", "x" * 5_000, "aten"])


def damaged(draw: Callable[[st.SearchStrategy[Any]], Any], content: bytes) -> bytes:
    """Replace up to 40 bytes somewhere by others, or by none."""
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 40)))
    inserted: bytes = draw(st.binary(max_size=8))
    return content[:start] + inserted + content[end:]


def damaged_json(draw: Callable[[st.SearchStrategy[Any]], Any], content: bytes) -> bytes:
    """Replace one value of some JSON, at any depth."""
    whole = node = json.loads(content)
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return content
        key = draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or draw(st.integers(0, 9)) == 0:
            node[key] = draw(JSON_VALUES)
            return json.dumps(whole).encode()
        node = node[key]


@pytest.mark.parametrize("name", [TRACED_MODEL, EXPORTED_MODEL])
@seed(20)
@settings(deadline=None, max_examples=25, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_file_is_read_or_refused_in_one_line(name: str, data: st.DataObject, exported: Path) -> None:
    def damage_record(records: Records) -> None:
        chosen = data.draw(st.sampled_from(sorted(records)))
        is_json = chosen.endswith("json") and data.draw(st.booleans())
        records[chosen] = (damaged_json if is_json else damaged)(data.draw, records[chosen])

    path = exported / f"damaged{Path(name).suffix}"
    if data.draw(st.integers(0, 3)):
        altered(exported / name, path, damage_record)
    else:
        path.write_bytes(damaged(data.draw, (exported / name).read_bytes()))
    started, said = time.monotonic(), ""
    try:
        load_model(path)
    except UnreadableFolder as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 1_000
    assert time.monotonic() - started < 60


def test_loader_that_tries_another_way_shows_no_traceback(exported: Path, tmp_path: Path) -> None:
    def shorten_a_weight(records: Records) -> None:
        name = next(name for name in records if name.startswith("data/weights/weight_"))
        records[name] = records[name][:-4]

    broken = altered(exported / EXPORTED_MODEL, tmp_path / EXPORTED_MODEL, shorten_a_weight)
    Image.new("L", (28, 28)).save(tmp_path / "image.png")
    command = [sys.executable, "-m", "mnist_resnet.predict", str(broken), str(tmp_path / "image.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert (done.stderr.startswith("error: "), done.stderr.count("\n")) == (True, 1), done.stderr


def test_description_of_huge_images_is_refused() -> None:
    largest = torch.zeros((1, 3, 4096, 4096), dtype=torch.uint8)
    assert ModelDescription.from_json(ModelDescription.of(largest, 0.1, 0.3, 10).to_json()).width == 4096
    content = json.loads(ModelDescription.of(largest, 0.1, 0.3, 10).to_json()) | {"channels": 4096}
    with pytest.raises(ValueError, match="impossible values"):
        ModelDescription.from_json(json.dumps(content))
