"""What the file and the command line say of the store: where it lies, and how long it keeps what."""

import pytest

from stoker.spec.address import BadAddress, refuse_password, stated_in, store_url
from unit.spec.test_load import load, problems


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://stoker:${PASSWORD}@db/lab",
        "postgresql+psycopg://stoker@db/lab?sslmode=verify-full",
        "mariadb+pymysql://stoker:@db/lab",
        "sqlite:///folder/a:b@c.db",
        "nonsense",
    ],
)
def test_a_url_without_a_password_may_stand_on_a_command_line(url):
    refuse_password(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://stoker:s3cret@db/lab",
        "mariadb+pymysql://stoker:${A}s3cret@db/lab",
        "postgresql+psycopg://db/lab?user=x&password=s3cret",
        "mariadb+pymysql://db/lab?passwd=s3cret",
    ],
)
def test_a_password_on_a_command_line_is_refused_and_not_repeated(url):
    with pytest.raises(BadAddress, match="password-file") as told:
        refuse_password(url)
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("url", ["oracle://x:s3cret@y/z", "sqlite://", "sqlite:///:memory:"])
def test_a_url_of_no_store_is_told(url, tmp_path):
    with pytest.raises(BadAddress) as told:
        store_url(url, str(tmp_path))
    assert "s3cret" not in str(told.value)


def test_retention_is_one_time_or_one_for_each_state(tmp_path):
    text = '[retention]\nitems = "365d"\nattempts = { lost = "7d" }\nlogs = 60\njournal = "1.5h"\n'
    found = load(tmp_path, text).settings.retention
    assert found.items == {"done": 365 * 86400, "cancelled": 365 * 86400}
    assert found.attempts == {"lost": 7 * 86400}
    assert len(found.logs) == 6
    assert set(found.logs.values()) == {60}
    assert found.journal == 5400
    assert load(tmp_path, "").settings.retention.is_nothing


def test_what_is_wrong_with_retention_is_told_once(tmp_path):
    text = '[retention]\nitems = { failed = "1d" }\nlogs = "soon"\nevents = 3\n'
    told = problems(tmp_path, text)
    assert [line.partition(": ")[0] for line in told] == [f"stoker.toml:{n}" for n in (2, 3, 4)]
    assert "`retention.items` has no key `failed`; there is `done` and `cancelled`" in told[0]
    assert "`soon` is not a time" in told[1]


@pytest.mark.parametrize(
    ("text", "url", "password_file"),
    [
        ("", "sqlite:///{folder}/.stoker/stoker.db", None),
        ("this is no TOML just now", "sqlite:///{folder}/.stoker/stoker.db", None),
        ('[store]\nurl = "sqlite:///x/s.db"', "sqlite:///{folder}/x/s.db", None),
        (
            'store = { url = "mariadb+pymysql://lab@db/lab", password_file = "secret" }',
            "mariadb+pymysql://lab@db/lab",
            "{folder}/secret",
        ),
        ("note = '''\n[store]\n'''", "sqlite:///{folder}/.stoker/stoker.db", None),
        ("[pipelines.p.steps.a]\nneither = 'known'\n[store]", "sqlite:///{folder}/.stoker/stoker.db", None),
    ],
)  # fmt: skip
def test_where_the_store_lies_is_told_without_the_pipelines(tmp_path, text, url, password_file):
    (tmp_path / "stoker.toml").write_text(text)
    where = {"folder": tmp_path}
    password = None if password_file is None else password_file.format(**where)
    assert stated_in(tmp_path / "stoker.toml") == (url.format(**where), password, "private")


@pytest.mark.parametrize(
    "text",
    [
        "[store",
        "[store]\nurl = 'oracle://x'",
        "[store]\nurl = 3",
        "[store]\nlater = true",
        "[store]\npassword_file = []",
        "store = 3",
    ],
)
def test_what_is_wrong_with_the_store_is_left_to_those_who_read_all(tmp_path, text):
    (tmp_path / "stoker.toml").write_text(text)
    assert stated_in(tmp_path / "stoker.toml") is None
    assert stated_in(tmp_path / "none.toml") is None


def test_the_store_is_found_in_a_file_that_is_not_utf_8(tmp_path):
    """What reads the store only works while somebody is in the middle of changing the file."""
    file = tmp_path / "stoker.toml"
    file.write_bytes(b'[project]\nname = "caf\xe9"\n[store]\nurl = "sqlite:////x/y.db"\n')
    assert stated_in(file).url == "sqlite:////x/y.db"
