"""What only databases on servers can get wrong: rivals, broken-off transactions, outages."""

import threading
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import Engine, event, func, select

import servers
from stoker.errors import NotFound, OutputConflict, Refused, Unavailable, UserError, WrongState
from stoker.model import transitions
from stoker.model.item import NewItem
from stoker.model.pipeline import OnChange, Pipeline, Run, Step
from stoker.model.pool import Pool
from stoker.model.states import AttemptState
from stoker.model.task import Published
from stoker.store import journal_fold, tables, unit
from stoker.store.apply import Move, move
from stoker.store.arrivals import register
from stoker.store.claims import choose
from stoker.store.database.connect import open_store
from stoker.store.dialects import BrokenOff, dialect_for, mariadb
from stoker.store.dialects.constructs import regular_expression
from stoker.store.journal import Entry, append
from stoker.store.orders import verbs, versions
from store.rig import ME, Rig, set_pools, wanted

DO = Run(text="x")
ON_SERVERS = ("postgresql", "mariadb")


@pytest.fixture(
    params=[pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in ON_SERVERS]
)
def database(request):
    return request.param


@pytest.fixture
def second(url, store):
    """The same store, opened a second time, as by another process."""
    other = open_store(url)
    yield Rig(other)
    other.close()


@contextmanager
def at_once(*verbs):
    """Run these in threads of their own beside the block; what they raise is raised at its end."""
    problems = []

    def guarded(verb):
        try:
            verb()
        except BaseException as problem:  # noqa: BLE001 - handed over to the test
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(verb,)) for verb in verbs]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if problems:
        raise problems[0]


def test_the_fold_numbers_rows_in_the_order_of_commits(rig, second):
    entries = [Entry("early", n=0)], [Entry("late", n=0)]
    with rig.store.writing() as early:
        append(early, entries[0])
        with second.store.writing() as late:
            append(late, entries[1])
        journal_fold.fold(second.store)
        assert numbered(second) == ["late"], "the row that is not committed yet has no number"
    journal_fold.fold(second.store)
    assert numbered(second) == ["late", "early"], "a reader behind the first number misses nothing"


def numbered(rig):
    table = tables.journal
    with rig.store.reading() as one:
        query = select(table.c.event).where(table.c.seq.is_not(None)).order_by(table.c.seq)
        return list(one.execute(query).scalars())


