"""Work in threads: the only place of the package that starts one.

A task is a function or a generator that runs in a thread of a pool. What it yields, returns or raises comes back as a
signal in the thread of the window. `concurrent.futures` keeps every exception, RuntimeErrors included, so none is lost;
napari's own generator workers drop RuntimeErrors and replace the process's warning hook while they run.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, Qt, Signal, Slot

from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui.translation import _

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

#: A job that waits for its child process, an export, a case and a prefetch may overlap; more need not.
_THREADS = 6


class _Relay(QObject):
    """Carries calls from the pool's threads to the thread that made it.

    Its slot is a method of a QObject and its connection queued: Qt would call anything else in the pool's thread. It is
    made and destroyed in the thread of the window, whose events it takes part in; so there is one for all tasks, which
    no thread of the pool is ever the last to hold.
    """

    sent = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self.sent.connect(self.deliver, Qt.ConnectionType.QueuedConnection)

    @Slot(object, object)
    def deliver(self, receive: Callable[[Any], None], value: Any) -> None:
        """Hand on a value, or an end."""
        receive(value)


class Task:
    """One piece of work that was started.

    Its callbacks run in the window's thread, and never after `forget()`.
    """

    def __init__(
        self,
        yielded: Callable[[Any], None] | None,
        returned: Callable[[Any], object] | None,
        failed: Callable[[str], None] | None,
    ) -> None:
        self.stop = threading.Event()
        self._returned = returned
        self._failed = failed
        self._yielded = yielded
        self._future: Future[Any] | None = None

    @property
    def running(self) -> bool:
        """Whether the thread is still at work."""
        return self._future is not None and not self._future.done()

    def forget(self) -> None:
        """Ask the work to stop at its next yield, and drop whatever it still gives."""
        self.stop.set()
        self._yielded = self._returned = self._failed = None

    def _work(self, send: Callable[[Any], None], function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run in the thread: a generator's values are sent one by one."""
        result = function(*args)
        if not inspect.isgenerator(result):
            return result
        try:
            for value in result:
                send(value)
                if self.stop.is_set() and self._yielded is None:
                    break
        finally:
            result.close()
        return None

    def _on_yielded(self, value: Any) -> None:
        if self._yielded is not None:
            self._yielded(value)

    def _on_done(self, future: Future[Any]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            if self._returned is not None:
                self._returned(future.result())
        elif self._failed is not None:
            self._failed(describe(error))


class Workers:
    """The threads of one window."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="lesion-points")
        self._relay = _Relay()
        self._tasks: list[Task] = []

    def start(
        self,
        function: Callable[..., Any],
        *args: Any,
        yielded: Callable[[Any], None] | None = None,
        returned: Callable[[Any], object] | None = None,
        failed: Callable[[str], None] | None = None,
    ) -> Task:
        """Run `function(*args)` in a thread.

        Parameters
        ----------
        function : callable
            A function, or a generator function whose values go to `yielded`.
        *args
            Its arguments: snapshots, never widgets or layers.
        yielded, returned, failed : callable, optional
            Called in the window's thread: with each value, with the result, or with a message for the user.
        """
        task = Task(yielded, returned, failed)
        self._tasks.append(task)  # held until its end is delivered

        def ended(future: Future[Any]) -> None:
            self._tasks.remove(task)
            task._on_done(future)

        task._future = self._pool.submit(task._work, partial(self._relay.sent.emit, task._on_yielded), function, args)
        task._future.add_done_callback(partial(self._relay.sent.emit, ended))
        return task

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop every task and wait for the threads, at most `timeout_s` seconds."""
        for task in self._tasks:
            task.forget()
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait([task._future for task in self._tasks if task._future is not None], timeout=timeout_s)


def wait_for(function: Callable[[], _T]) -> _T:
    """Run a function in a thread while the window's events go on, for callers that need the result on return."""
    if QCoreApplication.instance() is None:
        return function()
    loop = QEventLoop()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(function)
        relay = _Relay()
        future.add_done_callback(partial(relay.sent.emit, lambda __: loop.quit()))
        loop.exec()
    return future.result()


def describe(error: BaseException) -> str:
    """Return the message of an error for the user; the trace of an unexpected one goes to the log."""
    if isinstance(error, LesionPointsError):
        return str(error)
    _LOG.error("Unexpected error in a worker", exc_info=error)
    said = _("Unexpected {kind}: {error}. Your points are stored; please report this with the log.")
    return said.format(kind=type(error).__name__, error=error)
