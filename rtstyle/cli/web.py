"""``rtstyle web``."""

from __future__ import annotations

import os
import webbrowser
from dataclasses import replace
from pathlib import Path

import click

from rtstyle.backends import BACKENDS
from rtstyle.cli.terminal import echo, keep_going
from rtstyle.cli.trouble import told_of
from rtstyle.errors import UsageError
from rtstyle.types import DEFAULT_LIMITS
from rtstyle.web.server import LOG, Address, Settings, check, run

TOKEN_VARIABLE = "RTSTYLE_WEB_TOKEN"

_EPILOG = """\b
Examples:
  rtstyle web
  rtstyle web --open --port 8000
  rtstyle web --host 192.168.1.5 --tls-cert cert.pem --tls-key key.pem

It listens on this machine alone, and only who has the printed address gets in, since a machine may
have other users: the token in it is made anew each time, or taken from RTSTYLE_WEB_TOKEN.
Uploads and results lie in a private folder that is deleted when the server ends: download what you
want to keep.
"""


@click.command(epilog=_EPILOG, short_help="Serve a page: live camera, films and pictures.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7860,
    show_default=True,
    help="The port to listen on; 0 takes one that is free.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name by which browsers on other machines call this one; may be given several times.",
)
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Certificate (PEM) for https; browsers give their camera to no page without, but on "
    "their own machine.",
)
@click.option(
    "--tls-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The certificate's key (PEM).",
)
@click.option(
    "--insecure", is_flag=True, help="Allow another --host without https, in a network you trust."
)
@click.option(
    "--max-upload",
    type=click.IntRange(1, 2**20),
    default=DEFAULT_LIMITS.max_upload_bytes // 2**20,
    show_default=True,
    metavar="MiB",
    help="The largest file that is taken.",
)
@click.option(
    "--max-clients",
    type=click.IntRange(1, 64),
    default=DEFAULT_LIMITS.max_clients,
    show_default=True,
    metavar="N",
    help="How many cameras may be on at a time.",
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="auto",
    show_default=True,
    help="What runs the nets.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
def web(
    *,
    host: str,
    port: int,
    names: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure: bool,
    max_upload: int,
    max_clients: int,
    backend: str,
    open_page: bool,
) -> None:
    """Serve a page for the browser: live camera, films and pictures."""
    keep_going()
    settings = Settings(
        host=host,
        port=port,
        token=os.environ.get(TOKEN_VARIABLE) or None,
        tls_cert=tls_cert,
        tls_key=tls_key,
        insecure=insecure,
        names=names,
        backend=backend,
        limits=replace(
            DEFAULT_LIMITS, max_upload_bytes=max_upload * 2**20, max_clients=max_clients
        ),
    )
    check(settings)
    if not host:
        raise UsageError("--host is empty; leave it out to listen on this machine alone")
    if not settings.is_local:
        echo(
            f"warning: {host} is open to other machines; whoever has the address below may use "
            "this server and see what others uploaded",
            err=True,
        )

    def ready(address: Address) -> None:
        echo(f"rtstyle is at {address.url}", secret=True)
        echo("Ctrl-C ends it")
        if open_page:
            webbrowser.open(address.opening)

    with told_of(LOG):
        run(settings, ready)
