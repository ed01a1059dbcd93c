"""A queue to a service: one thread sends in order, and tells what was lost, but never raises."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.stage.console import discreet, say

FAILURES_IN_A_ROW = 3
AWAY_SECONDS = 60.0
FLUSH_SECONDS = 180.0


class DeliveryQueue:
    """Sends items to a service that may vanish, without ever stopping the work that made them.

    The first failure is told at once. After three in a row the service counts as away, and for a
    minute nothing more is tried but urgent items; `tell` says how much of what was lost.
    """

    def __init__(self, service: str) -> None:
        """service: the name that stands in warnings."""
        self.service = service
        self.lost: Counter[str] = Counter()
        self._told = False
        self._failures = 0
        self._away_until = 0.0
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="delivery", daemon=True)
        self._thread.start()

    def put(
        self,
        what: str,
        send: Callable[[], object],
        wait: bool = False,
        kept: bool = False,
        urgent: bool = False,
    ) -> None:
        """Queue `send`, a call that raises when it fails; `what` names its cargo in warnings.

        wait: return only when it was tried, for cargo that the caller is about to move or delete.
        kept: whoever sends keeps the cargo for the next time, so that nothing is lost yet.
        urgent: tried also while the service counts as away.
        """
        item = _Item(what, send, kept, urgent)
        self._items.put(item)
        if wait:
            item.done.wait(FLUSH_SECONDS)

    def away(self) -> None:
        """Count the service as away: for a minute only urgent items are tried."""
        self._told, self._away_until = True, time.monotonic() + AWAY_SECONDS

    def close(self) -> None:
        """Send what is left, for three minutes at most."""
        self._items.put(None)
        self._thread.join(FLUSH_SECONDS)
        if self._thread.is_alive():
            self.lost["what was still waiting to be sent"] += 1

    def tell(self) -> None:
        """Say what was lost, if anything was."""
        if lost := +self.lost:
            parts = ", ".join(f"{count} x {what}" for what, count in sorted(lost.items()))
            say(f"warning: {self.service} lost {parts}")

    def _loop(self) -> None:
        while (item := self._items.get()) is not None:
            self._deliver(item)

    def _deliver(self, item: "_Item") -> None:
        try:
            if time.monotonic() < self._away_until and not item.urgent:
                self.lost[item.what] += not item.kept
                return
            item.send()
            self._failures = 0
        except Exception as error:
            self._failed(item, error)
        finally:
            item.done.set()

    def _failed(self, item: "_Item", error: Exception) -> None:
        if not self._told:
            say(
                f"warning: {self.service} did not take {item.what}, work goes on: {one_line(error)}"
            )
        self._told = True
        self.lost[item.what] += not item.kept
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self._failures = 0
            self.away()


@dataclass(frozen=True)
class _Item:
    what: str
    send: Callable[[], object]
    kept: bool
    urgent: bool
    done: threading.Event = field(default_factory=threading.Event)


def one_line(error: Exception) -> str:
    """Return the first 300 characters of an error on one line, its type where it says nothing.

    Passwords go before the cut, which could leave half of one that is not known for what it is.
    """
    return discreet(" ".join(str(error).split()))[:300] or type(error).__name__
