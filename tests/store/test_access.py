"""Users, tokens, sessions and links: what each secret opens, and until when."""

import pytest
from sqlalchemy import select, update

from stoker.errors import Conflict, NotFound, Refused, UserError
from stoker.model.access import Role
from stoker.store import access_tables, tables
from stoker.store.access import secrets, sessions, tokens, users
from stoker.store.actor import Actor

ADMIN = Actor("root", "why not")
HASH = secrets.hash_password("correct horse")


def later(store, table, seconds, *columns):
    """Let it be later: the times in these columns are earlier."""
    with store.writing() as unit:
        values = {name: table.c[name] - int(seconds * 1e6) for name in columns}
        unit.execute(update(table).values(**values))


def test_users(store):
    assert users.count_users(store) == 0
    users.create_user(store, "anna", Role.ADMIN, ADMIN)
    users.create_user(store, "ben", Role.VIEWER, ADMIN, password=HASH)
    assert [(one.name, one.role, one.has_password) for one in users.users(store)] == [
        ("anna", "admin", False),
        ("ben", "viewer", True),
    ]
    with pytest.raises(Conflict, match="user `ben` already"):
        users.create_user(store, "ben", Role.VIEWER, ADMIN)
    users.set_user(store, "ben", ADMIN, role=Role.OPERATOR)
    assert users.user(store, "ben").role == "operator"
    assert users.user(store, "ben").has_password
    users.remove_user(store, "ben", ADMIN)
    assert users.count_users(store) == 1
    for verb in (users.user, lambda s, n: users.remove_user(s, n, ADMIN)):
        with pytest.raises(NotFound, match="`ben`"):
            verb(store, "ben")


@pytest.mark.parametrize("name", ["", " a", "a\n", "x" * 201, "anonymous", "a/b", "a:b", "a\0"])
def test_names_that_nobody_can_have(store, name):
    with pytest.raises(UserError):
        users.create_user(store, name, Role.VIEWER, ADMIN)
    with pytest.raises(UserError):
        tokens.create_token(store, name, ADMIN)


def test_the_last_admin_stays(store):
    users.create_user(store, "anna", Role.ADMIN, ADMIN)
    users.create_user(store, "ben", Role.VIEWER, ADMIN)
    with pytest.raises(Refused, match="last admin"):
        users.remove_user(store, "anna", ADMIN)
    with pytest.raises(Refused, match="last admin"):
        users.set_user(store, "anna", ADMIN, role=Role.OPERATOR)
    users.set_user(store, "ben", ADMIN, role=Role.ADMIN)
    users.remove_user(store, "anna", ADMIN)
    users.remove_user(store, "ben", ADMIN)  # nobody is locked out of a project without users


def test_a_dry_run_changes_nothing(store):
    users.create_user(store, "anna", Role.ADMIN, ADMIN, dry_run=True)
    tokens.create_token(store, "robot", ADMIN, dry_run=True)
    assert (users.users(store), tokens.tokens(store)) == ([], [])
    users.create_user(store, "anna", Role.ADMIN, ADMIN)
    tokens.create_token(store, "robot", ADMIN)
    users.set_user(store, "anna", ADMIN, password=HASH, dry_run=True)
    users.remove_user(store, "anna", ADMIN, dry_run=True)
    tokens.revoke_token(store, "robot", ADMIN, dry_run=True)
    assert (len(users.users(store)), len(tokens.tokens(store))) == (1, 1)
    assert not users.user(store, "anna").has_password


def test_what_the_journal_has_of_it(store):
    users.create_user(store, "anna", Role.ADMIN, ADMIN)
    secret = tokens.create_token(store, "robot", ADMIN, user="anna")
    users.set_user(store, "anna", ADMIN, password=HASH)
    tokens.revoke_token(store, "robot", ADMIN)
    session = sessions.sign_in(store, "anna", "correct horse")
    with store.reading() as unit:
        rows = unit.execute(select(tables.journal.c.event, tables.journal.c.data)).fetchall()
    said = [row.event for row in rows]
    assert said == ["create_user", "create_token", "set_user", "revoke_token", "sign_in"]
    whole = str(rows)
    assert '"by":"root","reason":"why not"' in whole
    for hidden in (secret, session, HASH, "correct horse", secrets.hash_of(secret)):
        assert hidden not in whole


