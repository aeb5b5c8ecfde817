"""`stoker user` and `stoker token`, as a person meets them."""

import pytest

FILE = """
[project]
name = "lab"
[web]
url = "https://lab.example.org/stoker"
[pipelines.p]
items = "records"
steps.s.run = "true"
"""


@pytest.fixture
def site(lab):
    (lab.folder / "stoker.toml").write_text(FILE)
    return lab


def test_users_are_made_changed_and_removed(site):
    assert "there are no users" in site("user", "list").err
    assert "would be made" in site("user", "create", "anna", "--role", "admin", "--dry-run").out
    assert site("user", "list", "--json").rows == []
    made = site("user", "create", "anna", "--role", "admin", "--reason", "the first")
    assert "user `anna`, admin, is made" in made.out
    assert "`stoker user link anna`" in made.err
    (row,) = site("user", "create", "ben", "--json").rows
    assert row == {"name": "ben", "role": "viewer", "dry_run": False}
    assert "already" in site("user", "create", "ben", code=4).err
    assert "is not one of" in site("user", "create", "eve", "--role", "root", code=2).err
    assert "operator, is changed" in site("user", "set", "ben", "--role", "operator").out
    site("user", "set", "ben", given=b"correct horse battery\n")
    assert "characters" in site("user", "set", "ben", given=b"short\n", code=2).err
    assert "no password on standard input" in site("user", "set", "ben", given=b"", code=2).err
    listed = site("user", "list", "--json")
    assert [(one["name"], one["has_password"]) for one in listed.rows] == [
        ("anna", False),
        ("ben", True),
    ]
    assert "correct horse" not in listed.out
    assert "last admin" in site("user", "remove", "anna", code=6).err
    assert "is removed" in site("user", "remove", "ben").out
    assert "no user `ben`" in site("user", "set", "ben", "--role", "viewer", code=3).err


def test_a_link_leads_to_where_users_see_the_service(site):
    site("user", "create", "anna")
    link = site("user", "link", "anna")
    assert link.out.startswith("https://lab.example.org/stoker/sign-in?link=")
    assert len(link.out.strip()) > 80
    (row,) = site("user", "link", "anna", "--json").rows
    assert row["url"] not in link.out
    assert site("user", "link", "anna", "--dry-run").out.strip().endswith("…")
    assert "no user `ben`" in site("user", "link", "ben", code=3).err


def test_a_token_is_shown_once(site):
    site("user", "create", "anna")
    made = site("token", "create", "nightly", "--expires", "90d")
    assert made.out.startswith("stk_")
    assert "not shown again" in made.err
    for words in (["list"], ["list", "--json"]):
        shown = site("token", *words).out
        assert "nightly" in shown
        assert made.out.strip() not in shown
    (row,) = site("token", "list", "--json").rows
    assert (row["role"], row["user"], row["used_at"]) == ("submitter", None, None)
    assert (
        "cannot have the role"
        in site("token", "create", "x", "--user", "anna", "--role", "admin", code=2).err
    )
    (row,) = site("token", "create", "x", "--dry-run", "--json").rows
    assert row == {"name": "x", "token": None, "dry_run": True}
    assert "would be revoked" in site("token", "revoke", "nightly", "--dry-run").out
    assert "is revoked" in site("token", "revoke", "nightly").out
    assert "no token `nightly`" in site("token", "revoke", "nightly", code=3).err
    assert "there are no tokens" in site("token", "list").err


def test_up_opens_to_others_only_with_a_user(site):
    found = site("up", "--host", "0.0.0.0", "--port", "0", code=6)
    assert "no users yet" in found.err
    assert "stoker user create" in found.err