def test_two_claims_at_once_pass_each_other_by(rig, second, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a", "b")
    with rig.store.writing() as held:
        held.execute(
            select(tables.task.c.id).order_by(tables.task.c.id).limit(1).with_for_update()
        ).fetchall()
        tasks = second.claim(second.worker(), 5)
        assert [task.key for task in tasks] == ["b"]


def test_a_read_sees_one_state_from_its_beginning_to_its_end(rig, second, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a")
    count = select(func.count()).select_from(tables.item)
    with rig.store.reading() as one:
        assert one.execute(count).scalar_one() == 1
        second.push("b")
        assert one.execute(count).scalar_one() == 1
    with rig.store.reading() as one:
        assert one.execute(count).scalar_one() == 2


def test_ends_wait_for_no_slot_that_is_not_theirs(rig, second, pipeline):
    """A table of few slots is not read as a whole, which would lock what claims hold."""
    set_pools(rig.store, [Pool(name="ram", slots=("0", "1", "2"))])
    rig.apply(pipeline(Step(name="two", action=DO, pools={"ram": 2}), Step(name="none", action=DO)))
    rig.push("a", "b")
    tasks = second.claim(second.worker(slots=8), 8)
    assert sorted(task.step for task in tasks) == ["none", "none", "two"]
    slot = tables.slot
    with rig.store.writing() as held:
        free = select(slot.c.name).where(slot.c.attempt.is_(None)).with_for_update()
        assert len(held.execute(free).fetchall()) == 1
        assert not second.link.finish([second.result(task) for task in tasks])
    with rig.store.reading() as one:
        assert not one.execute(select(slot.c.name).where(slot.c.attempt.is_not(None))).fetchall()


def test_what_a_claim_takes_is_locked_and_its_item_is_not(rig, second, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a")
    with rig.store.reading() as one:
        lane = one.execute(select(tables.task.c.lane)).scalar_one()
    everything = {"lane": lane, "okey": 1 << 62, "before": 0, "limit": 5}
    with rig.store.writing() as ours, second.store.writing() as theirs:
        assert len(ours.run(choose._TAKE, **everything).fetchall()) == 1
        assert not theirs.run(choose._TAKE, **everything).fetchall()
        items = select(tables.item.c.id).with_for_update(skip_locked=True)
        assert len(theirs.execute(items).fetchall()) == 1


def test_two_predecessors_that_end_at_once_make_the_successor_ready(rig, second, pipeline):
    rig.apply(pipeline(one=(), two=(), both=("one", "two")))
    for round_ in range(5):
        rig.push(f"k{round_}")
        first, other = rig.claim(rig.worker(), 2)
        with at_once(lambda other=other: second.end(other)):
            rig.end(first)
        (task,) = rig.claim(rig.worker())
        assert task.step == "both"
        rig.end(task)
    rig.check()


def test_a_deadlock_is_played_again(rig, second, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a", "b")
    tries = []
    both_hold_one = threading.Barrier(2, timeout=30)

    def change(one, order):
        @unit.as_a_whole
        def verb():
            tries.append(order)
            with one.store.writing() as ours:
                for at, key in enumerate(order):
                    item = tables.item
                    ours.execute(item.update().where(item.c.key == key).values(by_user="x"))
                    if at == 0 and len(tries) <= 2:
                        both_hold_one.wait()

        return verb

    with at_once(change(rig, "ab"), change(second, "ba")):
        pass
    assert len(tries) > 2, "one of the two was broken off"


def test_a_transaction_that_is_broken_off_for_ever_is_unavailable(monkeypatch):
    monkeypatch.setattr(unit.time, "sleep", lambda _: None)
    tries = []

    @unit.as_a_whole
    def verb():
        tries.append(1)
        raise BrokenOff("busy")

    with pytest.raises(Unavailable):
        verb()
    assert len(tries) == unit.TRIES


def test_one_item_pushed_by_two_at_once_is_registered_once(rig, second, pipeline):
    rig.apply(pipeline(one=()))
    items = [NewItem(key=f"k{number}", path=f"/data/k{number}") for number in range(300)]
    done = []

    def push(one, order):
        done.append(register.register(one.store, "line", order, ME))

    with at_once(lambda: push(rig, items), lambda: push(second, items[::-1])):
        pass
    assert sum(one.registered for one in done) == 300
    assert sum(one.known for one in done) == 300
    rig.check()


def test_changed_content_pushed_by_two_at_once_is_taken_once(rig, second, pipeline):
    line = Pipeline(
        name="line", folder="/p", steps=pipeline(one=()).steps, on_change=OnChange.RERUN
    )
    rig.apply(line)
    rig.push("a", fingerprint="x")
    with at_once(*(lambda one=one: one.push("a", fingerprint="y") for one in (rig, second))):
        pass
    with rig.store.reading() as one:
        assert one.execute(select(tables.item.c.generation)).scalar() == 2
    rig.check()


def test_items_pushed_while_a_step_is_added_get_its_task(rig, second, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("before")

    def push():
        for number in range(40):
            second.push(f"k{number}")

    with at_once(push):
        rig.apply(pipeline(one=(), two=("one",)))
        rig.apply(pipeline(one=(), two=("one",), three=()))
    assert len(rig.states()) == 41 * 3
    rig.check()


def test_whoever_is_alone_waits_for_the_others_and_they_for_him(rig, second):
    order = []
    held, begun = threading.Event(), threading.Event()

    def alone():
        held.wait(10)
        begun.set()
        with second.store.writing(alone=True):
            order.append("alone")

    with ExitStack() as stack:
        threads = stack.enter_context(at_once(alone))
        with rig.store.writing():
            held.set()
            begun.wait(10)
            threads[0].join(0.2)
            order.append("first")
    assert order == ["first", "alone"]


def test_two_tasks_do_not_both_get_one_path(rig, second, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a", "b")
    one, other = rig.claim(rig.worker(), 2)
    got = []

    def reserve(who, task):
        try:
            who.link.reserve(task.attempt, task.task_id, [wanted("/out/x")])
            got.append(task.key)
        except OutputConflict:
            got.append("OutputConflict")

    with at_once(lambda: reserve(rig, one), lambda: reserve(second, other)):
        pass
    assert min(got) == "OutputConflict"
    assert len([who for who in got if who in "ab"]) == 1


def test_two_tasks_do_not_both_get_paths_of_which_one_is_inside_the_other(rig, second, pipeline):
    rig.apply(pipeline(one=()))
    rig.push(*"abcdefgh")
    tasks = rig.claim(rig.worker(), 8)
    got = []

    def reserve(who, task, one):
        try:
            who.link.reserve(task.attempt, task.task_id, [one])
            got.append("reserved")
        except OutputConflict:
            got.append("conflict")

    for n in range(4):
        folder, file = wanted(f"/out/{n}", parts=b""), wanted(f"/out/{n}/x")
        with at_once(
            lambda n=n, folder=folder: reserve(rig, tasks[2 * n], folder),
            lambda n=n, file=file: reserve(second, tasks[2 * n + 1], file),
        ):
            pass
    assert sorted(got) == ["conflict"] * 4 + ["reserved"] * 4


def test_a_path_longer_than_a_databases_key_is_kept(rig, pipeline):
    rig.apply(pipeline(one=()))
    path = "/data/" + "/".join(["long" * 50] * 18) + "/ü"
    register.register(rig.store, "line", [NewItem(key="k", path=path)], ME)
    (task,) = rig.claim(rig.worker())
    assert task.path == path
    for _ in range(2):
        one = wanted(path + ".out", parts=b"12345678")
        rig.link.reserve(task.attempt, task.task_id, [one])
    owned = rig.link.contents_of(task.task_id, one.names)
    assert owned == {path + ".out": (one.content,)}
    out = Published(name="o", path=path + ".out", size_bytes=1, checksum="x")
    rig.end(task, outputs=(out,))
    rig.check()


def test_a_key_of_a_thousand_bytes_is_kept_and_compared_bytewise(rig, pipeline):
    rig.apply(pipeline(one=()))
    long = "ü" * 500
    rig.push(long, "a", "A", "a ", "ä", "🜚")
    assert len(rig.states()) == 6
    states = verbs.hold(rig.store, rig.select(keys=("a",)), ME)
    assert states.changed == {"hold": 1}
    done = verbs.hold(rig.store, rig.select(from_key="b", to_key="ÿ"), ME)
    assert done.changed == {"hold": 2}, "ü… and ä lie between, by their bytes"


def test_a_change_of_many_rows_counts_those_that_were_as_stated(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push(*(f"k{number:04}" for number in range(700)))
    with rig.store.reading() as one:
        rows = one.execute(select(tables.task.c.id, tables.item.c.key).join(tables.item)).fetchall()
    moves = [
        Move(row.id, 1, "line", row.key, "one", 1, columns={"reason": row.key}) for row in rows
    ]
    with rig.store.writing() as one:
        move(one, transitions.HOLD, moves)
    with rig.store.reading() as one:
        held = one.execute(select(tables.task.c.id, tables.task.c.reason)).fetchall()
    assert dict(map(tuple, held)) == {row.id: row.key for row in rows}
    with pytest.raises(WrongState, match="700 of 700"), rig.store.writing() as one:
        move(one, transitions.HOLD, moves)


def test_many_who_open_a_new_store_at_once_make_it_once(database):
    url = servers.server(database).new_database("rush")
    with at_once(*(lambda: servers.make_store(url) for _ in range(6))):
        pass
    store = open_store(url, create=False)
    with store.reading() as one:
        assert one.execute(select(func.count()).select_from(tables.site)).scalar() == 1
    store.close()


def test_a_database_without_a_store_is_told(database):
    url = servers.server(database).new_database("empty")
    with pytest.raises(NotFound, match="no store"):
        open_store(url, create=False)


def test_a_command_connects_once(url, store):
    connected = []

    def count(*_):
        connected.append(1)

    event.listen(Engine, "connect", count)
    try:
        other = open_store(url, create=False)
        journal_fold.fold(other)
        other.close()
    finally:
        event.remove(Engine, "connect", count)
    assert len(connected) == 1


def test_a_database_that_is_not_there_is_told(database):
    url = servers.server(database).url("nowhere")
    with pytest.raises((UserError, Unavailable), match="nowhere"):
        open_store(url)


def test_a_server_that_is_not_there_is_told(database):
    scheme = servers.server(database).url("x").partition("://")[0]
    with pytest.raises(Unavailable):
        open_store(f"{scheme}://u:secret@127.0.0.1:{servers.free_port()}/x")


def test_the_password_comes_from_the_environment_or_a_file_and_is_never_shown(
    database, tmp_path, monkeypatch
):
    url = servers.server(database).with_password("s3cret:/@ü")
    monkeypatch.setenv("LAB_PASSWORD", "s3cret:/@ü")
    store = open_store(url.replace("PASSWORD", "${LAB_PASSWORD}"))
    assert "s3cret" not in store.url + repr(store.engine)
    store.close()
    file = tmp_path / "password"
    file.write_text("s3cret:/@ü\nmore\n")
    file.chmod(0o600)
    bare = url.replace(":PASSWORD", "")
    open_store(bare, password_file=str(file)).close()
    file.chmod(0o644)
    with pytest.raises(Refused, match="chmod"):
        open_store(bare, password_file=str(file))
    with pytest.raises(UserError, match="gone"):
        open_store(bare, password_file=str(tmp_path / "gone"))
    monkeypatch.setenv("LAB_PASSWORD", "wr0ng")
    with pytest.raises((UserError, Unavailable)) as told:
        open_store(url.replace("PASSWORD", "${LAB_PASSWORD}"))
    assert "wr0ng" not in str(told.value)
    monkeypatch.delenv("LAB_PASSWORD")
    with pytest.raises(UserError, match="LAB_PASSWORD"):
        open_store(url.replace("PASSWORD", "${LAB_PASSWORD}"))


@pytest.mark.parametrize("url", ["postgresql+nothing://h/d", "mariadb://h:x/d", "mysql://h/d"])
def test_a_url_that_cannot_be_used_is_told(url):
    with pytest.raises(UserError):
        dialect_for(url).engine(url)


@pytest.mark.parametrize(
    ("glob", "expression"),
    [
        ("a*.d?t", r"^a.*\.d.t$"),
        ("[ab]/[^c-e]", r"^[ab]/[^c-e]$"),
        ("[]x]", r"^[\]x]$"),
        ("a[b", "^(?!)"),
        ("ü+(x)", r"^ü\+\(x\)$"),
    ],
)
def test_globs_become_regular_expressions(glob, expression):
    assert regular_expression(glob) == expression


def test_an_update_of_many_rows_is_one_statement_on_mariadb():
    text = "UPDATE task SET state=%s, lane=%s WHERE task.id = %s AND task.state = %s"
    head, more, tail, columns = mariadb._update_of_many(text, ("state", "lane", "id_", "was"))
    assert columns == ("state", "lane", "id_", "was")
    assert head == "SELECT %s AS state_given, %s AS lane_given, %s AS id__given, %s AS was_given"
    assert more == "SELECT %s, %s, %s, %s"
    assert tail == (
        "given STRAIGHT_JOIN task FORCE INDEX (PRIMARY) "
        "SET state=given.state_given, lane=given.lane_given "
        "WHERE task.id = given.id__given AND task.state = given.was_given"
    )


def test_a_step_that_was_ended_meanwhile_is_seen_by_the_next(rig, second, pipeline):
    """A person's change waits for a worker's, and then sees it."""
    rig.apply(pipeline(one=()))
    rig.push("a")
    (task,) = rig.claim(rig.worker())
    with at_once(
        lambda: verbs.rerun(second.store, second.select(), ME),
        lambda: rig.link.finish([rig.result(task)]),
        lambda: versions.apply_version(
            second.store, pipeline(Step(name="one", action=Run(text="y"))), host="h", path="/f"
        ),
    ):
        pass
    rig.check()


def test_files_of_a_store_on_a_server_lie_in_the_projects_folder(url, tmp_path):
    store = open_store(url, folder=str(tmp_path / ".stoker"))
    assert store.folder == tmp_path / ".stoker"
    store.close()


def test_an_end_with_a_nul_character_is_recorded(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a")
    (task,) = rig.claim(rig.worker())
    rig.end(task, AttemptState.FAILED, reason="a\0b", cause="a\0b", command="x\0y")
    rig.check()
