"""Transfers over a real sshd on the loopback: there and back, cut off, refused, and hostile names."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import servers
import sshd
from disks import Disks
from stoker.errors import Conflict, NotFound, Refused, Unavailable, UserError
from stoker.transfer import copy, fetching, many
from stoker.transfer.copy import transfer
from stoker.transfer.far import FarEnd
from stoker.transfer.listed import transfer_listed
from stoker.transfer.places import Place, parse_place
from stoker.transfer.shell import _SUM, number

STOKER = str(Path(sys.executable).with_name("stoker"))


@pytest.fixture(scope="session", autouse=True)
def programs():
    """What all of these tests need."""
    sshd.require()
    if shutil.which("rsync") is None:
        servers.unavailable("rsync is not installed; `requirements/servers` does it")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A host `site` that ssh reaches, by the command in RSYNC_RSH.

    With `config.stranger` it lets nobody in, and with `config.files` to files only.
    """
    folder = tmp_path_factory.mktemp("sshd")
    with sshd.Sshd(folder) as host:
        config = host.config.read_text()
        for name in ("stranger", "files"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
            )
            (folder / f"config.{name}").write_text(
                config.replace(f"{folder}/id\n", f"{folder}/{name}\n")
            )
        with (folder / "authorized_keys").open("a") as keys:
            keys.write(f'restrict,command="internal-sftp" {(folder / "files.pub").read_text()}')
        yield host


@pytest.fixture
def ssh(site, monkeypatch):
    monkeypatch.setenv("RSYNC_RSH", site.command)
    return site.folder


def there(path):
    return Place("site", str(path))


def here(path):
    return Place(None, str(path))


NAMES = [
    "plain", "a b", "q'u\"o$(touch x)te", "new\nline\n", "-rf", "ünï", "b\udcffd", "*", "a:b", "\\",
    "tab\t", "x" * 200,
]  # fmt: skip


@pytest.mark.parametrize("config", ["config", "config.files"])
def test_there_and_back(ssh, tmp_path, config, monkeypatch):
    """By rsync, and by SFTP to a host that has no shell for us."""
    monkeypatch.setenv("RSYNC_RSH", f"ssh -F {ssh}/{config}")
    with FarEnd(there("")) as far:
        for number, name in enumerate(NAMES):
            there_and_back(tmp_path / str(number), name, far)


def there_and_back(folder, name, far):
    source, target, back = (folder / one / name for one in ("s", "t", "b"))
    source.parent.mkdir(parents=True)
    source.write_bytes(os.urandom(3000))
    os.utime(source, (1e9, 1e9))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    sent = transfer(here(source), there(target), far=far)
    assert sent.values == {
        "host": "site", "path": str(target), "size_bytes": 3000, "sha256": digest,
    }  # fmt: skip
    assert target.read_bytes() == source.read_bytes()
    assert int(target.stat().st_mtime) == 1_000_000_000
    fetched = transfer(there(target), here(f"{back.parent}/"), far=far)
    assert (fetched.path, fetched.sha256, fetched.is_new) == (str(back), digest, True)
    assert back.read_bytes() == source.read_bytes()
    for one in ("s", "t", "b"):
        assert os.listdir(folder / one) == [name], "nothing else is left"


def test_the_second_time_it_is_there(ssh, tmp_path):
    source = tmp_path / "s"
    source.write_bytes(b"")
    assert transfer(here(source), there(tmp_path / "t")).is_new
    before = (tmp_path / "t").stat()
    assert not transfer(here(source), there(tmp_path / "t")).is_new
    assert not transfer(there(source), here(tmp_path / "t")).is_new
    assert (tmp_path / "t").stat().st_ino == before.st_ino


@pytest.mark.parametrize("way", ["to", "from"])
def test_a_link_is_copied_as_its_file(tmp_path, way):
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "link").symlink_to("file")
    link, target = str(tmp_path / "link"), str(tmp_path / "t" / "x")
    if way == "to":
        transfer(here(link), Place(None, target, "lyon"))
    else:
        transfer(Place(None, link, "lyon"), here(target))
    assert (tmp_path / "t" / "x").read_bytes() == b"data"
    assert not (tmp_path / "t" / "x").is_symlink()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "fifo"])
