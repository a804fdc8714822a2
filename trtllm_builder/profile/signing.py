"""How a profile says who signs the provenance of its wheels."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import WithJsonSchema, model_validator

from trtllm_builder.profile.cache import VariableName
from trtllm_builder.profile.marks import shown
from trtllm_builder.profile.part import Part
from trtllm_builder.profile.scalars import PathText, fault, text_type

# RFC 3986: a scheme, a colon, and no space.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,30}:[\x21-\x7e]{1,300}\Z")


def parse_uri(text: str) -> str:
    if not _URI.match(text):
        raise ValueError(f"expected a URI such as https://ci.example.org/builder, not {shown(text)}")
    return text


class Signing(Part):
    """Signing a wheel's provenance with an Ed25519 key. The key stays where it is and is never shown."""

    key: PathText | None = None
    """The private key's file, which nobody but its owner may read."""
    key_variable: VariableName | None = None
    """The variable, in the environment of whoever builds, that holds the private key or its file's path."""
    builder: Annotated[str, text_type(parse_uri, "a URI"), WithJsonSchema({"type": "string"})] | None = None
    """Who vouches for the machine that builds: the `builder.id` of the provenance."""

    @model_validator(mode="after")
    def _one_key(self) -> Signing:
        if self.key and self.key_variable:
            raise fault("a key has one place: leave out `key` or `key_variable`", "key_variable")
        return self
