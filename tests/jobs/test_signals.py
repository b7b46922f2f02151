"""How commands end at Ctrl-C, and jobs whose readers end with a stop."""

import signal
import sys
import time
import weakref

import pytest

from mnist_resnet.jobs.signals import Interrupt, Interrupted, interruptible


class _Thing:
    pass


def _interrupt_in_callback() -> None:
    thing = _Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    assert reference() is None


@pytest.mark.parametrize("seconds", [0, 10])
def test_interrupt_in_a_callback_is_not_lost(seconds: float, capfd: pytest.CaptureFixture[str]) -> None:
    @interruptible
    def main() -> int:
        _interrupt_in_callback()
        time.sleep(seconds)
        return 0

    assert main() == 130
    assert capfd.readouterr().err == ""


def test_other_errors_in_callbacks_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: reported.append(lost.exc_type))

    @interruptible
    def main() -> int:
        thing = _Thing()
        reference = weakref.ref(thing, lambda _: 1 / 0)
        del thing
        return 0 if reference() is None else 1

    assert main() == 0
    assert reported == [ZeroDivisionError]


@pytest.mark.parametrize(
    "error",
    [RuntimeError("DataLoader worker (pid 3) is killed by signal: Terminated."), ConnectionResetError(), EOFError()],
)
def test_what_a_reader_that_is_gone_leaves_is_a_stop_only_if_one_was_requested(error: Exception) -> None:
    interrupt = Interrupt()
    with pytest.raises(type(error)), interrupt.ending_readers():
        raise error
    interrupt.request("the test")
    with pytest.raises(Interrupted), interrupt.ending_readers():
        raise error
