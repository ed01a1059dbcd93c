"""Prefect's server as `make serve`, a flow without a server, and `deploy/` run it.

`prefect server start` answers whatever name it is asked by, so a page that points a name of its own
at this machine (DNS rebinding) is of the same origin. Here other names than those in REMINT_HOSTS
are refused: `uvicorn --factory flows.guarded:app`.
"""

import os

from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from prefect.server.api.server import create_app

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
    served.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    return served
