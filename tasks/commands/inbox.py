"""`remint inbox`: what is new in a folder is restored into another, each image once.

Nothing is moved. A ledger (OUT/.remint-inbox.sqlite) knows every file by path and content; what
fails is listed in OUT/quarantine.csv and tried again when the file changes. A pass that is killed
at any moment is continued by the next. What is not the image's fault (a full disk, no memory, a
GPU that fails, a model that can't be loaded) ends the pass, and the next one tries again.
"""

import errno
import json
import os
import time
from collections import Counter
from contextlib import closing
from copy import copy
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from remint.core.device import pick_device
from remint.core.fingerprint import model_fingerprint
from remint.core.gpu_errors import gpu_failed
from remint.restorer.shipped import members
from tasks.commands import overtime
from tasks.commands.arrivals import Arrival, scan
from tasks.commands.ledger import DONE, QUARANTINED, RESTORED, STARTED, Entry, Ledger
from tasks.commands.limits import MAX_PIXELS, MAX_SECONDS
from tasks.commands.model_choice import champion_or_shipped, chosen_restorer
from tasks.commands.outbox import QUARANTINE, sweep, write_quarantine
from tasks.commands.plans import SUFFIXES, RestoreJob, make_folder
from tasks.commands.restore_files import Models, RestoreOptions, restore_one
from tasks.stage.console import say

LEDGER, LOCK = ".remint-inbox.sqlite", ".remint-inbox.lock"
# Of a disk, a store or a process: what they say is not the image's fault
OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
    *(errno.EACCES, errno.EPERM, errno.ESTALE),
}
LATE, LEAST = 2, 10.0  # times as long, and seconds: what is not back then ends the pass


def tell(counts: Counter[str] | None, inbox: Path, as_json: bool) -> None:
    """Print what a pass did; None: another was at work. as_json: the counts in the last line."""
    if counts is None:
        say(f"another pass over {inbox} is at work; this one leaves it to that")
    else:
        say(", ".join(f"{counts[name]} {name}" for name in sorted(counts)) or "nothing there")
    if as_json:
        say(json.dumps(dict(sorted((counts or Counter()).items()))))


def one_pass(
    inbox: Path,
    out: Path,
    model: str,
    device: str,
    again: bool = False,
    max_pixels: int = MAX_PIXELS,
    max_seconds: float = MAX_SECONDS,
) -> Counter[str] | None:
    """Restore what is new; return how many files were what, None while another pass is at work.

    Raises ValueError, before any image is taken, for a device that is not there, and a limit that
    lets none pass.
    """
    if not max_seconds > 0:
        raise ValueError(f"max_seconds: found {max_seconds}, needed more than 0")
    RestoreOptions(Path(model), max_pixels=max_pixels)  # refuses what is out of range
    if not inbox.is_dir():
        raise ValueError(f"{inbox} is no folder; make it, or name the one that images arrive in")
    if out.resolve().is_relative_to(inbox.resolve()):
        raise ValueError(f"{out} lies inside {inbox}; choose a folder outside")
    pick_device(device)
    make_folder(out)
    try:
        held = FileLock(out / LOCK).acquire(blocking=False)
    except Timeout:
        return None
    with held, closing(Ledger(out / LEDGER, inbox)) as ledger:
        sweep(out / entry.path for _, entry in ledger.unfinished())
        unread: list[str] = []
        worker = Worker(ledger, out, model, device, again, max_pixels, max_seconds)
        counts = Counter(worker.take(arrival) for arrival in scan(inbox, unread))
        write_quarantine(ledger, out / QUARANTINE)
    for told in unread:
        say(told)
    return counts + Counter({"folders that can't be read": len(unread)})


