"""What stands in a patch.yaml: operations, each with an id, a reason, conditions, and what exactly it looks for."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trtllm_builder.patching import snippets
from trtllm_builder.patching.tree import relative_path
from trtllm_builder.upstream.script_traps import SCRIPT_TRAPS


def _statements(code: str) -> str:
    if not snippets.parse_statements(code):
        raise ValueError("expected Python statements")
    return code


def _expression(code: str) -> str:
    if snippets.parse_expression(code) is None:
        raise ValueError("expected a Python expression")
    return code


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("expected at least one")
    return values


def _id(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", text):
        raise ValueError("expected lower-case letters, digits and dashes")
    return text


def _dotted_name(text: str) -> str:
    if not all(part.isidentifier() for part in text.split(".")):
        raise ValueError("expected a dotted Python name such as `package.module`")
    return text


def _trap(text: str) -> str:
    if text not in SCRIPT_TRAPS:
        raise ValueError("there is no such trap of scripts/build_wheel.py (see upstream/traps.py)")
    return text


Path = Annotated[str, AfterValidator(relative_path)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed), AfterValidator(_some)]
Name = Annotated[str, AfterValidator(_dotted_name)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_listed), AfterValidator(_some)]
Statements = Annotated[str, AfterValidator(_statements)]
Expression = Annotated[str, AfterValidator(_expression)]
Some = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=100)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class When(Model):
    """One condition: on a fact of the build, on a file of the tree, or on other conditions."""

    all: When_ = ()
    any: When_ = ()
    not_: When_ = Field((), alias="not")
    fact: str | None = None
    is_: str | None = Field(None, alias="is")
    file: Path | None = None
    contains: Some | None = None
    imports: Names | None = None

    @model_validator(mode="after")
    def _one_form(self) -> When:
        forms = [bool(self.all), bool(self.any), bool(self.not_), self.fact is not None, self.file is not None]
        if sum(forms) != 1:
            raise ValueError("a condition is one of `all`, `any`, `not`, `fact` with `is`, or `file`")
        if (self.fact is None) != (self.is_ is None):
            raise ValueError("`fact` and `is` stand together")
        if self.file is None and (self.contains is not None or self.imports is not None):
            raise ValueError("`contains` and `imports` need a `file`")
        return self


When_ = Annotated[tuple[When, ...], BeforeValidator(_listed)]
When.model_rebuild()


class Base(Model):
    """Of every operation. Without ``when`` it is always wanted."""

    id: Annotated[str, AfterValidator(_id)]
    why: Some
    when: When_ = ()


class FileEnsure(Base):
    """A file of ours, taken from the set's directory, that is to be there with exactly this content."""

    op: Literal["file.ensure"]
    file: Path
    source: Path = Field(alias="from")


class Diff(Base):
    """A unified diff in the set's directory, every hunk at exactly its line with exactly its context."""

    op: Literal["diff"]
    source: Path = Field(alias="from")


class TextReplace(Base):
    """Exactly ``count`` occurrences of a text."""

    op: Literal["text.replace"]
    file: Path
    match: Some
    with_: Some = Field(alias="with")
    count: Count = 1


class TextInsert(Base):
    """Lines after or before the one line that is ``line`` (spaces around it do not matter)."""

    op: Literal["text.insert"]
    file: Path
    line: Some
    code: Some
    place: Literal["before", "after"] = "after"


class RequirementsRemove(Base):
    """Projects that a requirements file shall not name any more."""

    op: Literal["requirements.remove"]
    file: Path
    names: Annotated[tuple[Some, ...], BeforeValidator(_listed), AfterValidator(_some)]


class CMakeOption(Base):
    """Another default for the one ``option(NAME "..." VALUE)``."""

    op: Literal["cmake.option"]
    file: Path
    name: Some
    default: Some


class CMakeGuard(Base):
    """``if(condition)`` around the one command that is called with this first argument."""

    op: Literal["cmake.guard"]
    file: Path
    command: Some
    argument: Some
    condition: Some


class PythonReplace(Base):
    """Code for code: expressions when both are expressions, else whole statements. ``in`` names a function or class."""

    op: Literal["python.replace"]
    file: Path
    match: Statements
    with_: Statements = Field(alias="with")
    in_: Name | None = Field(None, alias="in")
    containing: Some | None = None
    count: Count = 1


class PythonGuard(Base):
    """``if condition:`` around statements; ``otherwise`` is what its else says."""

    op: Literal["python.guard"]
    file: Path
    match: Statements
    condition: Expression
    otherwise: Statements | None = None
    in_: Name | None = Field(None, alias="in")
    count: Count = 1


class PythonInsert(Base):
    """Statements after or before others, or at the start of a function (behind its docstring)."""

    op: Literal["python.insert"]
    file: Path
    code: Statements
    before: Statements | None = None
    after: Statements | None = None
    in_: Name | None = Field(None, alias="in")
    at: Literal["start"] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> PythonInsert:
        if sum(place is not None for place in (self.before, self.after, self.at)) != 1:
            raise ValueError("expected one of `before`, `after` and `at`")
        if self.at is not None and self.in_ is None:
            raise ValueError("`at: start` needs `in`")
        return self


class PythonAddImport(Base):
    """An import behind the module's first imports, unless the module has it."""

    op: Literal["python.add_import"]
    file: Path
    statement: Statements


class PythonRemoveElements(Base):
    """Strings that the list called ``list`` shall not hold (as assigned, or as given to its extend)."""

    op: Literal["python.remove_elements"]
    file: Path
    list: Name
    elements: Annotated[tuple[Some, ...], BeforeValidator(_listed), AfterValidator(_some)]


class PythonRetargetImport(Base):
    """Every ``from MODULE import NAME`` in these files takes NAME from ``to``; imports under ``guarded_by`` stay.

    Another import of these packages that runs with its file's own is a misfit, except in ``scripts``."""

    op: Literal["python.retarget_import"]
    files: Paths
    except_: Annotated[tuple[Path, ...], BeforeValidator(_listed)] = Field((), alias="except")
    scripts: Annotated[tuple[Path, ...], BeforeValidator(_listed)] = ()
    modules: dict[Name, Names]
    to: Name
    guarded_by: Name | None = None
    at_least: Annotated[int, Field(ge=0)] = 1


class PythonTolerateImport(Base):
    """Every import of ``module`` that runs with its file's own import gives None instead when it is missing."""

    op: Literal["python.tolerate_import"]
    files: Paths
    module: Name
    at_least: Annotated[int, Field(ge=0)] = 0


Operation = Annotated[
    FileEnsure
    | Diff
    | TextReplace
    | TextInsert
    | RequirementsRemove
    | CMakeOption
    | CMakeGuard
    | PythonReplace
    | PythonGuard
    | PythonInsert
    | PythonAddImport
    | PythonRemoveElements
    | PythonRetargetImport
    | PythonTolerateImport,
    Field(discriminator="op"),
]


class Closes(Model):
    """A trap of scripts/build_wheel.py (upstream/traps.py) that is not to be left once the set is applied."""

    trap: Annotated[str, AfterValidator(_trap)]
    when: When_ = ()


class PatchFile(Model):
    """The whole of a patch.yaml."""

    schema_: Annotated[Literal["1"], Field(alias="schema")]
    description: Some
    when: When_ = ()
    closes: tuple[Closes, ...] = ()
    operations: Annotated[tuple[Operation, ...], AfterValidator(_some)]
