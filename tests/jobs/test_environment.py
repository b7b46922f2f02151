"""What is recorded of the machine on which a job runs."""

from pathlib import Path

import pytest

from mnist_resnet.jobs import environment

AMD = """processor\t: 0
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC
"""
ARM = """processor\t: 0
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
"""


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (AMD + "\n" + AMD.replace("EPYC", "another"), "AMD EPYC (family 26, model 2)"),
        (ARM, "aarch64 (implementer 0x41, part 0xd0c, variant 0x3)"),
        ("model name : A processor\n", "A processor"),
    ],
)
def test_processors_of_one_maker_are_told_apart(
    content: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(content)
    monkeypatch.setattr(environment, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert environment.cpu_model.__wrapped__() == name


def test_a_package_whose_description_is_not_in_utf_8_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = environment._freeze.__wrapped__()
    (tmp_path / "old-1.0.dist-info").mkdir()
    (tmp_path / "old-1.0.dist-info" / "METADATA").write_bytes(b"Name: old\nVersion: 1.0\nAuthor: Andr\xe9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert environment._freeze.__wrapped__() == listed
