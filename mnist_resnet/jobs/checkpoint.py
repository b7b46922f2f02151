"""Checkpoints: written to a temporary file, made durable and renamed in the background; the previous one is kept."""

import io
import os
import pickle
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mnist_resnet.errors import wording
from mnist_resnet.job_folder import CHECKPOINT, FORMAT, PREVIOUS_CHECKPOINT, patiently, sync_folder
from mnist_resnet.jobs.packed_state import Lent, NotRestorable, check_growth, difference, on_cpu, pack, unpack
from mnist_resnet.jobs.processor_wait import thread_wait
from mnist_resnet.stored_file import check_archive, open_stored

if TYPE_CHECKING:
    from torch import Tensor

PLAIN_STATE = "state.pickle"
"""Member of the archive that is the checkpoint of a task without PyTorch; PyTorch's own archives have none such."""

GROWTH = 10
"""How many times the size of a checkpoint's file its state may take; what is shared in it counts each time."""

SLOW_SECONDS, SLOW_BYTES = 1.0, 100e6
"""Training does not wait for a disk on which a checkpoint took more seconds than this, at fewer bytes a second."""

READ_BACK = {("builtins", "complex"), ("collections", "OrderedDict")}
"""All that reading such a member may call: what no other pickled value of a packed state needs."""

State = dict[str, Any]
"""What `pack` takes: tensors, numbers, strings, NumPy arrays, and containers of them."""