class Worker:
    """Takes one file after another; the model is loaded for the first that needs it."""

    def __init__(
        self,
        ledger: Ledger,
        out: Path,
        model: str,
        device: str,
        again: bool,
        max_pixels: int,
        max_seconds: float,
    ) -> None:
        self.ledger, self.out, self.device, self.again = ledger, out, device, again
        self.max_pixels, self.max_seconds = max_pixels, max_seconds
        self.folder = champion_or_shipped() if model == "champion" else chosen_restorer(model)
        self.fingerprint = "+".join(map(model_fingerprint, members(self.folder)))
        self.models: Models | None = None

    def take(self, arrival: Arrival) -> str:
        """Restore a file if it is new; return what became of it."""
        known = self.ledger.get(arrival.name)
        if not arrival.is_link and arrival.path.suffix.lower() not in SUFFIXES:
            return "left out as no images"
        if known and known.outcome in DONE and self._same(known, arrival.status):
            return "known"
        if not arrival.is_file:
            kind = "a link" if arrival.is_link else "no regular file"
            return self._quarantine(arrival, "", f"it is {kind}, which is never followed or opened")
        if not arrival.is_settled():
            return "waiting"
        try:
            content = arrival.content()
        except OSError as error:
            return self._unread(arrival, error)
        if known and known.outcome in DONE and known.content == content and not self._due(known):
            self._note(arrival, content, known.outcome, known.reason, known.output)
            return "known"
        return self._restore(arrival, content, known)

    def _unread(self, arrival: Arrival, error: OSError) -> str:
        """Quarantine a file that may not be read; the machine's fault passes by the next pass."""
        if isinstance(error, FileNotFoundError):
            return "taken away"
        if not_of_the_image(error) and not isinstance(error, PermissionError):
            say(f"left for the next pass: {arrival.name!r}: it can't be read ({error.strerror})")
            return "left for the next pass"
        return self._quarantine(arrival, "", f"it can't be read ({error.strerror})")

    def _same(self, known: Entry, status: os.stat_result) -> bool:
        unchanged = (known.size, known.changed) == (status.st_size, status.st_mtime_ns)
        return unchanged and not self._due(known)

    def _due(self, known: Entry) -> bool:
        other_model = known.outcome == RESTORED and known.model != self.fingerprint
        return self.again and (known.outcome == QUARANTINED or other_model)

    def _restore(self, arrival: Arrival, content: str, known: Entry | None) -> str:
        ours, target = known is not None and known.output, self.out / arrival.name
        if not ours and os.path.lexists(target):
            reason = f"{target} exists already and was not made from it; move one of the two away"
            return self._quarantine(arrival, content, reason)
        models = self._loaded()
        self._note(arrival, content, STARTED, output=True)  # from here on ours to replace
        job, originals = RestoreJob(arrival.path, target, arrival.name), {arrival.path.resolve()}
        late = partial(self._end_late, arrival, content, ours)
        try:
            with overtime.watched(max(LEAST, LATE * self.max_seconds), late):
                restore_one(job, models.of(job), self._options(force=ours), originals)
        except Exception as error:  # decoders throw what they like at a broken file
            if not_of_the_image(error):
                self._take_back(arrival, known)
                raise
            if not os.path.lexists(arrival.path):
                self._take_back(arrival, known)
                return "taken away"
            reason = " ".join(str(error).split()) or repr(error)
            return self._quarantine(arrival, content, reason, output=ours)
        if arrival.has_changed():
            return "waiting"  # it changed under our hands; the next pass replaces the result
        self._note(arrival, content, RESTORED, output=True)
        return "restored"

    def _end_late(self, arrival: Arrival, content: str, ours: bool) -> None:
        """Quarantine an image from another thread, before the process that is at it ends."""
        late = copy(self)
        late.ledger = self.ledger.again()  # SQLite wants one for each thread
        reason = (
            "it took too long and can't be interrupted, which ends this pass; the next goes on "
            "with the others: shrink it, or give it more --max-seconds and --again"
        )
        late._quarantine(arrival, content, reason, output=ours)
        write_quarantine(late.ledger, self.out / QUARANTINE)

    def _take_back(self, arrival: Arrival, known: Entry | None) -> None:
        if known is None:
            self.ledger.forget(arrival.name)
        else:
            self.ledger.put(known)

    def _loaded(self) -> Models:
        if self.models is None:
            self.models = Models(self._options(force=False))
        return self.models

    def _options(self, force: bool) -> RestoreOptions:
        return RestoreOptions(
            model=self.folder,
            device=self.device,
            max_pixels=self.max_pixels,
            force=force,
            until=time.monotonic() + self.max_seconds,
        )

    def _quarantine(self, arrival: Arrival, content: str, reason: str, output: bool = False) -> str:
        self._note(arrival, content, QUARANTINED, reason, output)
        say(f"quarantined: {arrival.name!r}: {reason}")
        return "quarantined"

    def _note(
        self, arrival: Arrival, content: str, outcome: str, reason: str = "", output: bool = False
    ) -> None:
        status = arrival.status
        self.ledger.put(
            Entry(
                path=arrival.name,
                content=content,
                size=status.st_size,
                changed=status.st_mtime_ns,
                model=self.fingerprint,
                outcome=outcome,
                reason=reason,
                at=time.time(),
                output=output,
            )
        )


def not_of_the_image(error: Exception) -> bool:
    """Say whether an error speaks of the disk, the memory or the device, and not of the image."""
    if isinstance(error, OSError):
        return error.errno in OF_THE_MACHINE
    return isinstance(error, MemoryError) or gpu_failed(error)
