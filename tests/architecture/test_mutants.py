"""The faults of `make mutants` are faults: code that compiles, and is other code."""

import ast

import mutants


def test_every_fault_is_other_code_that_compiles():
    path = mutants.SOURCE / "stoker/model/gate.py"
    right = ast.unparse(ast.parse(path.read_text()))
    possible = list(mutants.mutants(path))
    assert len(possible) > 50
    for one in possible:
        tree = one.tree()
        compile(tree, str(path), "exec")
        assert ast.unparse(tree) != right, str(one)


def test_all_the_code_that_is_meant_is_found():
    assert all(path.is_file() for path in mutants.code([]))
