"""openapi.json: paths from this table, schemas from the very types that decode and encode."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson
from aiohttp import web

import geoingest
from geoingest import http

_REF = "#/components/schemas/{name}"
Schema = dict[str, Any]


class Problem(msgspec.Struct):
    """RFC 9457 problem details; `reason` is one word for programs, `detail` a sentence for people."""

    type: str
    title: str
    status: int
    reason: str
    detail: str | None = None


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    summary: str
    # Whose token; None: nobody's.
    tag: str | None
    # Without any: 204.
    answers: Mapping[str, Schema]
    errors: Mapping[int, str]
    parameters: Sequence[Schema] = ()
    body: Mapping[str, Schema] | None = None
    words: str = "OK"
    # Errors that say more than others, each with its own shape, whose docstring is its words.
    problems: Mapping[int, type[msgspec.Struct]] = types.MappingProxyType({})
    # With answers.
    status: int = 200


def document(operations: Sequence[Operation], structs: Sequence[type[msgspec.Struct]]) -> bytes:
    """The OpenAPI 3.1 document as JSON."""
    _, components = msgspec.json.schema_components([*structs, Problem], ref_template=_REF)
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "geoingest",
                "version": geoingest.__version__,
                "description": "Pings of students' devices in, positions for guardians out. "
                "200 on a POST means committed.",
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "device": {"type": "http", "scheme": "bearer"},
                    "viewer": {"type": "http", "scheme": "bearer"},
                },
            },
        },
        option=orjson.OPT_INDENT_2,
    )


def routes(text: bytes) -> list[web.RouteDef]:
    """GET /openapi.json."""

    async def get_openapi(_request: web.Request) -> web.Response:
        return web.Response(body=text, content_type=http.JSON)

    return [web.get("/openapi.json", get_openapi)]


def reference(struct: type[msgspec.Struct]) -> Schema:
    """A reference to a struct's schema."""
    return {"$ref": _REF.format(name=struct.__name__)}


def one_of(*structs: type[msgspec.Struct]) -> Schema:
    """Exactly one of these."""
    return {"oneOf": [reference(one) for one in structs]}


def _operation(operation: Operation) -> Schema:
    good: Schema = {"description": operation.words}
    if operation.answers:
        good["content"] = {kind: {"schema": one} for kind, one in operation.answers.items()}
    responses: Schema = {str(operation.status if operation.answers else 204): good}
    for status, words in operation.errors.items():
        response: Schema = {
            "description": words,
            "content": {http.PROBLEM: {"schema": reference(Problem)}},
        }
        if status in {429, 503}:
            response["headers"] = {
                "Retry-After": {"schema": {"type": "integer", "minimum": 1}, "required": True}
            }
        responses[str(status)] = response
    for status, struct in operation.problems.items():
        responses[str(status)] = {
            "description": struct.__doc__,
            "content": {http.PROBLEM: {"schema": reference(struct)}},
        }
    result: Schema = {
        "summary": operation.summary,
        "operationId": operation.summary.lower().replace(" ", "_").replace("'", ""),
        "security": [{operation.tag: []}] if operation.tag else [],
        "responses": responses,
    }
    if operation.parameters:
        result["parameters"] = list(operation.parameters)
    if operation.body is not None:
        content = {kind: {"schema": schema} for kind, schema in operation.body.items()}
        result["requestBody"] = {"required": True, "content": content}
    return result
