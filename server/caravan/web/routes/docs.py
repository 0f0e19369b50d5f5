"""`/docs`: the OpenAPI document as a page that loads nothing from elsewhere, so it works without internet."""

import base64
import hashlib
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem } h3 { margin-bottom: .3rem; font-family: ui-monospace, monospace }
table { border-collapse: collapse; width: 100% } code { font-size: .92em }
td, th { border-bottom: 1px solid #8884; padding: .3rem .6rem; text-align: left; vertical-align: top }
:root { color-scheme: light dark }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'"
_LIMITS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "minLength": "length ≥",
    "maxLength": "length ≤",
    "minItems": "items ≥",
    "maxItems": "items ≤",
}


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """All routes, requests and responses."""
    return HTMLResponse(_page(request.app.openapi()), headers={"content-security-policy": _POLICY})


def _page(document: dict[str, Any]) -> str:
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    body = [f"<h1>{title}</h1>", '<p>As JSON: <a href="openapi.json">openapi.json</a></p>', "<h2>Routes</h2>"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body += _operation(method, path, operation)
    body.append("<h2>Schemas</h2>")
    for name, schema in document["components"]["schemas"].items():
        body += _schema(name, schema)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h3>{method.upper()} {escape(path)}</h3>"
    yield f"<p>{_prose(operation.get('description', ''))}</p><ul>"
    for parameter in operation.get("parameters", ()):
        name, about = escape(parameter["name"]), _prose(parameter.get("description", ""))
        yield f"<li>{parameter['in']} <code>{name}</code>: {_type(parameter['schema'])} {about}</li>"
    if "requestBody" in operation:
        yield f"<li>request: {_content(operation['requestBody'])}</li>"
    for status, response in operation["responses"].items():
        yield f"<li>{escape(status)}: {_content(response)}</li>"
    yield "</ul>"


def _content(holder: dict[str, Any]) -> str:
    return ", ".join(_type(media.get("schema", {})) for media in holder.get("content", {}).values())


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{_prose(schema.get("description", ""))}</p><table>'
    required = schema.get("required", [])
    for field, shape in schema.get("properties", {}).items():
        need = "required" if field in required else ""
        about = _prose(shape.get("description", ""))
        yield f"<tr><td><code>{escape(field)}</code><td>{_type(shape)}<td>{need}<td>{about}</tr>"
    yield "</table>"


def _prose(text: str) -> str:
    """A description, with what stands in backquotes as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _type(shape: dict[str, Any]) -> str:
    """A JSON schema in a few words, with links to those that have names."""
    if "$ref" in shape:
        name = escape(shape["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    members = shape.get("anyOf") or shape.get("oneOf")
    if members:
        return " or ".join(map(_type, members))
    if "const" in shape or "enum" in shape:
        return ", ".join(f"<code>{escape(str(v))}</code>" for v in shape.get("enum", [shape.get("const")]))
    kind = escape(shape.get("type", "anything"))
    if kind == "array":
        kind = f"array of ({_type(shape.get('items', {}))})"
    limits = [f"{sign} {shape[key]}" for key, sign in _LIMITS.items() if key in shape]
    return f"{kind} {escape(', '.join(limits))}".strip()
