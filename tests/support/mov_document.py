# SPDX-License-Identifier: GPL-3.0-or-later
"""An AsyncAPI document as the Master Of VALAWAI reads it: what it refuses, what it passes over, and what it makes of a schema.

The MOV reads YAML 1.1 with SnakeYAML. PyYAML reads YAML 1.1 too, so only the differences between the two are here.
"""

import datetime
import re

import yaml

DOCUMENT_MAX = 3 * 1024 * 1024  # code points
DEPTH_MAX = 50
ALIASES_MAX = 50  # to collections

SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Invalid(Exception):
    """Something that the MOV does not take; the text says why."""


# --- YAML -------------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """SnakeYAML builds characters beyond the basic plane from two escapes; PyYAML leaves the halves."""


def _construct_text(loader, node):
    text = loader.construct_scalar(node)
    return SURROGATES.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text)


_Loader.add_constructor("tag:yaml.org,2002:str", _construct_text)


def _check_scalars(text):
    """Refuses the scalars that SnakeYAML cannot scan and PyYAML can."""
    flows = []
    for token in yaml.scan(text, yaml.SafeLoader):
        if isinstance(token, (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)):
            flows.append(isinstance(token, yaml.FlowMappingStartToken))
        elif isinstance(token, (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)):
            flows.pop()
        elif isinstance(token, yaml.ScalarToken):
            raw = text[token.start_mark.index:token.end_mark.index]
            if token.style == '"' and re.search(r"(?<!\\)(\\\\)*\\/", raw):
                raise Invalid(f"line {token.start_mark.line + 1}: unknown escape \\/")
            if token.plain and flows and flows[-1] and "?" in raw:
                raise Invalid(f"line {token.start_mark.line + 1}: ? in a plain scalar of a flow mapping")


def _check_structure(text):
    depth = aliases = 0
    collections = set()
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if event.anchor:
                collections.add(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and event.anchor:
            collections.discard(event.anchor)  # the anchor means something else from here on
        elif isinstance(event, yaml.AliasEvent) and event.anchor in collections:
            aliases += 1
        if depth > DEPTH_MAX:
            raise Invalid(f"nesting over {DEPTH_MAX}")
        if aliases > ALIASES_MAX:
            raise Invalid(f"more than {ALIASES_MAX} aliases to collections")


def _read_yaml(text):
    if len(text) > DOCUMENT_MAX:
        raise Invalid(f"over {DOCUMENT_MAX} code points")
    try:
        _check_scalars(text)
        _check_structure(text)
        return yaml.load(text, _Loader)  # a subclass of SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid(f"not YAML: {' '.join(str(error).split())}") from None


# --- AsyncAPI ---------------------------------------------------------------------------------------------------------


def _section(document, *path):
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else None


def _resolve(node, document):
    """The node, or what its $ref leads to; None where that is dangling: the MOV passes over it."""
    for _ in range(DEPTH_MAX):
        reference = node.get("$ref") if isinstance(node, dict) else None
        if not isinstance(reference, str):
            return node
        if not reference.startswith("#/"):
            return None
        node, names = document, reference[2:].split("/")
        for name in names:
            if isinstance(node, dict) and name not in node and name in map(str, node):
                raise Invalid(f"{reference}: {name} is no text in YAML 1.1")
            node = node.get(name) if isinstance(node, dict) else None
    return None


def _properties(node, document, objects):
    properties = node.get("properties")
    if not isinstance(properties, dict):
        raise Invalid("an object without properties" if "type" in node else "a schema without a type")
    for name in properties:
        if not isinstance(name, str):
            raise Invalid(f"the property {name} is no text in YAML 1.1")
    if id(node) in objects:
        return None  # an object within itself: here the MOV ends
    return {"type": "OBJECT",
            "properties": {name: _schema(part, document, (*objects, id(node))) for name, part in properties.items()}}


def _schema(node, document, objects=(), others=()):
    """A schema in the MOV's words; None where it passes over it. Raises Invalid where it stumbles.

    objects: the schemas of objects that this one is in. others: arrays and choices that it is in with no object between.
    """
    node = _resolve(node, document)
    if not isinstance(node, dict):
        return None
    if "const" in node:
        if not isinstance(node["const"], str):
            date = isinstance(node["const"], datetime.date)
            raise Invalid(f"const: {node['const']!r} is {'a date' if date else 'no string'}")
        return {"type": "CONST", "value": node["const"]}
    if "enum" in node:
        return {"type": "ENUM", "values": sorted(map(str, node["enum"]))}
    kind = node.get("type")
    if isinstance(kind, list):
        raise Invalid("a list of types")
    if kind in ("integer", "number", "string", "boolean"):
        return {"type": "BASIC", "format": kind.upper()}
    if id(node) in others:
        raise Invalid("a schema that contains itself with no object between")
    others = (*others, id(node))
    if kind == "array":
        return {"type": "ARRAY", "items": _schema(node.get("items"), document, objects, others)}
    for key, name in (("oneOf", "ONE_OF"), ("anyOf", "ANY_OF"), ("allOf", "ALL_OF")):
        if kind != "object" and isinstance(node.get(key), list):
            choices = [_schema(part, document, objects, others) for part in node[key]]
            return choices[0] if len(choices) == 1 else {"type": name, "items": choices}
    return _properties(node, document, objects)


def _message(channel, operation, document):
    """The schema of an operation's message; None also where the message is a choice, even of one."""
    message = _resolve(_section(channel, operation, "message"), document)
    return _schema(_section(message, "payload"), document)


def read_asyncapi(text):
    """(description, api version, channels) of an AsyncAPI 2.x document. Raises Invalid where the MOV refuses the component."""
    try:
        document = _read_yaml(text)
        if not isinstance(document, dict):
            raise Invalid("not a mapping")
        channels = _section(document, "channels")
        if not channels:
            raise Invalid("no channels")
        described = []
        for name, channel in channels.items():
            if not isinstance(channel, dict):
                raise Invalid(f"channel {name}: not a mapping")
            described.append({"name": name, "description": channel.get("description")})
            for operation in ("publish", "subscribe"):
                described[-1][operation] = _message(channel, operation, document)
        info = _section(document, "info") or {}
        for key in ("title", "version"):
            if info.get(key) is None:
                raise Invalid(f"info.{key}: missing")
    except Invalid as error:
        raise Invalid(f"asyncapi_yaml: {error}") from None
    return info.get("description"), str(info["version"]), described


# --- which schemas the MOV connects -----------------------------------------------------------------------------------


def fits(source, target):
    """True if the MOV connects a topic that publishes source with one that takes target: properties of the source are those
    of the target, or some of them, and of the same types. Neither side's `required` counts."""
    if source is None or target is None or source["type"] != target["type"]:
        return False
    kind = source["type"]
    if kind == "OBJECT":
        return all(name in target["properties"] and fits(part, target["properties"][name])
                   for name, part in source["properties"].items())
    if kind == "ARRAY":
        return source["items"] == target["items"] or fits(source["items"], target["items"])
    if kind == "ENUM":
        return set(source["values"]) <= set(target["values"])
    if kind in ("ONE_OF", "ANY_OF", "ALL_OF"):
        return len(source["items"]) == len(target["items"]) and all(
            one == other or fits(one, other) for one, other in zip(source["items"], target["items"]))
    return source == target
