"""The few pages for browsers: home, logs, static files, errors outside /api. Source: suite endpoints."""

from __future__ import annotations

from html import escape

import orjson

from amondawa.protocols.opentsdb.calls import Answer, Call
from amondawa.protocols.opentsdb.errors import TsdbError, error_body
from amondawa.protocols.opentsdb.paths import without_domain

_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>OpenTSDB: {title}</title></head><body>{body}</body></html>
"""

_HOME = """<h1>OpenTSDB</h1>
<p>Points come in at <code>/api/put</code> and by telnet on this port, and are read at
<a href="/api/query">/api/query</a>.</p>
<form action="/q" method="get"><p>
<label>From <input name="start" value="1h-ago"></label>
<label>To <input name="end" value=""></label>
<label>Metric <input name="m" value="sum:" size="60"></label>
<input type="hidden" name="png"><input type="submit" value="Draw"></p></form>
<p><a href="/api/aggregators">Aggregators</a> · <a href="/api/config">Configuration</a> ·
<a href="/api/stats">Statistics</a> · <a href="/version">Version</a></p>"""


def page(title: str, body: str, status: int = 200) -> Answer:
    """Return a page; the body is HTML."""
    return Answer.html(_PAGE.format(title=escape(title), body=body), status)


async def home(call: Call) -> Answer:
    """Answer `/`: a small page with a form that draws a graph."""
    return page("home", _HOME)


async def logs(call: Call) -> Answer:
    """Answer `/logs`: the log goes to the process's own output, there are no lines to show."""
    return Answer.json([]) if "json" in call.params else Answer.text("")


async def static_file(call: Call) -> Answer:
    """Answer `/s/…` and `/favicon.ico`: there are no files.

    Raises:
        TsdbError: 400, the path climbs or names no file.
    """
    asked = without_domain(call.target)
    if len(asked) < len("/s/"):
        raise TsdbError(f"URI too short <code>{asked}</code>", 400)
    if ".." in asked[len("/s/") :]:
        raise TsdbError(f"Malformed URI <code>{asked}</code>", 400)
    return Answer(error_body(404, "Page not found"), 404)


def error_page(error: TsdbError, as_json: bool) -> Answer:
    """Render an error outside /api, where a method that is not served is a bad request."""
    status = 400 if error.status == 405 else error.status
    if as_json:
        return Answer(orjson.dumps({"err": error.message}), status)
    if error.status == 404:
        return page(
            "Page Not Found", "<h1>Page Not Found</h1><p>The requested URL was not found on this server.</p>", 404
        )
    title = "Bad Request" if error.status < 500 else "Internal Server Error"
    return page(title, f"<h1>{title}</h1><blockquote>{escape(error.message)}</blockquote>", status)