@pytest.mark.parametrize("way", ["to", "from"])
def test_nothing_is_replaced(ssh, tmp_path, kind, way):
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_bytes(b"new")
    if kind == "file":
        target.write_bytes(b"old")
    elif kind == "folder":
        target.mkdir()
    elif kind == "link":
        target.symlink_to("nowhere")
    else:
        os.mkfifo(target)
    before = target.lstat()
    ends = (here(source), there(target)) if way == "to" else (there(source), here(target))
    with pytest.raises(Conflict):
        transfer(*ends)
    assert target.lstat().st_ino == before.st_ino
    assert sorted(os.listdir(tmp_path)) == ["s", "t"]


@pytest.mark.parametrize("way", ["to", "from"])
def test_what_is_no_source(ssh, tmp_path, way):
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name, error in (("none", NotFound), ("d", UserError), ("fifo", UserError)):
        ends = (here, there) if way == "to" else (there, here)
        with pytest.raises(error):
            transfer(ends[0](tmp_path / name), ends[1](tmp_path / "t"))
    assert sorted(os.listdir(tmp_path)) == ["d", "fifo"]


@pytest.mark.parametrize("way", ["to", "from"])
def test_cut_off_it_goes_on_and_never_with_other_content(ssh, tmp_path, way):
    source, target = tmp_path / "s" / "f", tmp_path / "t" / "f"
    source.parent.mkdir()
    source.write_bytes(os.urandom(5_000_000))
    ends = (str(source), f"site:{target}") if way == "to" else (f"site:{source}", str(target))
    env = {**os.environ, "STOKER_FAILPOINTS": "transfer.sent=kill"}
    killed = subprocess.run([STOKER, "transfer", *ends], env=env, check=False)
    assert killed.returncode == -9
    (part,) = target.parent.iterdir()
    with part.open("r+b") as file:  # as if the line had been cut in the middle
        file.truncate(2_000_000)
    inode = part.stat().st_ino
    places = [parse_place(end) for end in ends]
    transfer(*places)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_ino == inode, "it went on with what was there"
    target.unlink()
    subprocess.run([STOKER, "transfer", *ends], env=env, check=False)
    (part,) = target.parent.iterdir()
    with part.open("r+b") as file:  # as long, and not the same: no sender would notice
        file.write(b"another")
    with pytest.raises(Unavailable, match="did not arrive"):
        transfer(*places)
    assert list(target.parent.iterdir()) == []
    transfer(*places)
    assert target.read_bytes() == source.read_bytes()


@pytest.fixture
def when_sent(monkeypatch):
    """What is done once, when the content has been copied and its checksum is not read back yet."""

    def arm(act):
        done = []

        def hit(name):
            if name == "transfer.sent" and not done:
                done.append(name)
                act()

        for module in (copy, many, fetching):
            monkeypatch.setattr(module, "hit", hit)

    return arm


@pytest.mark.parametrize("config", ["config", "config.files"])
def test_a_host_that_freezes(site, ssh, tmp_path, config, when_sent, monkeypatch):
    quick = "-oServerAliveInterval=2 -oServerAliveCountMax=3 -oConnectTimeout=10"
    monkeypatch.setenv("RSYNC_RSH", f"ssh -F {ssh}/{config} {quick}")
    source, target = tmp_path / "s", tmp_path / "t" / "f"
    source.write_bytes(os.urandom(200_000))

    def freeze():  # those that serve connections, and what would accept another
        site.daemon.send_signal(signal.SIGSTOP)
        assert site.signal(signal.SIGSTOP)

    when_sent(freeze)
    try:
        with pytest.raises(Unavailable, match="cannot be reached"):
            transfer(here(source), there(target))
    finally:
        site.signal(signal.SIGKILL)
        site.daemon.send_signal(signal.SIGCONT)
    monkeypatch.setenv("RSYNC_RSH", f"ssh -F {ssh}/{config}")
    (part,) = target.parent.iterdir()
    inode = part.stat().st_ino
    transfer(here(source), there(target))
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_ino == inode, "it went on with what was there"
    assert os.listdir(target.parent) == ["f"]


