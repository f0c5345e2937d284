"""The mutants of a file: mutmut's operators, on decorated functions and constants as well.

mutmut itself leaves decorated functions out, because its trampolines cannot wrap them; here a
mutant is a whole module, so compiled kernels and properties take part. Left alone are sentences
(messages, sources), that is strings with a space, and strict=True of zip, a guard of lengths that
are equal by construction.
"""

import ast
import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import filterfalse, zip_longest
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import Mutation, MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import get_ignored_lines


@dataclass(frozen=True, eq=False)
class Mutant:
    """One changed module.

    key: the same for the same change wherever it stands in the file. function: qualified name,
    "" for module level. decorators: of the function. nodes: what is replaced in the module and by
    what; None: nothing is.
    """

    key: str
    file: str
    function: str
    line: int
    decorators: frozenset[str]
    module: cst.Module
    nodes: tuple[cst.CSTNode, cst.CSTNode] | None

    @cached_property
    def code(self) -> str:
        """The source of the changed module."""
        return self.module.deep_replace(*self.nodes).code if self.nodes else self.module.code

    @cached_property
    def change(self) -> tuple[str, str]:
        """The changed lines before and after, blanks squeezed."""
        before, after = self.module.code.splitlines(), self.code.splitlines()
        diff = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
        was, now = (" ".join(" ".join(d[1:] for d in diff if d[0] == s).split()) for s in "-+")
        return was, now


class _Visitor(MutationVisitor):
    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            return False
        if isinstance(node, cst.SimpleString) and " " in node.value:
            return True
        literal = isinstance(node, cst.Subscript) and isinstance(node.value, cst.Name)
        if literal and node.value.value == "Literal":
            return True
        if isinstance(node, cst.Arg) and _is_strict(node):
            return True
        return super()._skip_node_and_children(node)


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """All mutants of src/gutseg/FILE, in the order in which a sample takes them."""
    code = (root / "src" / "gutseg" / file).read_text()
    wrapper = MetadataWrapper(cst.parse_module(code))
    visitor = _Visitor(mutation_operators, get_ignored_lines(file, code, wrapper))
    wrapper.visit(visitor)
    places = wrapper.resolve(PositionProvider)
    functions = list(_functions(ast.parse(code)))
    seen, found = Counter(), []
    for mutation in filterfalse(_only_strict, visitor.mutations):
        line = places[mutation.original_node].start.line
        around = (f for f in functions if f[1] <= line <= f[2])
        name, _, _, decorators = next(around, ("", 0, 0, frozenset()))
        nodes = mutation.original_node, mutation.mutated_node
        text = "\n".join([file, name, *map(wrapper.module.code_for_node, nodes)])
        seen[text] += 1
        key = hashlib.sha256(f"{text}\n{seen[text]}".encode()).hexdigest()[:16]
        found.append(Mutant(key, file, name, line, decorators, wrapper.module, nodes))
    # by hash: a sample that stays when other lines of the file change
    return sorted(found, key=lambda mutant: mutant.key)


def _is_strict(argument: cst.Arg) -> bool:
    return argument.keyword is not None and argument.keyword.value == "strict"


def _only_strict(mutation: Mutation) -> bool:
    nodes = mutation.original_node, mutation.mutated_node
    if not all(isinstance(node, cst.Call) for node in nodes):
        return False
    before, after = ([a for a in node.args if not _is_strict(a)] for node in nodes)
    changed = any(a is not b for a, b in zip_longest(before, after))
    return not changed and len(before) < len(nodes[0].args)


def unchanged(root: Path, file: str, key: str) -> Mutant:
    """The file as it is, to run the tests exactly as on a mutant."""
    code = (root / "src" / "gutseg" / file).read_text()
    return Mutant(key, file, "", 0, frozenset(), cst.parse_module(code), None)


def _functions(tree: ast.Module) -> Iterator[tuple[str, int, int, frozenset[str]]]:
    """Qualified name, first and last line and plain decorators of every function and method."""
    for node in tree.body:
        inside = (
            [(node.name, child) for child in node.body] if isinstance(node, ast.ClassDef) else []
        )
        for owner, found in [*inside, ("", node)]:
            if isinstance(found, ast.FunctionDef):
                first = min([found.lineno, *(d.lineno for d in found.decorator_list)])
                names = {d.id for d in found.decorator_list if isinstance(d, ast.Name)}
                name = f"{owner}.{found.name}".lstrip(".")
                yield name, first, found.end_lineno, frozenset(names)
