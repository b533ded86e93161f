"""The routes: what a page may ask of the server. Who may ask is decided in ``guards``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from aiohttp import hdrs, web

from rtstyle import __version__
from rtstyle.errors import DiskFull, LimitExceeded, ModelError, OutputNotWritable, UsageError
from rtstyle.web.downloads import send_file
from rtstyle.web.gallery import Gallery
from rtstyle.web.guards import (
    SCRIPTS,
    SESSION,
    Gate,
    add_headers,
    cookie_name,
    locked,
    middleware,
    refuse,
)
from rtstyle.web.jobs import TYPES, Job, Jobs
from rtstyle.web.peers import answer_call
from rtstyle.web.places import BusyError, Places, TooSlowError
from rtstyle.web.schema import is_identifier, parse_job, parse_live, parse_offer, parse_opening
from rtstyle.web.socket import serve_socket
from rtstyle.web.spool import Spool
from rtstyle.web.viewer import TooManyViewersError, Viewer, Viewers

MAX_BODY_BYTES = 96 * 1024
"""Of anything but an upload."""

_PAGE = {
    "/": ("index.html", "text/html"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in SCRIPTS},
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with."""

    spool: Spool
    jobs: Jobs
    gallery: Gallery
    viewers: Viewers
    places: Places


PARTS = web.AppKey("parts", Parts)
GATE = web.AppKey("gate", Gate)


def make_app(parts: Parts, gate: Gate) -> web.Application:
    """The application, guarded; its owner closes what is in ``parts``."""
    app = web.Application(
        middlewares=[middleware(gate, parts.places)], client_max_size=MAX_BODY_BYTES
    )
    app[PARTS], app[GATE] = parts, gate
    app.on_response_prepare.append(add_headers)
    for path in _PAGE:
        app.router.add_get(path, _page)
    app.router.add_post(SESSION, _session)
    app.router.add_get("/api/about", _about)
    app.router.add_get("/api/styles/{name}/picture", _style_picture)
    app.router.add_post("/api/uploads", _upload)
    app.router.add_delete("/api/uploads/{id}", _remove_upload)
    app.router.add_get("/api/jobs", _list_jobs)
    app.router.add_post("/api/jobs", _start_job)
    app.router.add_post("/api/jobs/{id}/{action:stop|resume}", _act)
    app.router.add_delete("/api/jobs/{id}", _remove_job)
    app.router.add_get("/api/jobs/{id}/{part:result|before}", _result)
    app.router.add_post("/api/live", _offer)
    app.router.add_get("/api/live/socket", _socket)
    app.router.add_get("/api/live/{id}", _live)
    app.router.add_post("/api/live/{id}", _tune)
    app.router.add_delete("/api/live/{id}", _hang_up)
    return app


async def _page(request: web.Request) -> web.Response:
    name, kind = _PAGE[request.path]
    body = files("rtstyle.web").joinpath("page", name).read_bytes()
    return web.Response(body=body, content_type=kind, charset="utf-8")


async def _session(request: web.Request) -> web.Response:
    """Trade the token of the address for a cookie that scripts cannot read."""
    gate = request.app[GATE]
    if not gate.trades(request):
        return locked(request)
    response = web.json_response({})
    response.set_cookie(
        cookie_name(request),
        gate.token,
        httponly=True,
        samesite="Strict",
        secure=request.secure,
        path="/",
    )
    return response