@pytest.mark.parametrize("way", ["one", "many"])
def test_a_source_that_changes_meanwhile(ssh, tmp_path, when_sent, way):
    source, target = tmp_path / "s" / "f", tmp_path / "t" / "f"
    names = listed(tmp_path / "s", {"f": b"before"})
    when_sent(lambda: source.write_bytes(b"afterwards"))
    one = (transfer, here(source), there(target))
    listed_ones = (transfer_listed, here(source.parent), there(target.parent), names)
    copy_it, *places = one if way == "one" else listed_ones
    with pytest.raises(Conflict, match="changed while it was copied"):
        copy_it(*places)
    assert target.read_bytes() == b"before"


@pytest.fixture
def disks(tmp_path):
    found = Disks(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("config", ["config", "config.files"])
def test_a_full_disk_and_one_that_is_read_only(ssh, tmp_path, monkeypatch, config, disks):
    monkeypatch.setenv("RSYNC_RSH", f"ssh -F {ssh}/{config}")
    source = tmp_path / "s"
    source.write_bytes(os.urandom(3_000_000))
    small, fixed = disks.mount("small", options="size=1m"), disks.mount("fixed", options="ro")
    if len(disks.mounted) < 2:
        pytest.skip("only root may mount a small disk")
    with pytest.raises(Unavailable, match=r"no space left|cannot be written: Failure"):
        transfer(here(source), there(small / "f"))
    with pytest.raises(Unavailable, match=r"no space left|No space left"):
        transfer(there(source), here(small / "g"))
    assert not {"f", "g"} & set(os.listdir(small)), "only hidden names"
    # SFTP has no word for a disk that cannot be written.
    error = Unavailable if config == "config.files" else Refused
    with pytest.raises(error):
        transfer(here(source), there(fixed / "f"))


def test_without_rsync_here_a_shell_there_still_takes_the_checksum(ssh, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for name in ("ssh", "sh"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    names = listed(tmp_path / "s", {"a": b"a" * 100_000, "d/b": b""})
    sent = transfer_listed(here(tmp_path / "s"), there(tmp_path / "t"), names)
    back = transfer_listed(there(tmp_path / "t"), here(tmp_path / "b"), names)
    assert (sent.new, back.new) == (2, 2)
    assert found(tmp_path / "b") == found(tmp_path / "t") == found(tmp_path / "s")


@pytest.mark.parametrize("answer", [b"\xff" * 9, b"\0\0\0\1\2", b"\0\0\0\5\2\0\0\0\3" * 9, b""])
def test_a_host_that_does_not_speak_sftp(tmp_path, monkeypatch, answer):
    (tmp_path / "s").write_bytes(b"x")
    (tmp_path / "answer").write_bytes(answer)
    (tmp_path / "odd").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\nexit 3\n")
    (tmp_path / "odd").chmod(0o755)
    monkeypatch.setenv("RSYNC_RSH", str(tmp_path / "odd"))
    with pytest.raises(Unavailable):
        transfer(here(tmp_path / "s"), there(tmp_path / "t"))


def test_who_may_not_is_told_so(ssh, tmp_path, monkeypatch):
    source = tmp_path / "s"
    source.write_bytes(b"x")
    monkeypatch.setenv("RSYNC_RSH", f"ssh -F {ssh}/config.stranger")
    with pytest.raises(Refused, match="Permission denied"):
        transfer(here(source), there(tmp_path / "t"))
    monkeypatch.setenv("RSYNC_RSH", f"ssh -F {ssh}/config -o Port=1")
    with pytest.raises(Unavailable, match="cannot be reached"):
        transfer(there(source), here(tmp_path / "t"))
    monkeypatch.setenv("RSYNC_RSH", "/no/ssh")
    with pytest.raises(UserError, match="no program `/no/ssh`"):
        transfer(here(source), there(tmp_path / "t"))
    assert os.listdir(tmp_path) == ["s"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/a/b", Place(None, "/a/b")),
        ("./a:b", Place(None, "./a:b")),
        ("/a:b", Place(None, "/a:b")),
        ("host:a", Place("host", "a")),
        ("me@host.org:/a b", Place("me@host.org", "/a b")),
        ("[::1]:/a", Place("::1", "/a")),
        ("host:a:b", Place("host", "a:b")),
    ],
)
def test_places(text, place):
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["-oProxyCommand=x:a", "host:", ":a", "", "a b:c", "h\n:x"])
def test_what_is_no_place(text):
    with pytest.raises(UserError):
        parse_place(text)


def stoker(*arguments, code=0, **environment):
    ended = subprocess.run(
        [STOKER, "transfer", *map(str, arguments)], env=os.environ | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == code, ended.stderr
    return ended


def test_the_command_its_values_and_its_exit_codes(ssh, tmp_path):
    source, values = tmp_path / "s", tmp_path / "values"
    source.write_bytes(b"data")
    target = f"site:{tmp_path}/in/"
    said = stoker(source, target, "--dry-run").stdout
    assert said == f"would copy 4 bytes to `site:{tmp_path}/in/s`\n"
    assert not (tmp_path / "in").exists()
    out = json.loads(stoker(source, target, "--json", STOKER_VALUES=str(values)).stdout)
    assert (out["path"], out["is_new"]) == (f"{tmp_path}/in/s", True)
    assert json.loads(values.read_text()) == {
        "host": "site", "path": f"{tmp_path}/in/s", "size_bytes": 4, "sha256": out["sha256"],
    }  # fmt: skip
    assert "is there already" in stoker(source, target).stdout
    stoker(tmp_path / "none", target, code=3)
    source.write_bytes(b"other")
    stoker(source, target, code=4)
    stoker(source, target, code=5, RSYNC_RSH=f"ssh -F {ssh}/config -o Port=1")
    stoker(source, target, code=6, RSYNC_RSH=f"ssh -F {ssh}/config.stranger")
    stoker(source, tmp_path / "t", code=2)
    stoker(target, f"site:{tmp_path}/t", code=2)
    assert (tmp_path / "in" / "s").read_bytes() == b"data"


def test_as_a_step_whose_values_the_next_step_uses(ssh, tmp_path):
    lab = tmp_path / "lab"
    (lab / "raw").mkdir(parents=True)
    (lab / "raw" / "it em").write_bytes(b"run")
    (lab / "stoker.toml").write_text(
        "[pipelines.p]\n[pipelines.p.steps.send]\n"
        f'argv = ["{STOKER}", "transfer", "{{item}}", "site:{tmp_path}/far/{{key}}"]\n'
        'exits = { 4 = "fail" }\n'
        "[pipelines.p.steps.use]\n"
        'run = "echo {in.send.values.path} > {out.o}"\noutputs.o = "o/{key}"\n'
    )
    subprocess.run(
        [STOKER, "run", "p", "raw"], cwd=lab, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (said,) = (lab / "o").rglob("it em")
    assert Path(said.read_text().rstrip("\n")).read_bytes() == b"run"


def test_the_files_of_a_list(ssh, tmp_path):
    source = tmp_path / "s"
    (source / "deep").mkdir(parents=True)
    for size, name in enumerate(("a b", "deep/-rf", "c")):
        (source / name).write_bytes(b"x" * size)
    names = tmp_path / "names"
    names.write_text(f"a b\n{source}/deep/-rf\n\nc\nc\n")
    done = transfer_listed(here(source), there(tmp_path / "t"), str(names))
    assert (done.host, done.path, done.files, done.new, done.size_bytes) == (
        "site", str(tmp_path / "t"), 3, 3, 3,
    )  # fmt: skip
    assert (tmp_path / "t/deep/-rf").read_bytes() == b"x"
    (tmp_path / "t/c").unlink()
    assert transfer_listed(here(source), there(tmp_path / "t"), str(names)).new == 1
    names.write_text("deep/-rf\nc\n")
    back = transfer_listed(there(tmp_path / "t"), here(tmp_path / "b"), str(names))
    assert (back.files, (tmp_path / "b/c").read_bytes()) == (2, b"xx")
    (tmp_path / "t/deep/-rf").write_bytes(b"other")
    with pytest.raises(Conflict, match="it stays; 1 of 2 files are there"):
        transfer_listed(here(source), there(tmp_path / "t"), str(names))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ok\n../x\n", "line 2: `../x` leads out of the folder"),
        ("/etc/passwd\n", "line 1: `/etc/passwd` is not in the source folder"),
        ("deep/\n", "line 1: `deep/` is a folder"),
        ("x" * 70_000, "line 1: the name is too long"),
        ("\n", "names no file"),
    ],
)
def test_a_list_that_leads_elsewhere_copies_nothing(tmp_path, text, said):
    (tmp_path / "names").write_text(text)
    with pytest.raises(UserError) as caught:
        transfer_listed(here(tmp_path), there(tmp_path / "t"), str(tmp_path / "names"))
    assert said in str(caught.value)


def listed(folder, contents):
    """The files are in the folder; return a list of their names."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    names = folder.parent / "names"
    names.write_bytes(b"".join(os.fsencode(name) + b"\n" for name in contents))
    return str(names)


def found(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def ends(way, tmp_path):
    """The folders `s` and `t`, of which one is on the host."""
    source, target = tmp_path / "s", tmp_path / "t"
    return (here(source), there(target)) if way == "to" else (there(source), here(target))


@pytest.mark.parametrize("way", ["to", "from"])
def test_many_files_take_a_handful_of_calls(ssh, tmp_path, monkeypatch, way):
    counted = tmp_path / "counted"
    counted.write_text(f'#!/bin/sh\necho >> {tmp_path}/calls\nexec ssh "$@"\n')
    counted.chmod(0o755)
    monkeypatch.setenv("RSYNC_RSH", f"{counted} -F {ssh}/config")
    files = {f"{n % 7}/{n}": os.urandom(50) for n in range(300)}
    names = listed(tmp_path / "s", files)
    done = transfer_listed(*ends(way, tmp_path), names)
    assert (done.files, done.new, done.size_bytes) == (300, 300, 15_000)
    assert (done.host, done.path) == (
        "site" if way == "to" else os.uname().nodename, str(tmp_path / "t")
    )  # fmt: skip
    assert found(tmp_path / "t") == files
    assert (tmp_path / "calls").read_text().count("\n") <= 4
    assert len(os.listdir(tmp_path / "t")) == 7, "nothing else is left"
    again = transfer_listed(*ends(way, tmp_path), names)
    assert (again.files, again.new) == (300, 0)
    assert (tmp_path / "calls").read_text().count("\n") <= 6


@pytest.mark.parametrize("way", ["to", "from"])
def test_a_file_that_cannot_be_copied_stops_no_other(ssh, tmp_path, way):
    files = {
        name: name.encode() for name in ("a", "differs", "folder", "none", "link", "same", "z")
    }
    names = listed(tmp_path / "s", files)
    (tmp_path / "s" / "none").unlink()
    (tmp_path / "t" / "folder").mkdir(parents=True)
    (tmp_path / "t" / "differs").write_bytes(b"other")
    (tmp_path / "t" / "same").write_bytes(b"same")
    (tmp_path / "t" / "link").symlink_to("nowhere")
    with pytest.raises(
        NotFound, match="/none`; 3 more could not be copied; 3 of 7 files are there"
    ):
        transfer_listed(*ends(way, tmp_path), names)
    assert found(tmp_path / "t") == {"a": b"a", "differs": b"other", "same": b"same", "z": b"z"}
    assert sorted(os.listdir(tmp_path / "t")) == ["a", "differs", "folder", "link", "same", "z"]
    assert (tmp_path / "t" / "link").is_symlink()


@pytest.mark.parametrize("way", ["to", "from"])
def test_any_name_can_be_one_of_many(ssh, tmp_path, way):
    names = [name.replace("\n", "\r") for name in NAMES] + [
        "#x",
        ";x",
        "5",
        "$(touch y)",
        "~",
        "d/-n",
    ]
    files = {name: os.fsencode(name) for name in names}
    source, target = tmp_path / "s\n'$(x)", tmp_path / "t\n'$(x)"
    places = (here(source), there(target)) if way == "to" else (there(source), here(target))
    done = transfer_listed(*places, listed(source, files))
    assert (done.files, done.path) == (len(files), str(target))
    assert found(target) == files
    assert len(os.listdir(target)) == len(files)


@pytest.mark.parametrize("way", ["to", "from"])
def test_many_that_were_cut_off_go_on_and_never_with_other_content(ssh, tmp_path, way):
    files = {f"{n % 2}/{n}": os.urandom(100_000) for n in range(6)}
    source, target = tmp_path / "s", tmp_path / "t"
    names = listed(source, files)
    words = (source, f"site:{target}") if way == "to" else (f"site:{source}", target)
    stoker(
        *words, "--files-from", names, code=-9,
        STOKER_FAILPOINTS="transfer.sent=kill",
    )  # fmt: skip
    (parts,) = target.glob(".stoker-*.parts")
    assert found(parts) == files
    assert len(found(target)) == len(files), "none has its name yet"
    os.truncate(parts / "0/0", 1000)
    (parts / "0/2").unlink()
    os.truncate(parts / "0/4", 0)
    (parts / "1/1").write_bytes(os.urandom(100_000))  # as long, and not the same
    (parts / "1/3").write_bytes(os.urandom(50))  # shorter, and not how it begins
    (target / "1").mkdir(exist_ok=True)
    os.link(parts / "1/5", target / "1/5")  # placed, and the other name not deleted yet
    inode = (parts / "0/0").stat().st_ino
    done = transfer_listed(*ends(way, tmp_path), names)
    assert (done.files, done.new) == (6, 5)
    assert found(target) == files
    assert (target / "0/0").stat().st_ino == inode, "it went on with what was there"
    assert sorted(os.listdir(target)) == ["0", "1"]


@pytest.mark.parametrize("lacks", ["ln", "xargs", "sync"])
def test_many_files_where_the_host_lacks_something(tmp_path, monkeypatch, lacks):
    """No hard links, an `xargs` that knows no NUL, and no `sync` of one file system."""
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / lacks
    broken.write_text("#!/bin/sh\necho not here >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    files = {"a": b"a", "d/-b": b"b", "d/c": b""}
    names = listed(tmp_path / "s", files)
    (tmp_path / "t" / "d").mkdir(parents=True)
    (tmp_path / "t" / "d" / "c").write_bytes(b"other")
    mounted = Place(None, str(tmp_path / "t"), "lyon")
    with pytest.raises(Conflict, match="c` is there with other content; it stays; 2 of 3"):
        transfer_listed(here(tmp_path / "s"), mounted, names)
    assert found(tmp_path / "t") == files | {"d/c": b"other"}
    assert sorted(os.listdir(tmp_path / "t")) == ["a", "d"]


@pytest.mark.parametrize("leave", ["send", "fetch"])
def test_a_host_whose_path_makes_no_sense(tmp_path, monkeypatch, leave):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "od").write_text("#!/bin/sh\necho zz\n")
    (tmp_path / "bin" / "od").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    names = listed(tmp_path / "s", {"a": b"a", "b": b"b"})
    (tmp_path / "t").mkdir()
    places = here(tmp_path / "s"), Place(None, str(tmp_path / "t"), "lyon")
    with pytest.raises(Unavailable, match="makes no sense"):
        transfer_listed(*(places if leave == "send" else places[::-1]), names)


@pytest.mark.parametrize("word", ["9" * 5_000, "-1", "1e9", "\u0663", "", "one"])
def test_a_number_of_a_host_that_makes_no_sense(word):
    assert number(word) == 0


def test_a_target_that_is_no_folder_is_tried_a_few_times_only(tmp_path):
    files = {str(number): b"x" for number in range(60)}
    names = listed(tmp_path / "s", files)
    (tmp_path / "t").write_bytes(b"a file")
    with pytest.raises(Refused, match="19 more could not be copied; 0 of 60 files are there"):
        transfer_listed(here(tmp_path / "s"), Place(None, str(tmp_path / "t"), "lyon"), names)
    assert (tmp_path / "t").read_bytes() == b"a file"


def test_a_list_is_looked_at_without_writing(ssh, tmp_path):
    names = listed(tmp_path / "s", {"a": b"a", "d/b": b"b"})
    places = here(tmp_path / "s"), there(tmp_path / "t")
    assert transfer_listed(*places, names, dry_run=True).new == 2
    assert not (tmp_path / "t").exists()
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_bytes(b"a")
    assert transfer_listed(*places, names, dry_run=True).new == 1
    assert os.listdir(tmp_path / "t") == ["a"]


@pytest.mark.parametrize("way", ["mounted", "ssh"])
def test_a_site_by_its_name(ssh, tmp_path, way):
    """Relative paths there are in its folder, wherever the command runs; a mounted one needs no ssh."""
    far, lab, source = tmp_path / "far", tmp_path / "lab", tmp_path / "a b"
    lab.mkdir()
    source.write_bytes(b"data")
    host = 'ssh = "site"' if way == "ssh" else ""
    (lab / "stoker.toml").write_text(f'[sites.lyon]\nfolder = "{far}"\n{host}\n')
    env = {"STOKER_PROJECT": str(lab), "STOKER_VALUES": str(tmp_path / "values")}
    if way == "mounted":
        env["RSYNC_RSH"] = "false"
    sent = json.loads(stoker(source, "lyon:raw/", "--json", **env).stdout)
    assert (sent["host"], sent["path"]) == ("lyon", str(far / "raw" / "a b"))
    assert json.loads((tmp_path / "values").read_text())["path"] == str(far / "raw" / "a b")
    assert (far / "raw" / "a b").read_bytes() == b"data"
    assert "already" in stoker(source, f"lyon:{far}/raw/", **env).stdout
    stoker("lyon:raw/a b", tmp_path / "back", **env)
    assert (tmp_path / "back").read_bytes() == b"data"
    stoker("lyon:raw/none", tmp_path / "back2", code=3, **env)
    source.write_bytes(b"other")
    assert "`lyon:" in stoker(source, "lyon:raw/", code=4, **env).stderr
    assert os.listdir(far / "raw") == ["a b"]
    (lab / "stoker.toml").write_text('[sites.lyon]\nfolder = "x"\n')
    stoker(source, "lyon:raw/", code=2, **env)


@pytest.mark.parametrize(
    "tools", [["openssl"], ["sha256sum"], ["openssl", "sha256sum"], ["odd"], []]
)
def test_a_checksum_with_what_a_host_has(tmp_path, tools):
    file = tmp_path / "f"
    file.write_bytes(os.urandom(1000))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in tools:
        if name == "odd":  # one that knows no such checksum
            (programs / "openssl").write_text("#!/bin/sh\necho unknown option >&2; exit 1\n")
            (programs / "openssl").chmod(0o755)
        (programs / name.replace("odd", "sha256sum")).symlink_to(
            shutil.which(name.replace("odd", "sha256sum"))
        )
    script = f'say() {{ echo "$*"; }}\n{_SUM}\ndigest "$0"'
    done = subprocess.run(
        ["/bin/sh", "-uc", script, file], env={"PATH": str(programs)}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    expected = (
        f"sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}" if tools else "lacks sha256sum"
    )
    assert done.stdout.strip() == expected
