"""`remint web`: restoring and minting on a page of this machine's own browser."""

import argparse
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

HOST = "127.0.0.1"  # nobody else's machine reaches it
PORT = 7860
LARGEST = "256mb"  # of a file that is dropped
# Before gradio is imported: it counts its users and looks for newer versions, unless told not to
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    web = subparsers.add_parser(
        "web",
        help="restore and mint in the browser",
        description="Serve a page to this machine alone, until Ctrl-C: drop a picture, compare it "
        "before and after, paint what is to be filled, download it with its metadata; mint by "
        "class and seed. No other host is asked for anything. Needs remint[web].",
    )
    web.set_defaults(run=run)
    web.add_argument("--port", type=int, default=PORT, help=f"of {HOST}; default {PORT}")


def run(given: argparse.Namespace) -> None:
    """Serve until Ctrl-C; ValueError with a sentence where the extra is absent."""
    if find_spec("gradio") is None:
        raise ValueError("the page needs gradio, which is not installed: pip install 'remint[web]'")
    from tasks.stage.console import say

    with tempfile.TemporaryDirectory(prefix="remint-web-") as folder:
        os.environ.update({**QUIET, "GRADIO_TEMP_DIR": folder})
        from tasks.commands import web_page

        page = web_page.build(Path(folder)).queue(default_concurrency_limit=1)
        try:
            page.launch(
                server_name=HOST,
                server_port=given.port,
                share=False,
                ssr_mode=False,
                quiet=True,
                run_history=False,
                footer_links=[],
                max_file_size=LARGEST,
                prevent_thread_lock=True,
            )
        except OSError as error:
            raise ValueError(f"{error}; name another port with --port") from None
        say(f"{page.local_url.rstrip('/')} (Ctrl-C ends it)")
        try:
            page.block_thread()
        finally:
            page.close(verbose=False)
