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