def test_no_secret_is_in_the_store(store):
    users.create_user(store, "anna", Role.ADMIN, ADMIN, password=HASH)
    kept = {
        tokens.create_token(store, "robot", ADMIN),
        sessions.sign_in(store, "anna", "correct horse"),
        sessions.create_link(store, "anna", ADMIN),
        "correct horse",
    }
    with store.reading() as unit:
        for table in tables.metadata.sorted_tables:
            whole = str(unit.execute(select(table)).fetchall())
            assert not any(secret in whole for secret in kept), table.name


# ----------------------------------------------------------------------------------------- tokens


def test_a_token_acts_for_itself_or_for_a_user(store):
    users.create_user(store, "anna", Role.OPERATOR, ADMIN)
    own = tokens.create_token(store, "robot", ADMIN)
    annas = tokens.create_token(store, "laptop", ADMIN, user="anna", role=Role.VIEWER)
    assert own.startswith("stk_")
    assert len(own) > 40
    assert sessions.of_token(store, own) == sessions.Identity(
        user="robot", role=Role.SUBMITTER, token="robot"
    )
    assert sessions.of_token(store, annas) == sessions.Identity(
        user="anna", role=Role.VIEWER, token="laptop"
    )
    found = {row.name: (row.user, row.role) for row in tokens.tokens(store)}
    assert found == {"robot": (None, "submitter"), "laptop": ("anna", "viewer")}


def test_a_token_never_has_more_rights_than_its_user(store):
    users.create_user(store, "anna", Role.OPERATOR, ADMIN)
    users.create_user(store, "ben", Role.VIEWER, ADMIN)
    with pytest.raises(UserError, match="token of theirs cannot have the role `admin`"):
        tokens.create_token(store, "x", ADMIN, user="anna", role=Role.ADMIN)
    secret = tokens.create_token(store, "x", ADMIN, user="anna", role=Role.OPERATOR)
    by_default = tokens.create_token(store, "y", ADMIN, user="ben")
    assert sessions.of_token(store, by_default).role is Role.VIEWER
    users.set_user(store, "anna", ADMIN, role=Role.VIEWER)
    assert sessions.of_token(store, secret).role is Role.VIEWER
    users.remove_user(store, "anna", ADMIN)
    assert sessions.of_token(store, secret) is None


def test_tokens_and_users_have_no_name_in_common(store):
    """What is one's own is known by the name: a token `anna` would see what is the user's."""
    users.create_user(store, "anna", Role.VIEWER, ADMIN)
    tokens.create_token(store, "robot", ADMIN)
    with pytest.raises(Conflict):
        tokens.create_token(store, "anna", ADMIN)
    with pytest.raises(Conflict):
        users.create_user(store, "robot", Role.VIEWER, ADMIN)
    with pytest.raises(Conflict):
        tokens.create_token(store, "robot", ADMIN)


@pytest.mark.parametrize("secret", ["", "stk_", "x" * 100_000, "\ud800", "' OR 1=1 --", "stk_%"])
def test_what_is_no_token(store, secret):
    tokens.create_token(store, "robot", ADMIN)
    assert sessions.of_token(store, secret) is None
    assert sessions.of_session(store, secret) is None
    assert sessions.use_link(store, secret) is None


def test_a_token_expires_is_revoked_and_is_known_by_its_last_use(store):
    secret = tokens.create_token(store, "robot", ADMIN, expires_s=3600)
    other = tokens.create_token(store, "other", ADMIN)
    assert tokens.tokens(store)[1].used_at is None
    assert sessions.of_token(store, secret) is not None
    first = tokens.tokens(store)[1].used_at
    sessions.of_token(store, secret)
    assert tokens.tokens(store)[1].used_at == first  # no write for each request
    later(store, access_tables.access_token, 61, "used_us")
    sessions.of_token(store, secret)
    assert tokens.tokens(store)[1].used_at >= first
    later(store, access_tables.access_token, 3601, "expires_us")
    assert sessions.of_token(store, secret) is None
    assert sessions.of_token(store, other) is not None
    tokens.revoke_token(store, "other", ADMIN)
    assert sessions.of_token(store, other) is None
    with pytest.raises(NotFound):
        tokens.revoke_token(store, "other", ADMIN)


# --------------------------------------------------------------------------------------- sessions


