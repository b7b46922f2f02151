"""Exceptions in words."""

import errno

import pydantic
import pytest

from mnist_resnet.errors import wording


class NoWorkerLeft(Exception):
    """An exception that says nothing but its name."""


class Settings(pydantic.BaseModel):
    base_url: pydantic.HttpUrl = pydantic.HttpUrl("http://localhost")
    tag: str = ""

    @pydantic.field_validator("tag")
    @classmethod
    def is_short(cls, tag: str) -> str:
        if tag:
            raise ValueError("too long")
        return tag


def invalid(**values: str) -> pydantic.ValidationError:
    with pytest.raises(pydantic.ValidationError) as raised:
        Settings.model_validate(values)
    return raised.value


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("no such\n  layer"), "no such layer"),
        (SystemExit(3), "ends the process, with exit code 3"),
        (SystemExit(), "ends the process, with exit code 0"),
        (SystemExit("no licence"), "no licence"),
        (KeyError(4), "there is no entry 4"),
        (KeyError("Record does not exist."), "Record does not exist."),
        (NoWorkerLeft(), "no worker left"),
        (MemoryError(), "memory error"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EACCES, "Permission denied", "/a/b"), "/a/b: Permission denied"),
        (invalid(tag="t"), "tag=t: too long"),
        (invalid(base_url="here"), "base_url=here: Input should be a valid URL, relative URL without a base"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exception_is_put_into_words(error: Exception, expected: str) -> None:
    assert wording(error) == expected


def test_long_message_is_cut() -> None:
    assert wording(ValueError("x" * 300), limit=20) == "x" * 20
