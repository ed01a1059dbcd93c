"""An outbox: one thread sends in order; what cannot be sent is counted and named, never raised."""

import queue
import threading
from collections import Counter
from collections.abc import Callable

from tasks.console import say

FAILURES_IN_A_ROW = 3
FLUSH_SECONDS = 180.0


class Outbox:
    """Sends items to a service that may vanish, without ever stopping the work that made them.

    The first failure is told at once; after three in a row the service counts as gone and nothing
    more is tried; `close` says how much of what was lost.
    """

    def __init__(self, service: str) -> None:
        """service: the name that stands in warnings."""
        self.service = service
        self.lost: Counter[str] = Counter()
        self._failures = 0
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="outbox", daemon=True)
        self._thread.start()

    def put(self, what: str, send: Callable[[], object], wait: bool = False) -> None:
        """Queue `send`, a call that raises when it fails; `what` names its cargo in warnings.

        wait: return only when it was tried, for cargo that the caller is about to move or delete.
        """
        item = _Item(what, send)
        self._items.put(item)
        if wait:
            item.done.wait(FLUSH_SECONDS)

    def close(self) -> None:
        """Send what is left, for three minutes at most, and say what was lost."""
        self._items.put(None)
        self._thread.join(FLUSH_SECONDS)
        if self._thread.is_alive():
            self.lost["what was still waiting to be sent"] += 1
        if self.lost:
            parts = ", ".join(f"{count} x {what}" for what, count in sorted(self.lost.items()))
            say(f"warning: {self.service} lost {parts}")

    def _loop(self) -> None:
        while (item := self._items.get()) is not None:
            self._deliver(item)

    def _deliver(self, item: "_Item") -> None:
        try:
            if self._failures < FAILURES_IN_A_ROW:
                item.send()
                self._failures = 0
            else:
                self.lost[item.what] += 1
        except Exception as error:
            self._failed(item.what, error)
        finally:
            item.done.set()

    def _failed(self, what: str, error: Exception) -> None:
        if not self.lost:
            say(f"warning: {self.service} did not take {what}, work goes on: {one_line(error)}")
        self.lost[what] += 1
        self._failures += 1


class _Item:
    def __init__(self, what: str, send: Callable[[], object]) -> None:
        self.what = what
        self.send = send
        self.done = threading.Event()


def one_line(error: Exception) -> str:
    """Return the first 300 characters of an error on one line, its type where it says nothing."""
    return " ".join(str(error).split())[:300] or type(error).__name__
