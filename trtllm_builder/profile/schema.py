"""JSON Schemas of profiles and mirror sets for editors, made from the models (draft 2020-12)."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from trtllm_builder.profile.model import MirrorFile, ProfileFile

KINDS = ("profile", "mirrors")
_SCALAR = {"type": ["string", "number", "boolean"]}


def schema_text(kind: str) -> str:
    """The schema of ``profile`` or ``mirrors`` as it stands in trtllm_builder/schemas/."""
    return json.dumps(profile_schema() if kind == "profile" else mirrors_schema(), indent=2) + "\n"


def profile_schema() -> dict[str, Any]:
    """What an editor may accept: with ``extends`` nothing but ``schema`` is required in one file, and null deletes."""
    schema = _schema(ProfileFile, "trtllm-builder profile")
    for short in ("CMakeValue", "FlagValue"):
        schema["$defs"][short] = {"anyOf": [_SCALAR, schema["$defs"][short]]}
    for model in (schema, *schema["$defs"].values()):
        _loosen(model)
    names = {"type": "array", "items": {"type": "string"}}
    schema["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, names, {"type": "null"}],
        "description": "Profiles or parts that this one changes, by name or ./path; later ones win. Maps merge by key,"
        " lists and scalars replace, null takes a value back.",
    }
    schema["required"] = ["schema"]
    mirrors = schema["properties"]["source"]
    schema["$defs"]["Source"]["properties"]["mirrors"] = {
        "anyOf": [{"type": "string"}, names, {"type": "null"}],
        "description": schema["$defs"]["Source"]["properties"]["mirrors"]["description"],
    }
    return {**schema, "properties": {**schema["properties"], "source": mirrors}}


def mirrors_schema() -> dict[str, Any]:
    schema = _schema(MirrorFile, "trtllm-builder mirror set")
    _loosen(schema)
    schema["required"] = ["schema"]
    return schema


def _schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _loosen(model: dict[str, Any]) -> None:
    model.pop("required", None)
    properties = model.get("properties", {})
    for name, field in properties.items():
        about = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
        about.pop("title", None)
        if name != "schema":
            nullable = field.get("anyOf", [field])
            field = {"anyOf": [*(one for one in nullable if one != {"type": "null"}), {"type": "null"}]}
        if isinstance(about.get("description"), str):
            about["description"] = " ".join(about["description"].split())
        properties[name] = {**field, **about}
