"""The OpenAPI document as a page for people: plain HTML, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import msgspec

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--get:#1a7f4b;--post:#1f5fbf;--put:#9a5b00;--patch:#7a3fb0;--delete:#b3261e}
*{box-sizing:border-box}body{margin:0;font:16px/1.55 system-ui,sans-serif;display:grid;grid-template-columns:19rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.5rem 1rem;border-right:1px solid var(--line);font-size:.85rem}
nav ul{list-style:none;margin:.2rem 0 1rem;padding:0}nav li{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
nav a{color:inherit;text-decoration:none}nav a:hover{text-decoration:underline}
main{padding:2rem clamp(1rem,4vw,4rem);max-width:70rem}h1{margin:0 0 .3rem}h2{margin:3rem 0 .5rem;border-bottom:1px solid var(--line)}
section{margin:1.6rem 0;padding:1rem 1.2rem;border:1px solid var(--line);border-radius:.5rem}section h3{margin:0;font-size:1rem}
code,pre{font:.88em/1.5 ui-monospace,monospace;background:var(--soft);border-radius:.25rem}code{padding:.1em .3em;overflow-wrap:anywhere}
pre{padding:.8rem;overflow:auto}.m{display:inline-block;min-width:3.6rem;font:700 .75rem ui-monospace,monospace;color:var(--c)}
.get{--c:var(--get)}.post{--c:var(--post)}.put{--c:var(--put)}.patch{--c:var(--patch)}.delete{--c:var(--delete)}
table{border-collapse:collapse;width:100%;margin:.6rem 0;font-size:.92rem}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-top:1px solid var(--line)}.tag{font-size:.75rem;border:1px solid var(--line);border-radius:1rem;padding:0 .5rem;margin-left:.5rem}
@media(max-width:60rem){body{display:block}nav{position:static;height:auto;border:0}}
"""


def page(document: dict[str, Any], errors: dict[str, int]) -> str:
    """The page of `document`; `errors` are the codes of problems and their HTTP statuses."""
    info = document["info"]
    operations = [(m, p, o) for p, at in document["paths"].items() for m, o in at.items() if m != "head"]
    tags = dict.fromkeys(o.get("tags", ["Other"])[0] for _, _, o in operations)
    nav, body = [], []
    for tag in tags:
        own = [(m, p, o) for m, p, o in operations if o.get("tags", ["Other"])[0] == tag]
        nav.append(f"<b>{escape(tag)}</b><ul>{''.join(_link(*x) for x in own)}</ul>")
        body.append(f"<h2>{escape(tag)}</h2>{''.join(_section(*x) for x in own)}")
    schemas = sorted(document["components"]["schemas"].items())
    types = "".join(f'<section id="type-{n}"><h3>{escape(n)}</h3>{_schema(s)}</section>' for n, s in schemas)
    codes = "".join(f'<tr id="{c}"><td><code>{c}</code><td>{s}' for c, s in errors.items())
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(info["title"])} API</title><style>{_STYLE}</style>
<nav>{"".join(nav)}<a href="#errors"><b>Errors</b></a><br><a href="#types"><b>Types</b></a></nav>
<main><h1>{escape(info["title"])} <small>{escape(info["version"])}</small></h1><p>{_text(info["summary"])}</p>
{_text(info["description"])}<p>For programs: <a href="/v1/openapi.json">openapi.json</a> (OpenAPI 3.1).
Log in with <code>Authorization: Bearer TOKEN</code>, or the token as password (<code>curl -u :TOKEN</code>).</p>
{"".join(body)}<h2 id="errors">Errors</h2><table><tr><th>code<th>HTTP status{codes}</table><h2 id="types">Types</h2>{types}</main></html>"""


def _link(method: str, path: str, operation: dict[str, Any]) -> str:
    return (
        f'<li><a href="#{operation["operationId"]}"><span class="m {method}">{method.upper()}</span>{escape(path)}</a>'
    )


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    is_open = operation.get("security") == []
    out = [
        f'<section id="{operation["operationId"]}"><h3><span class="m {method}">{method.upper()}</span><code>{escape(path)}</code>'
    ]
    out.append(
        f"{'<span class=tag>no token needed</span>' if is_open else ''}</h3><p><b>{_text(operation['summary'])}</b></p>"
    )
    out.append(f"{_text(operation['description'])}")
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code><td>{p['in']}{', required' if p['required'] else ''}"
        f"<td>{_type(p['schema'])}<td>{_text(p.get('description', ''))}"
        for p in operation["parameters"]
    )
    if rows:
        out.append(f"<table><tr><th>parameter<th>in<th>type<th>{rows}</table>")
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        out.append(f"<p>Body: {_type(content['schema'])} <small>({media})</small></p>")
        if "example" in content:
            out.append(f"<pre>{escape(msgspec.json.format(msgspec.json.encode(content['example'])).decode())}</pre>")
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            content = " or ".join(
                f"{_type(c['schema'])} <small>({m})</small>" for m, c in response.get("content", {}).items()
            )
            out.append(f"<p>{status}: {content or 'no body'}</p>")
    return "".join(out) + "</section>"


def _schema(schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return f"<p>{_text(schema.get('description', ''))}</p><p>{_type(schema)}</p>"
    needed = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{escape(n)}</code><td>{_type(p)}{'' if n in needed else _default(p)}<td>{_text(p.get('description', ''))}"
        for n, p in schema["properties"].items()
    )
    return f"{_text(schema.get('description', ''))}<table>{rows}</table>"


def _default(schema: dict[str, Any]) -> str:
    if schema.get("default") in (None, [], {}, ""):
        return " <small>optional</small>"
    return f" <small>default {escape(msgspec.json.encode(schema['default']).decode())}</small>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#type-{name}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(s) for s in schema["anyOf"] if s.get("type") != "null")
    if "enum" in schema:
        return " · ".join(f"<code>{escape(str(v))}</code>" for v in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and schema.get("additionalProperties"):
        inner = schema["additionalProperties"]
        return f"object of {_type(inner)}" if isinstance(inner, dict) else "object"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _text(markdown: str) -> str:
    """The little Markdown that our texts use: paragraphs and code."""
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(markdown))
    return "<p>".join(html.split("\n\n"))
