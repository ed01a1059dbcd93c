"""Prefect's server as `make serve`, a flow without a server, and `deploy/` run it.

`prefect server start` answers whatever name it is asked by, so a page that points a name of its own
at this machine (DNS rebinding) is of the same origin. Here other names than those in REMINT_HOSTS
are refused: `uvicorn --factory flows.guarded:app`. And its pages, which would tell a service on
the net who looks at them, reach no host but the one that they came from.
"""

import os

from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from prefect.server.api.server import create_app
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = "REMINT_HOSTS"  # names that the server goes by, between commas
LOOPBACK = "127.0.0.1,localhost"
OWN_HOST = (b"content-security-policy", b"connect-src 'self'")


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


class Contained:
    """Tells browsers to let a page ask nobody but the server that it came from."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, with one header more."""

        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), OWN_HOST]
            await send(message)

        await self.app(scope, receive, with_header if scope["type"] == "http" else send)
