"""The packages that a config names: what of them is recorded, and that a change between two starts is noted."""

import os
import re
import subprocess
import sys
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.jobs import packages
from mnist_resnet.jobs.environment import code_version
from mnist_resnet.jobs.packages import package_versions, write_uncommitted_changes
from tests.jobs.test_result_writer import record


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a package of the user's, a module that it imports, and one that nothing imports."""
    folder = tmp_path / "mine"
    (folder / "study_code" / "parts").mkdir(parents=True)
    (folder / "study_code" / "__init__.py").write_text("import torch, helping_hand\n")
    (folder / "study_code" / "parts" / "network.py").write_text("layers = 34\n")
    (folder / "helping_hand.py").write_text("rate = 1\n")
    (folder / "unrelated_one.py").write_text("")
    monkeypatch.syspath_prepend(str(folder))
    start_afresh()
    return folder


def start_afresh() -> None:
    """Forget what was described, as a new process does."""
    for cached in (packages._versions, packages._describe, packages._imported, packages._installed_into):
        cached.cache_clear()


CONFIG = {
    "model": {"_target_": "study_code.parts.network.Network", "layers": [{"_target_": "torch.nn.Identity"}]},
    "optim": {"_target_": "mnist_resnet.models.resnet.ResNet"},
    "loss": {"_target_": "not_there.at_all"},
}


def test_own_code_is_hashed_with_what_it_imports_and_installed_code_has_its_version(place: Path) -> None:
    found = package_versions(CONFIG)
    assert set(found) == {"study_code", "helping_hand", "torch"}
    assert found["torch"] == {"version": torch.__version__.partition("+")[0]}
    assert found["study_code"].keys() == {"commit", "dirty", "source"}
    (place / "unrelated_one.py").write_text("changed = True")
    start_afresh()
    assert package_versions(CONFIG) == found


@pytest.mark.parametrize(
    ("files", "metadata", "is_own"),
    [
        (["gadget/__init__.py"], "gadget-2.0.dist-info/RECORD", False),  # as `pip install --target` leaves it
        (["gadget/__init__.py"], "PyGadget-2.0.dist-info/RECORD", False),
        (["gadget.py"], "PyGadget-2.0.dist-info/RECORD", False),
        (["gadget/__init__.py"], "gadget.egg-info/SOURCES.txt", True),  # beside the source of an editable one
        (["gadget/mine.py"], "other-2.0.dist-info/RECORD", True),
        (["gadget/__init__.py", "gadget/mine.py", "gadget/more.py"], "other-2.0.dist-info/RECORD", True),
    ],
)
def test_code_is_installed_where_an_installer_has_recorded_it(
    place: Path, files: list[str], metadata: str, is_own: bool
) -> None:
    for file in files:
        (place / file).parent.mkdir(exist_ok=True)
        (place / file).write_text("import helping_hand\n")
    record = place / metadata
    record.parent.mkdir()
    description = f"Metadata-Version: 2.1\nName: {re.split('[-.]', metadata)[0]}\nVersion: 2.0\n"
    (record.parent / ("METADATA" if record.name == "RECORD" else "PKG-INFO")).write_text(description)
    record.write_text("gadget.py,,\ngadget/__init__.py,sha256=a,20\ngadget/other.py,,\n")
    start_afresh()
    found = package_versions({"model": {"_target_": "gadget.Model"}})
    assert ("helping_hand" in found) == is_own
    assert found["gadget"].keys() == {"commit", "dirty", "source"} if is_own else found["gadget"] == {"version": "2.0"}


def test_nothing_is_imported_to_describe_it(place: Path) -> None:
    (place / "study_code" / "__init__.py").write_text("raise SystemExit")
    start_afresh()
    assert "study_code" in package_versions(CONFIG)


@pytest.mark.parametrize("archived", ["gadget.py", "gadget/__init__.py"])
def test_an_archive_is_hashed(place: Path, monkeypatch: pytest.MonkeyPatch, archived: str) -> None:
    sources = []
    monkeypatch.syspath_prepend(str(place / "gadget.zip"))
    for version in "12":
        with zipfile.ZipFile(place / "gadget.zip", "w") as archive:
            archive.writestr(archived, f"version = {version}\n")
        start_afresh()
        sources.append(package_versions({"model": {"_target_": "gadget.Model"}})["gadget"]["source"])
    assert sources[0] != sources[1]


def test_a_namespace_is_its_own_code_in_all_of_its_folders(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"model": {"_target_": "shared_name.mine.Model"}}
    for folder in ("site-packages/shared_name", "second/shared_name/.venv", "shared_name/env/site-packages"):
        (place / folder).mkdir(parents=True)
        monkeypatch.syspath_prepend(str(place / folder.partition("shared_name")[0]))
    for imported, folder in [("helping_hand", "second/shared_name"), ("unrelated_one", "second/shared_name/.venv")]:
        (place / folder / "mine.py").write_text(f"import {imported}\n")
    found = package_versions(config)
    assert found.keys() == {"shared_name", "helping_hand"}
    for folder, is_own in [
        *[("second/shared_name", True), ("shared_name", True), ("site-packages/shared_name", False)],
        *[("second/shared_name/.venv", False), ("shared_name/env/site-packages", False)],
    ]:
        (place / folder / "more.py").write_text("")
        start_afresh()
        assert (package_versions(config) != found) == is_own, folder
        (place / folder / "more.py").unlink()