def test_a_password_signs_in(store):
    users.create_user(store, "anna", Role.OPERATOR, ADMIN, password=HASH)
    users.create_user(store, "ben", Role.VIEWER, ADMIN)
    secret = sessions.sign_in(store, "anna", "correct horse")
    assert sessions.of_session(store, secret) == sessions.Identity(user="anna", role=Role.OPERATOR)
    assert users.user(store, "anna").signed_in_at is not None
    for name, password in (
        ("anna", "correct horse "),
        ("anna", ""),
        ("anna", "x" * 1_000_000),
        ("ben", ""),
        ("ben", "correct horse"),
        ("nobody", "correct horse"),
        ("", ""),
        ("a\0", "\0"),
    ):
        assert sessions.sign_in(store, name, password) is None
    sessions.sign_out(store, secret)
    assert sessions.of_session(store, secret) is None
    assert sessions.of_token(store, secret) is None


def test_a_short_password_is_refused():
    for password in ("", "short", "x" * 2_000):
        with pytest.raises(UserError, match="characters"):
            secrets.hash_password(password)


def test_a_session_ends_by_age_and_by_rest(store):
    users.create_user(store, "anna", Role.VIEWER, ADMIN, password=HASH)
    table = access_tables.access_session
    secret = sessions.sign_in(store, "anna", "correct horse")
    later(store, table, sessions.UNUSED_S - 60, "used_us")
    assert sessions.of_session(store, secret) is not None
    later(store, table, sessions.UNUSED_S - 60, "used_us")  # since that was noted as a use
    assert sessions.of_session(store, secret) is not None
    later(store, table, sessions.UNUSED_S + 60, "used_us")
    assert sessions.of_session(store, secret) is None
    secret = sessions.sign_in(store, "anna", "correct horse")
    later(store, table, sessions.SESSION_S + 1, "expires_us")
    assert sessions.of_session(store, secret) is None
    sessions.sign_in(store, "anna", "correct horse")
    with store.reading() as unit:
        assert len(unit.execute(select(table)).fetchall()) == 1  # the others are deleted


def test_a_new_password_or_role_takes_effect_at_once(store):
    users.create_user(store, "anna", Role.OPERATOR, ADMIN, password=HASH)
    secret = sessions.sign_in(store, "anna", "correct horse")
    users.set_user(store, "anna", ADMIN, role=Role.VIEWER)
    assert sessions.of_session(store, secret).role is Role.VIEWER
    users.set_user(store, "anna", ADMIN, password=secrets.hash_password("battery staple"))
    assert sessions.of_session(store, secret) is None
    secret = sessions.sign_in(store, "anna", "battery staple")
    users.remove_user(store, "anna", ADMIN)
    assert sessions.of_session(store, secret) is None


def test_a_proxy_vouches_for_users_that_exist(store):
    users.create_user(store, "anna", Role.OPERATOR, ADMIN)
    assert sessions.of_user(store, "anna").role is Role.OPERATOR
    assert sessions.of_user(store, "Anna") is None
    assert sessions.of_user(store, "") is None


# ------------------------------------------------------------------------------------------ links


def test_a_link_signs_in_once_within_ten_minutes(store):
    users.create_user(store, "anna", Role.VIEWER, ADMIN)
    secret = sessions.create_link(store, "anna", ADMIN)
    assert sessions.name_of_link(store, secret) == "anna"
    assert sessions.name_of_link(store, secret) == "anna"  # looking does not use it up
    session = sessions.use_link(store, secret)
    assert sessions.of_session(store, session).user == "anna"
    assert sessions.use_link(store, secret) is None
    assert sessions.name_of_link(store, secret) is None
    secret = sessions.create_link(store, "anna", ADMIN)
    later(store, access_tables.sign_in_link, 601, "expires_us")
    assert sessions.name_of_link(store, secret) is None
    assert sessions.use_link(store, secret) is None
    secret = sessions.create_link(store, "anna", ADMIN)
    users.remove_user(store, "anna", ADMIN)
    assert sessions.use_link(store, secret) is None
    with pytest.raises(NotFound):
        sessions.create_link(store, "anna", ADMIN)


def test_the_first_link_makes_an_admin_and_only_the_first(store):
    old = sessions.create_first_link(store, "anna")
    secret = sessions.create_first_link(store, "anna")
    assert users.count_users(store) == 0
    assert sessions.use_link(store, old) is None  # the newest counts
    assert sessions.of_session(store, sessions.use_link(store, secret)).role is Role.ADMIN
    assert sessions.create_first_link(store, "ben") is None
    assert [one.name for one in users.users(store)] == ["anna"]


def test_a_first_link_is_worthless_once_there_is_a_user(store):
    secret = sessions.create_first_link(store, "anna")
    users.create_user(store, "ben", Role.VIEWER, ADMIN)
    assert sessions.use_link(store, secret) is None
    assert [one.name for one in users.users(store)] == ["ben"]