async def _about(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    return web.json_response(
        {
            "version": __version__,
            "styles": parts.gallery.public(),
            "max_upload_bytes": parts.spool.max_bytes,
        }
    )


async def _style_picture(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    spec = parts.gallery.styles().get(request.match_info["name"])
    if spec is None:
        raise web.HTTPNotFound(reason="no such style")
    try:
        path = await parts.gallery.picture(spec)
    except ModelError as error:
        return refuse(404, str(error))
    try:
        return await _file(request, path, f"{spec.name}.jpg", cached=True)
    except OSError:
        return refuse(404, f"the picture of {spec.name} is gone; reload the page")


async def _upload(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    if request.content_type != "application/octet-stream":
        raise web.HTTPUnsupportedMediaType(reason="a file is sent as application/octet-stream")
    try:
        with parts.places.transfer(request, "upload") as transfer:
            upload = await parts.spool.receive(
                request.query.get("name", ""),
                _chunks(request),
                transfer,
                promised=request.content_length,
            )
    except BusyError:
        raise
    except LimitExceeded as error:
        return _closing(413, str(error))
    except (DiskFull, OutputNotWritable) as error:
        return _closing(507, str(error))
    except TooSlowError as error:
        return _closing(408, str(error))
    return web.json_response(
        {
            "id": upload.id,
            "name": upload.name,
            "bytes": upload.bytes,
            "is_picture": upload.is_picture,
        }
    )


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_chunked(64 * 1024):
        yield chunk


def _closing(status: int, message: str) -> web.Response:
    """A refusal whose connection ends with it, since the rest of the body was not read."""
    response = refuse(status, message)
    response.force_close()
    return response


async def _remove_upload(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    upload = parts.spool.uploads.get(_identifier(request))
    if upload is None:
        raise web.HTTPNotFound(reason="that file is not here any more")
    await parts.jobs.remove_all_of(upload)
    return web.json_response({})


async def _list_jobs(request: web.Request) -> web.Response:
    return web.json_response({"jobs": request.app[PARTS].jobs.listed()})


async def _start_job(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    options = parse_job(await _body(request), styles=list(parts.gallery.styles()))
    return web.json_response(parts.jobs.start(options).public(), status=201)


async def _act(request: web.Request) -> web.Response:
    jobs, job = request.app[PARTS].jobs, _job(request)
    if request.match_info["action"] == "stop":
        jobs.stop(job)
    else:
        jobs.resume(job)
    return web.json_response(job.public())


async def _remove_job(request: web.Request) -> web.Response:
    await request.app[PARTS].jobs.remove(_job(request))
    return web.json_response({})


async def _result(request: web.Request) -> web.StreamResponse:
    job = _job(request)
    path, name = job.target, job.result_name
    if request.match_info["part"] == "before":
        path = path.with_name(f"{path.stem}-before.jpg")
    if job.state != "done":
        raise web.HTTPNotFound(reason="there is no result yet")
    try:
        return await _file(request, path, name)
    except OSError:
        # Somebody cleaned up in the server's folder; the job says so from now on.
        job.look()
        raise web.HTTPGone(reason="the result is gone from the server's folder") from None


async def _offer(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    try:
        # Before anything is read or looked at: who is refused tries again and again.
        parts.viewers.check_room()
        offer = parse_offer(await _body(request), styles=list(parts.gallery.styles()))
        identifier, answer = await answer_call(parts.viewers, offer, client=request.remote or "")
    except TooManyViewersError as error:
        return refuse(503, str(error), Retry_After="5")
    return web.json_response({"id": identifier, "sdp": answer}, status=201)


async def _socket(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    # A browser sends no Origin where the page asks for the reason of a refusal, by a plain GET.
    own = request.headers.get("Sec-Fetch-Site") == "same-origin"
    if hdrs.ORIGIN not in request.headers and not own and not request.app[GATE].bears(request):
        return refuse(403, "a request without an Origin needs the token in Authorization")
    if unknown := sorted(set(request.query) - {"options"}):
        raise UsageError(f"unknown option {unknown[0][:40]!r}; known is options")
    try:
        parts.viewers.check_room()
        styles = list(parts.gallery.styles())
        options = parse_opening(request.query.get("options", ""), styles=styles)
        return await serve_socket(request, parts.viewers, options)
    except TooManyViewersError as error:
        return refuse(503, str(error), Retry_After="5")


async def _live(request: web.Request) -> web.Response:
    return web.json_response(_viewer(request).stats())


async def _tune(request: web.Request) -> web.Response:
    parts, viewer = request.app[PARTS], _viewer(request)
    styles = list(parts.gallery.styles())
    options = parse_live(await _body(request), styles=styles, now=viewer.wanted)
    parts.viewers.tune(viewer, options)
    return web.json_response({})


async def _hang_up(request: web.Request) -> web.Response:
    await request.app[PARTS].viewers.leave(_viewer(request))
    return web.json_response({})


def _viewer(request: web.Request) -> Viewer:
    viewer = request.app[PARTS].viewers.find(_identifier(request))
    if viewer is None:
        raise web.HTTPNotFound(reason="this connection is not there any more")
    return viewer


async def _body(request: web.Request) -> bytes:
    if request.content_type != "application/json":
        # What a form of another site can send never is.
        raise web.HTTPUnsupportedMediaType(reason="the body must be application/json")
    with request.app[PARTS].places.transfer(request) as transfer:
        try:
            async with transfer.waiting():
                return await request.read()
        except TooSlowError:
            raise web.HTTPRequestTimeout(reason="the request did not come whole") from None


def _identifier(request: web.Request) -> str:
    identifier = request.match_info["id"]
    if not is_identifier(identifier):
        raise web.HTTPNotFound(reason="no such id")
    return identifier


def _job(request: web.Request) -> Job:
    job = request.app[PARTS].jobs.all.get(_identifier(request))
    if job is None:
        raise web.HTTPNotFound(reason="this job is not there any more")
    return job


async def _file(
    request: web.Request, path: Path, name: str, *, cached: bool = False
) -> web.StreamResponse:
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: TYPES[path.suffix],
        # Quoted for every character, as RFC 6266 has it.
        hdrs.CONTENT_DISPOSITION: f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    if cached:
        headers[hdrs.CACHE_CONTROL] = "private, max-age=3600"
    return await send_file(request, request.app[PARTS].places, path, headers)