class Finder:
    """Finds a namespace that has no folder, as that of a package that is installed as editable, or fails."""

    @staticmethod
    def find_spec(name: str, *_: object) -> ModuleSpec | None:
        if name == "failing":
            raise AttributeError(name)
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = ["__editable__.nets-1.0.finder.__path_hook__"]
        return spec if name == "placeless" else None


@pytest.mark.parametrize("name", ["failing", "placeless"])
def test_what_a_finder_does_not_place_is_left_out(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    assert package_versions({"model": {"_target_": f"{name}.nets.Model"}}) == {}


def test_what_cannot_be_read_is_left_out(place: Path) -> None:
    before = package_versions(CONFIG)
    network = place / "study_code" / "parts"
    (network / ".#network.py").symlink_to("me@host.1234")  # Emacs's lock of an unsaved buffer
    (network / "folder.py").mkdir()
    os.mkfifo(network / "pipe.py")
    (place / "other-1.0.dist-info").mkdir()
    (place / "other-1.0.dist-info" / "RECORD").write_bytes(b"caf\xe9.py,,\n" + b"a" * 200_000 + b",,\n")
    start_afresh()
    assert package_versions(CONFIG) == before


@pytest.mark.filterwarnings("error")
def test_a_warning_of_the_parser_is_not_shown_and_hides_nothing(place: Path) -> None:
    (place / "study_code" / "__init__.py").write_text("import helping_hand\npattern = '\\d'\n")
    start_afresh()
    assert "helping_hand" in package_versions(CONFIG)


@pytest.mark.parametrize("source", [b"-" * 200_000 + b"1", b"\0", b"caf\xe9", b"import\n"])
def test_what_cannot_be_parsed_is_hashed(place: Path, source: bytes) -> None:
    before = package_versions(CONFIG)
    (place / "study_code" / os.fsdecode(b"caf\xe9.py")).write_bytes(source)
    start_afresh()
    after = package_versions(CONFIG)
    assert after.keys() == before.keys()
    assert after["study_code"]["source"] != before["study_code"]["source"]


def test_git_state_and_uncommitted_changes_are_kept(place: Path, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", "-C", str(place), *identity, *arguments], check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    start_afresh()
    committed = package_versions(CONFIG)["study_code"]
    assert (len(committed["commit"]), committed["dirty"]) == (40, False)
    (place / "study_code" / "parts" / "network.py").write_bytes(b"layers = 18  # caf\xe9\n")
    start_afresh()
    assert package_versions(CONFIG)["study_code"]["dirty"]
    assert not package_versions(CONFIG)["helping_hand"]["dirty"]
    (tmp_path / "job" / "environment").mkdir(parents=True)
    write_uncommitted_changes(tmp_path / "job", CONFIG)
    (written,) = (tmp_path / "job" / "environment").iterdir()
    assert written.name == "study_code.diff"
    assert b"+layers = 18  # caf\xe9\n" in written.read_bytes()


def spec(code: dict[str, Any] | None) -> JobSpec:
    return JobSpec("job", CONFIG, [], {}, {}, "0" * 64, code=code)


@pytest.mark.parametrize("edited", ["study_code/parts/network.py", "helping_hand.py"])
def test_a_change_after_freezing_is_noted(place: Path, tmp_path: Path, edited: str) -> None:
    frozen = spec(code_version() | {"packages": package_versions(CONFIG)})
    assert record(tmp_path / "same", frozen).result["notes"] == []
    (place / edited).write_text("edited = True\n")
    start_afresh()
    (note,) = record(tmp_path / "changed", frozen).result["notes"]
    name = Path(edited).parts[0].removesuffix(".py")
    assert note.startswith(f"{name} changed since the sweep was frozen: in no repository (source ")


def test_a_change_between_a_stop_and_a_resume_of_a_single_run_is_noted(place: Path, tmp_path: Path) -> None:
    first = record(tmp_path, spec(None))
    first.result["environment"] = code_version() | {"packages": package_versions(CONFIG)}
    first.end("interrupted")  # type: ignore[arg-type]
    first._lease.release("interrupted")
    (place / "study_code" / "parts" / "network.py").write_text("layers = 18\n")
    start_afresh()
    (note,) = record(tmp_path, spec(None)).result["notes"]
    assert note.startswith("study_code changed since the job was started: ")


def test_another_version_of_an_installed_package_is_noted(place: Path, tmp_path: Path) -> None:
    older = code_version() | {"packages": {"torch": {"version": "1.0"}, "gone": {"version": "3"}}}
    (note,) = record(tmp_path, spec(older)).result["notes"]
    now = torch.__version__.partition("+")[0]
    assert note == f"torch changed since the sweep was frozen: 1.0 then, {now} now"


def test_a_job_frozen_before_packages_were_recorded_has_no_note(place: Path, tmp_path: Path) -> None:
    assert record(tmp_path, spec(code_version())).result["notes"] == []
