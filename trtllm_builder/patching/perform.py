"""One operation against a tree: which files, what becomes of them, and whether that is what the operation expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trtllm_builder.errors import PatchError, Where
from trtllm_builder.patching import cmake_edits, diffs, model, python_edits, python_imports, text_edits
from trtllm_builder.patching.conditions import unmet
from trtllm_builder.patching.document import decode
from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.read import PatchSet
from trtllm_builder.patching.results import OperationOutcome, Status
from trtllm_builder.patching.tree import File, Tree

# Edits of one file by its text, path and operation.
_EDITS: dict[type[model.Base], Callable[[str, str, Any], Edited]] = {
    model.TextReplace: lambda text, path, operation: text_edits.replace(text, operation),
    model.TextInsert: lambda text, path, operation: text_edits.insert(text, operation),
    model.RequirementsRemove: lambda text, path, operation: text_edits.remove_requirements(text, operation),
    model.CMakeOption: lambda text, path, operation: cmake_edits.set_option(text, operation),
    model.CMakeGuard: lambda text, path, operation: cmake_edits.guard(text, operation),
    model.PythonReplace: lambda text, path, operation: python_edits.replace(text, operation),
    model.PythonGuard: lambda text, path, operation: python_edits.guard(text, operation),
    model.PythonInsert: lambda text, path, operation: python_edits.insert(text, operation),
    model.PythonRemoveElements: lambda text, path, operation: python_edits.remove_elements(text, operation),
    model.PythonAddImport: python_imports.add,
    model.PythonRetargetImport: python_imports.retarget,
    model.PythonTolerateImport: python_imports.tolerate,
}
# These leave nothing behind by which to know them: not finding what they remove is their success.
_REMOVALS = (model.RequirementsRemove, model.PythonRemoveElements)
_EVERYWHERE = (model.PythonRetargetImport, model.PythonTolerateImport)


@dataclass(frozen=True)
class _Look:
    """One file before and after, and how many places were or are as they shall be."""

    file: File
    after: bytes
    todo: int
    done: int


def perform(operation: model.Operation, patch: PatchSet, tree: Tree, facts: Mapping[str, str]) -> OperationOutcome:
    """Put what the operation makes of its files into ``tree`` (nothing is written). Raises PatchError when it does
    not fit."""
    words = unmet(operation.when, tree, facts)
    if words is not None:
        status, reason, looks = _unwanted(operation, patch, tree, words)
    else:
        looks = _look(operation, patch, tree)
        status, reason = _judge(operation, patch, tree, looks)
    if status == "applies":
        for look in looks:
            if look.todo:
                tree.put(look.file, look.after)
    return OperationOutcome(
        id=operation.id,
        op=operation.op,
        status=status,
        reason=reason,
        why=" ".join(operation.why.split()),
        files=tuple(look.file.path for look in looks if look.todo or look.done) if status != "not needed" else (),
    )


def _unwanted(
    operation: model.Operation, patch: PatchSet, tree: Tree, words: str
) -> tuple[Status, str, Sequence[_Look]]:
    """An operation whose conditions do not hold: not needed, or what it wants is there, which is why they do not."""
    if not isinstance(operation, (*_REMOVALS, *_EVERYWHERE)):
        try:
            looks = _look(operation, patch, tree)
            if any(look.done for look in looks) and not any(look.todo for look in looks):
                return "applied already", "it is as the operation would leave it", looks
        except PatchError:
            pass
    return "not needed", words, ()


def _judge(operation: model.Operation, patch: PatchSet, tree: Tree, looks: Sequence[_Look]) -> tuple[Status, str]:
    todo, done = sum(look.todo for look in looks), sum(look.done for look in looks)
    if isinstance(operation, _EVERYWHERE):
        if todo + done < operation.at_least:
            raise _error(operation, patch, tree, _too_few(operation, tree, todo + done))
        if not todo and not done:
            return "not needed", "no file has such an import"
    elif not isinstance(operation, (*_REMOVALS, model.Diff)):
        expected = getattr(operation, "count", 1)
        if todo + done != expected:
            found = f"found {todo or 'none'}" + (f" and {done} that are changed already" if done else "")
            raise _error(
                operation,
                patch,
                tree,
                f"expected {_times(expected)} like {_sought(operation)}, {found}",
            )
    if not todo:
        return "applied already", "it is as the operation would leave it"
    return "applies", f"{_times(todo)} in {', '.join(look.file.path for look in looks if look.todo)}"


def _too_few(operation: model.PythonRetargetImport | model.PythonTolerateImport, tree: Tree, found: int) -> str:
    """In which files there should be such imports: with no files at all the operation is not what is wrong."""
    patterns = ", ".join(operation.files)
    if not any(tree.glob(pattern) for pattern in operation.files):
        return f"there is no file {patterns}"
    modules = (operation.module,) if isinstance(operation, model.PythonTolerateImport) else tuple(operation.modules)
    wanted = f"expected {operation.at_least} or more imports from {' or '.join(modules)} in {patterns}"
    return f"{wanted}, found {found or 'none'}"


def _look(operation: model.Operation, patch: PatchSet, tree: Tree) -> list[_Look]:
    if isinstance(operation, model.FileEnsure):
        return [_ensure(operation, patch, tree)]
    if isinstance(operation, model.Diff):
        return _diff(operation, patch, tree)
    if isinstance(operation, _EVERYWHERE):
        return _everywhere(operation, patch, tree)
    file = tree.read(operation.file)
    if file.data is None:
        raise _error(operation, patch, tree, f"{operation.file} is not there")
    return [_edit(operation, patch, tree, file)]


def _everywhere(
    operation: model.PythonRetargetImport | model.PythonTolerateImport, patch: PatchSet, tree: Tree
) -> list[_Look]:
    if isinstance(operation, model.PythonRetargetImport):
        modules, left_out = [*operation.modules, operation.to], operation.except_
        modules += sorted({module.partition(".")[0] for module in operation.modules})
    else:
        modules, left_out = [operation.module], ()
    looks = []
    for link in [link for pattern in operation.files for link in tree.stray_links(pattern)]:
        what = f"{link} is a symbolic link to what is not among the files of this operation; it was not opened"
        raise _error(operation, patch, tree, what, Where(str(tree.root / link)))
    for path in sorted({path for pattern in operation.files for path in tree.glob(pattern)} - {*left_out}):
        file = tree.read(path)
        if file.data is not None and any(_may_import(file.data, path, module) for module in modules):
            looks.append(_edit(operation, patch, tree, file))
    return looks


def _may_import(data: bytes, path: str, module: str) -> bool:
    # Parsing takes a hundred times as long as looking for words. A relative import does not name its own package.
    first, _, rest = module.partition(".")
    last = rest.rpartition(".")[2] or first
    return last.encode() in data and (first.encode() in data or path.startswith(first + "/"))


def _edit(operation: model.Operation, patch: PatchSet, tree: Tree, file: File) -> _Look:
    document = decode(file.data or b"")
    try:
        if document.guessed and operation.op.startswith("python."):
            raise Misfit("neither UTF-8 nor what a coding comment says: Python would not read this file either")
        edited = _EDITS[type(operation)](document.text, file.path, operation)
        return _Look(file, document.encode(edited.text), edited.todo, edited.done)
    except Misfit as error:
        raise _error(
            operation, patch, tree, error.what, Where(str(tree.root / file.path), error.line, error.column)
        ) from None
    except ValueError as error:
        raise _error(operation, patch, tree, str(error), Where(str(tree.root / file.path))) from None


def _ensure(operation: model.FileEnsure, patch: PatchSet, tree: Tree) -> _Look:
    file, wanted = tree.read(operation.file), patch.files[operation.source]
    if file.data is None:
        return _Look(file, wanted, 1, 0)
    if file.data == wanted:
        return _Look(file, wanted, 0, 1)
    where = Where(str(tree.root / file.path))
    raise _error(operation, patch, tree, "the file is there already, with other content", where)


def _diff(operation: model.Diff, patch: PatchSet, tree: Tree) -> list[_Look]:
    source = patch.path / operation.source
    try:
        parts = diffs.parse_diff(patch.files[operation.source].decode())
    except UnicodeDecodeError:
        raise _error(operation, patch, tree, "the diff is not UTF-8", Where(str(source))) from None
    except Misfit as error:
        raise _error(operation, patch, tree, error.what, Where(str(source), error.line)) from None
    looks = []
    for part in parts:
        file = tree.read(part.path)
        if part.executable and file.data is None:
            file = replace(file, mode=0o755)
        # Byte by byte: a diff says what the ends of its lines are.
        text = file.data.decode("utf-8", "surrogateescape") if file.data is not None else None
        try:
            edited = diffs.apply_diff(text, part)
        except Misfit as error:
            raise _error(operation, patch, tree, error.what, Where(str(tree.root / part.path), error.line)) from None
        looks.append(_Look(file, edited.text.encode("utf-8", "surrogateescape"), edited.todo, edited.done))
    return looks


def _sought(operation: model.Operation) -> str:
    for name in ("match", "line", "before", "after", "name", "argument", "statement", "in_"):
        value = getattr(operation, name, None)
        if isinstance(value, str):
            line = " ".join(value.split())
            return f"`{line[:97]}...`" if len(line) > 100 else f"`{line}`"
    return "that"


def _times(number: int) -> str:
    return "one place" if number == 1 else f"{number} places"


def _error(
    operation: model.Operation, patch: PatchSet, tree: Tree, what: str, where: Where | None = None
) -> PatchError:
    if where is None and not isinstance(operation, (*_EVERYWHERE, model.Diff)):
        where = Where(str(tree.root / operation.file))
    return PatchError(
        f"{patch.name}/{operation.id} ({operation.op}): {what}",
        where=where,
        remedy=f"this tree has another shape than {patch.path / 'patch.yaml'} was written for; mend that operation",
    )
