"""Prefect's server as `make serve`, a flow without a server, and `deploy/` run it.

`prefect server start` answers whatever name it is asked by, so a page that points a name of its own
at this machine (DNS rebinding) is of the same origin. Here other names than those in REMINT_HOSTS
are refused: `uvicorn --factory flows.guarded:app`. And the scripts of its pages, which would tell a
service on the net who looks at them, may ask this server alone: at the address of the page, and at
the one where Prefect tells pages to find its API (PREFECT_SERVER_UI_API_URL).
"""

import os
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from prefect.server.api.server import create_app
from prefect.settings import PREFECT_UI_API_URL
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = "REMINT_HOSTS"  # names that the server goes by, between commas
LOOPBACK = "127.0.0.1,localhost"


def app() -> FastAPI:
    """Return the API, the pages and all services."""
    return _named(create_app(final=True))


def temporary() -> FastAPI:
    """Return the API alone, with the services that record what one flow does."""
    return _named(create_app(final=True, ephemeral=True))


def _named(served: FastAPI) -> FastAPI:
    hosts = os.environ.get(HOSTS, LOOPBACK).split(",")
    served.add_middleware(Contained)
    served.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    return served


def _askable() -> str:
    """Return what scripts may ask; the page's own name need not be the one of the API."""
    api = urlsplit(PREFECT_UI_API_URL.value() or "")
    place = api.netloc.rpartition("@")[2]
    if not place:
        return "'self'"  # a path alone is one of the page's own server
    sockets = api.scheme.replace("http", "ws")
    return f"'self' {api.scheme}://{place} {sockets}://{place}"


class Contained:
    """Tells browsers to let the scripts of a page ask nobody but this server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.policy = (b"content-security-policy", f"connect-src {_askable()}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, with one header more."""

        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), self.policy]
            await send(message)

        await self.app(scope, receive, with_header if scope["type"] == "http" else send)
