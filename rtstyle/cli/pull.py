"""``rtstyle styles pull``: fetch a style that others made, by name, after its licence was shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtstyle.cli.sample import sample_picture
from rtstyle.cli.terminal import echo, echo_json, keep_going
from rtstyle.errors import UsageError
from rtstyle.styles import user_folder
from rtstyle.styles.catalogue import CATALOGUE, CatalogueEntry, find_entry
from rtstyle.styles.download import Fetched, download_folder, fetch

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar


def _install(file: Path, entry: CatalogueEntry) -> str:
    """Make a style of the fetched file, and say so in a line."""
    from rtstyle.importers import import_style

    done = import_style(
        file, picture=sample_picture(), name=entry.name, licence=entry.licence, overwrite=True
    )
    return f"use it with --style {done.spec.name}"


IMPORTER: Callable[[Path, CatalogueEntry], str] = _install
"""The one place where fetching meets importing."""


@click.command(short_help="Fetch a style that others made.")
@click.argument("name", required=False)
@click.option("--list", "as_list", is_flag=True, help="Show the styles that can be fetched.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print JSON.")
@click.option(
    "--accept-licence",
    "accepted",
    is_flag=True,
    help="Accept a licence that does not allow everything; without it, you are asked.",
)
def pull(*, name: str | None, as_list: bool, as_json: bool, accepted: bool) -> None:
    """Fetch the style NAME from the address that its makers published, into your cache.

    The file is taken only if its hash is the one known here. A transfer that was broken off goes on
    where it ended when the command is given again.
    """
    if as_list == (name is not None) or (as_json and not as_list):
        raise UsageError("give the name of a style to fetch, or --list (with --json if wanted)")
    if name is None:
        _show_list(as_json)
        return
    keep_going()
    entry = find_entry(name)
    # Nothing is fetched that could not be kept.
    user_folder()
    download_folder()
    echo(f"{entry.title}: {entry.source}")
    echo(f"licence: {entry.licence}")
    if entry.non_commercial and not accepted:
        _ask(entry)
    fetched = _fetch(entry)
    for note in fetched.notes:
        echo(f"note: {note}", err=True)
    how = "was there already" if fetched.cached else "fetched"
    echo(f"{entry.file} {how}, its hash is right ({entry.bytes / 1e6:.1f} MB)")
    echo(IMPORTER(fetched.file, entry))


def _show_list(as_json: bool) -> None:
    if as_json:
        plain = [
            {
                "name": entry.name,
                "title": entry.title,
                "bytes": entry.bytes,
                "digest": {"kind": entry.digest.kind, "value": entry.digest.value},
                "addresses": list(entry.addresses),
                "licence": entry.licence,
                "non_commercial": entry.non_commercial,
                "source": entry.source,
            }
            for entry in CATALOGUE
        ]
        echo_json(plain)
        return
    name = max(len(entry.name) for entry in CATALOGUE)
    echo(f"{'NAME'.ljust(name)}  SIZE    LICENCE")
    for entry in CATALOGUE:
        echo(f"{entry.name.ljust(name)}  {entry.bytes / 1e6:.1f} MB  {entry.licence}")


def _ask(entry: CatalogueEntry) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            f"the licence of {entry.name} does not allow everything; add --accept-licence if you "
            "agree to it"
        )
    if not click.confirm("Do you agree to this licence?", default=False):
        raise UsageError("the licence was not accepted; nothing was fetched")


def _fetch(entry: CatalogueEntry) -> Fetched:
    if not sys.stderr.isatty():
        return fetch(entry)
    with ExitStack() as stack:
        bars: list[ProgressBar[int]] = []

        def show(there: int, whole: int) -> None:
            if not bars:  # a file that is there already needs none
                bar = click.progressbar(length=whole, label=entry.file, file=sys.stderr)
                bars.append(stack.enter_context(bar))
            bars[0].update(there - bars[0].pos)

        return fetch(entry, progress=show)
