"""The flow `restore-inbox`: the champion restores what is new in a folder, each image once."""

import json
import sys
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from pydantic import Field

from flows import exclusive, stages

Folder = Annotated[str, Field(min_length=1)]


class InboxError(RuntimeError):
    """A pass over the inbox did not end well; the message carries its last lines."""


@flow(name="restore-inbox", validate_parameters=True)
def restore_inbox(
    inbox: Folder = "data/inbox", output: Folder = "data/outbox", model: Folder = "champion"
) -> None:
    """Restore the images of `inbox` that were not restored yet into `output`.

    model: champion, challenger or previous of the registry, or a model's folder. Nothing is moved;
    what fails is listed in OUTPUT/quarantine.csv and tried again when the file has changed.
    """
    remint = [sys.executable, "-m", "tasks.commands.cli"]
    command = [*remint, "inbox", inbox, output, "--model", model, "--json"]
    with exclusive.gpu(True):
        end = stages.follow(command, {}, get_run_logger().info, Path.cwd())
    if end.code:
        raise InboxError("the pass over the inbox failed:\n" + "\n".join(end.tail))
    create_table_artifact([json.loads(end.tail[-1])], key="inbox", description="What the pass did")
