"""A project's folder that was moved as a whole, and files that were: the record follows them."""

import os
from dataclasses import replace

import pytest

from stoker.errors import NotFound, VersionConflict
from stoker.model.item import NewItem
from stoker.model.pipeline import Param, ParamType
from stoker.model.saying import mark_of
from stoker.model.task import Published
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.database import invariants
from stoker.store.orders import versions
from stoker.store.reports import attempts, lists
from store.rig import wanted

ME = Actor("tester")


@pytest.fixture
def line(pipeline, tmp_path):
    made = pipeline(one=(), two=("one",))
    return replace(made, folder=str(tmp_path / "old"))


def file(tmp_path, *names):
    path = tmp_path.joinpath(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return str(path)


def apply(rig, pipeline, folder, *, host="h", **more):
    whole = replace(pipeline, folder=str(folder))
    path = str(folder / "stoker.toml")
    return versions.apply_version(rig.store, whole, host=host, path=path, **more)


def take(rig, *paths, key=os.path.basename):
    items = [NewItem(key=key(path), path=path) for path in paths]
    return register.register(rig.store, "line", items, ME)


def paths(rig):
    return {row.item: row.path for row in lists.items(rig.store, rig.select())}


def test_the_same_file_in_another_folder_is_the_same_pipeline(rig, line, tmp_path):
    file(tmp_path, "old", "stoker.toml")
    file(tmp_path, "other", "stoker.toml")
    assert apply(rig, line, tmp_path / "old").number == 1
    assert not apply(rig, line, tmp_path / "other").is_new
    assert not apply(rig, line, tmp_path / "other", host="another").is_new
    changed = replace(line, steps=line.steps[:1])
    with pytest.raises(VersionConflict):
        apply(rig, changed, tmp_path / "other")
    taken = apply(rig, line, tmp_path / "other", take_over=True)
    assert (taken.number, taken.is_new, taken.moved_from) == (2, True, None)
    assert not apply(rig, line, tmp_path / "other", take_over=True).is_new


def test_a_moved_project_goes_on_with_its_items_outputs_and_logs(rig, line, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    file(tmp_path, "old", "stoker.toml")
    elsewhere = file(tmp_path, "elsewhere", "b")
    apply(rig, line, old)
    take(rig, file(tmp_path, "old", "data", "a"), elsewhere)
    (task,) = rig.claim(rig.worker())
    out = f"{old}/out/{task.key}"
    rig.link.reserve(task.attempt, task.task_id, [wanted(out)])
    published = Published(name="o", path=out, size_bytes=1, checksum="xxh128:0")
    rig.end(task, outputs=(published,))
    old.rename(new)
    change = apply(rig, line, new)
    assert (change.number, change.moved_from) == (2, str(old))
    assert paths(rig) == {"a": f"{new}/data/a", "b": elsewhere}
    assert attempts.maker_of(rig.store, f"{new}/out/{task.key}").item == task.key
    with pytest.raises(NotFound):
        attempts.maker_of(rig.store, out)
    assert take(rig, f"{new}/data/a", elsewhere).known == 2
    assert not apply(rig, line, new).is_new
    assert not invariants.check_journal(rig.store).violations
    rig.check()


def test_paths_in_parameters_of_a_moved_project_follow_it(rig, line, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    file(tmp_path, "old", "stoker.toml")
    kinds = (Param(name="mask", type=ParamType.PATH), Param(name="note"))
    line = replace(line, params=kinds)
    apply(rig, line, old)

    def item(folder):
        params = {"mask": f"{folder}/m", "note": f"{folder}/n"}
        if folder == new:
            params["note"] = f"{old}/n"  # a text, which is nobody's path
        mark = mark_of(params)
        return NewItem(key="k", params=params, fingerprint=mark, mark=mark)

    register.register(rig.store, "line", [item(old)], ME)
    old.rename(new)
    apply(rig, line, new)
    done = register.register(rig.store, "line", [item(new)], ME)
    assert (done.known, done.changed) == (1, 0)
    assert not invariants.check_journal(rig.store).violations
    rig.check()


def test_what_another_host_set_was_not_moved_here(rig, line, tmp_path):
    apply(rig, line, tmp_path / "old", host="another")
    assert not apply(rig, line, tmp_path / "new").is_new


def test_a_known_key_is_followed_once_its_old_file_is_gone(rig, line, tmp_path):
    apply(rig, line, tmp_path / "old")
    first, second = file(tmp_path, "x", "a"), file(tmp_path, "y", "a")
    take(rig, first)
    assert take(rig, second).conflicts == 1
    assert paths(rig) == {"a": first}
    os.unlink(first)
    done = take(rig, second)
    assert (done.known, done.conflicts, done.changed) == (1, 0, 0)
    assert paths(rig) == {"a": second}
    assert not invariants.check_journal(rig.store).violations
    rig.check()


def test_a_file_is_found_by_any_path_that_leads_to_it(rig, line, tmp_path):
    apply(rig, line, tmp_path / "old")
    take(rig, file(tmp_path, "old", "a"))
    (task,) = rig.claim(rig.worker())
    out = file(tmp_path, "old", "out", "a")
    rig.link.reserve(task.attempt, task.task_id, [wanted(out)])
    rig.end(task, outputs=(Published(name="o", path=out, size_bytes=1, checksum="xxh128:0"),))
    (tmp_path / "link").symlink_to(tmp_path / "old" / "out")
    assert attempts.maker_of(rig.store, str(tmp_path / "link" / "a")).item == "a"