class Checkpoints:
    """Decides when to save a run, and saves it.

    A checkpoint is due every `interval` seconds or, if `every` is set, after every `every` steps of an epoch and at its
    end. None is begun while one is being written.

    Training waits until the system has taken the state over, which is faster than to copy it, and not until it is on
    the disk. Where the system does not keep what is to be written, as on some network disks, or the state is on a GPU,
    it is copied instead and written while training goes on.

    A state that can't be restored is reported once, and no checkpoint is written: it would only be passed over later.

    Args:
        folder: The job folder.
        signature: The job's; a checkpoint of another job is never restored.
        interval: Seconds.
        every: Steps; None saves by the clock.
        may_write: Raises if this process has lost the job's lease.
        report: Shows and records a line.
    """

    def __init__(
        self,
        folder: Path,
        signature: str,
        interval: float,
        every: int | None,
        may_write: Callable[[], None],
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder, self.signature, self.interval, self.every = folder, signature, interval, every
        self._may_write, self._report = may_write, report
        self._last = time.monotonic()
        self._writer = _BackgroundWriter()
        self._is_offered = self._has_stepped = self._is_verified = self._is_hopeless = self._is_slow_disk = False
        for left_over in folder.glob(f".{CHECKPOINT}.*"):
            left_over.unlink(missing_ok=True)

    @property
    def seconds_at_risk(self) -> float | None:
        """How much work a crash costs at most, in seconds; None if that is a number of steps, or all of it."""
        return None if self.every or self._is_hopeless or not self._is_offered else self.interval

    def check(self, state: Callable[[], State]) -> None:
        """Report at once if the state can't be restored; where there is one before the first step, call it then."""
        self._is_offered = True
        self._packed(state, copied=lambda tensor: tensor)

    def epoch_ended(self, state: Callable[[], State]) -> None:
        """Save the state if a checkpoint is due; call it at an epoch's end."""
        if self.every or self._is_time():
            self._save(state)

    def step_ended(self, step: int, state: Callable[[], State]) -> None:
        """Save the state if a checkpoint is due; call it after each step of an epoch, from 1.

        What the first step has added to the state, such as an optimiser's, is checked at once.
        """
        if not self._has_stepped:
            self._has_stepped = True
            self.check(state)
        if step % self.every == 0 if self.every else self._is_time():
            self._save(state)

    def write_now(self, state: Callable[[], State]) -> None:
        """Save the state before returning: the program is about to end."""
        self._writer.wait()
        packed = self._packed(state, Lent())
        if packed is not None:
            self._write(packed)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Leave the `with` statement only once no checkpoint is being written.

        Raises:
            OSError: One could not be written (a full disk); the previous one is untouched.
        """
        try:
            yield
        finally:
            self._writer.wait()
        self._writer.raise_error()

    def _is_time(self) -> bool:
        return time.monotonic() - self._last >= self.interval

    def _save(self, state: Callable[[], State]) -> None:
        if self._is_hopeless or self._writer.is_writing():
            return
        self._writer.raise_error()
        self._last = time.monotonic()
        lent = Lent()
        packed = self._packed(state, on_cpu if self._is_slow_disk else lent)
        if packed is None:
            return
        if lent:
            file = self._timed_file(packed)
            self._writer.start(lambda: self._accept(file, packed))
        else:
            self._writer.start(lambda: self._write(packed))

    def _timed_file(self, packed: State) -> BinaryIO:
        # A busy processor is no fault of the disk.
        started = time.monotonic() - thread_wait()
        file = self._file(packed)
        seconds = time.monotonic() - thread_wait() - started
        self._is_slow_disk = seconds > SLOW_SECONDS and file.tell() < SLOW_BYTES * seconds
        return file

    def _packed(self, state: Callable[[], State], copied: "Callable[[Tensor], Tensor]" = on_cpu) -> Any:
        """Return the packed state, or None once it has turned out that it can't be restored."""
        if self._is_hopeless:
            return None
        try:
            return {name: pack(value, name, copied) for name, value in state().items()}
        except NotRestorable as error:
            self._give_up(str(error))
            return None

    def _give_up(self, reason: str) -> None:
        self._is_hopeless = True
        self._report(f"no checkpoints, a job that is interrupted starts over: {reason}, which can't be restored")

    def _write(self, packed: State) -> None:
        self._accept(self._file(packed), packed)

    def _file(self, packed: State) -> BinaryIO:
        """Write the state to a temporary file, which the system may hold in memory, and return it, still open."""
        self._may_write()
        beside = self.folder / f".{CHECKPOINT}.{os.getpid()}"
        file = beside.open("wb")
        try:
            _save({"format": FORMAT, "signature": self.signature, **packed}, file)
            file.flush()
        except BaseException:
            with suppress(OSError):  # it closes, and says once more that the disk is full
                file.close()
            beside.unlink(missing_ok=True)
            raise
        return file

    def _accept(self, file: BinaryIO, packed: State) -> None:
        """Make a file durable, and give it the name that counts."""
        beside = Path(file.name)
        try:
            with file:
                os.fsync(file.fileno())
            if not self._is_readable(beside, packed):
                return
            self._may_write()
            if (self.folder / CHECKPOINT).exists():
                (self.folder / CHECKPOINT).replace(self.folder / PREVIOUS_CHECKPOINT)
            beside.replace(self.folder / CHECKPOINT)
        finally:
            beside.unlink(missing_ok=True)
        sync_folder(self.folder)

    def _is_readable(self, path: Path, packed: State) -> bool:
        """Read the first checkpoint of this process back; later ones are made of the same types."""
        if self._is_verified:
            return True
        try:
            read = _read(path, mapped=True)
            unpack(read)
            problem = difference(packed, {key: read[key] for key in packed})
        except OSError:
            raise
        except Exception:
            problem = _unreadable(packed, "state")
        if problem:
            self._give_up(problem)
        self._is_verified = problem is None
        return self._is_verified


class _BackgroundWriter:
    """Runs one write at a time in a thread, and keeps its error for the thread that trains."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, write: Callable[[], None]) -> None:
        def run() -> None:
            try:
                write()
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def is_writing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        if self._thread:
            self._thread.join()

    def raise_error(self) -> None:
        error, self._error = self._error, None
        if error:
            raise error


def _unreadable(packed: Any, key: str) -> str:
    """Return the key and the type of the first value in a packed state that can't be read back."""
    parts = (
        packed.items() if isinstance(packed, dict) else enumerate(packed) if isinstance(packed, list | tuple) else ()
    )
    for name, value in parts:
        content = io.BytesIO()
        try:
            _save({"value": value}, content)
            content.seek(0)
            _read(content)
        except Exception:
            return _unreadable(value, f"{key}.{name}")
    return f"{key} is of type {type(packed).__module__}.{type(packed).__qualname__}"


def load_checkpoint(folder: Path, signature: str) -> tuple[State | None, list[str]]:
    """Return the newest readable checkpoint of the job with this signature, and a line for each one skipped."""
    remarks = []
    for path in (folder / CHECKPOINT, folder / PREVIOUS_CHECKPOINT):
        try:
            state = patiently(partial(_load, path))
        except FileNotFoundError:
            continue
        except Exception as error:
            remarks.append(f"{path.name} can't be read and was passed over ({wording(error, 200)})")
            continue
        if (state.get("format"), state.get("signature")) == (FORMAT, signature):
            return state, remarks
        remarks.append(f"{path.name} is of another job or version and was passed over")
    return None, remarks


def _save(state: State, file: BinaryIO) -> None:
    if "torch" not in sys.modules:
        # The task has no tensors to save, and may be spared a gigabyte of PyTorch.
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(PLAIN_STATE, pickle.dumps(state))
        return
    import torch

    try:
        torch.save(state, file)
    except RuntimeError as error:
        # After a failed write, torch closes its archive and reports only that closing failed too.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _load(path: Path) -> State:
    with open_stored(path) as file, zipfile.ZipFile(file) as archive:  # torch itself verifies no checksum
        size = path.stat().st_size
        check_archive(archive, size)
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"{damaged} in it is damaged")
    packed = _read(path)
    check_growth(packed, GROWTH * size)
    state: State = unpack(packed)
    return state


class _PlainUnpickler(pickle._Unpickler):
    """Reads values of Python's own types; reading runs no code of the file's.

    The implementation in C takes as much memory as the file says that there are objects.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in READ_BACK:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def _read(file: Path | BinaryIO, mapped: bool = False) -> State:
    """Read a file or, if it is `mapped`, only the parts of it that are looked at."""
    with zipfile.ZipFile(file) as archive:
        plain = archive.read(PLAIN_STATE) if PLAIN_STATE in archive.namelist() else None
    if plain is not None:
        state = _PlainUnpickler(io.BytesIO(plain)).load()
    else:
        import torch

        if not isinstance(file, Path):
            file.seek(0)
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped or None)
    if not isinstance(state, dict):
        raise TypeError(f"it holds a {type(state).__name__}")
    return state
