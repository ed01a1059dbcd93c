"""Refuse values of params.yaml that a shell would read: the first command of stages that use them.

python -m tasks.commands.plain_paths ingest.path

dvc.yaml puts such values between double quotes; what a shell reads even there ends the stage before
the command that holds it is begun.
"""

import re
import sys
from collections.abc import Sequence

from remint.core.dotted import dotted
from tasks.stage import params

READ = re.compile(r'["\\$`\x00-\x1f\x7f]')


def main(argv: Sequence[str]) -> None:
    """Exit 1 with a sentence for the first of the dotted keys whose value is not plain."""
    try:
        values = dotted(params.read("params.yaml"))
    except (params.ParamsError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    for key in argv:
        if said := problem(key, str(values.get(key, ""))):
            raise SystemExit(f"error: {said}")


def problem(key: str, value: str) -> str | None:
    """Return a sentence on what a shell would read of a value between double quotes."""
    if (read := READ.search(value)) is None:
        return None
    return (
        f"{key}: found {value!r}, of which a shell would read the {read[0]!r}; use a name without "
        "double quotes, backslashes, dollars, backticks and line breaks"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
