"""JSON Schemas of profiles and mirror sets for editors, made from the models (draft 2020-12)."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from trtllm_builder.profile.model import MirrorFile, ProfileFile

KINDS = ("profile", "mirrors")
_SCALAR = {"type": ["string", "number", "boolean"]}
_NULL = {"type": "null"}


def schema_text(kind: str) -> str:
    """The schema of ``profile`` or ``mirrors`` as it stands in trtllm_builder/schemas/."""
    return json.dumps(profile_schema() if kind == "profile" else mirrors_schema(), indent=2) + "\n"


def profile_schema() -> dict[str, Any]:
    """What an editor may accept: with ``extends`` nothing but ``schema`` is required in one file, and null deletes."""
    schema = _schema(ProfileFile, "trtllm-builder profile")
    definitions = schema["$defs"]
    for short in ("CMakeValue", "FlagValue"):
        definitions[short] = {"anyOf": [_SCALAR, definitions[short]]}
    definitions["Source"]["properties"]["mirrors"]["anyOf"].insert(0, {"type": "string"})
    schema["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, _NULL],
        "description": "Profiles or parts that this one changes, by name or ./path; later ones win."
        " Maps merge by key, lists and scalars replace, null takes a value back.",
    }
    return schema


def mirrors_schema() -> dict[str, Any]:
    return _schema(MirrorFile, "trtllm-builder mirror set")


def _schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    for part in (schema, *schema.get("$defs", {}).values()):
        _loosen(part)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": title,
        "required": ["schema"],
    }


def _loosen(model: dict[str, Any]) -> None:
    model.pop("required", None)
    model.pop("title", None)
    properties = model["properties"]
    for name, field in properties.items():
        about = {key: field.pop(key) for key in ("description", "default") if key in field}
        field.pop("title", None)
        if "description" in about:
            about["description"] = " ".join(about["description"].split())
        if "additionalProperties" in field:
            field["additionalProperties"] = _nullable(field["additionalProperties"])
        properties[name] = {**(field if name == "schema" else _nullable(field)), **about}


def _nullable(field: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [*(one for one in field.get("anyOf", [field]) if one != _NULL), _NULL]}
