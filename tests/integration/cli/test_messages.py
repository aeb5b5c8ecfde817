"""Messages: to a real SMTP server, a command and a webhook; digests, recipients, failures, secrets."""

import email
import email.policy
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import stoker
from stoker.project.services.notifying import send_due
from stoker.store.reports import messages

TOML = """
NOTIFY
[pipelines.p]
items = "records"
[pipelines.p.params]
mail = {}
[pipelines.p.steps.s]
run = "case {key} in bad*) echo no license >&2; exit 1;; esac"
[pipelines.p.steps.t]
run = "true"
after = ["s"]
"""


class Mailbox(socketserver.ThreadingTCPServer):
    """As much of an SMTP server as a client needs; `answers` replaces what it says to a command."""

    allow_reuse_address = daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Talk)
        self.letters, self.answers, self.said = [], {}, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def texts(self):
        return [one.get_content().replace("\r\n", "\n") for one in self.letters]


class _Talk(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say("220 here")
        for raw in self.rfile:
            line = raw.decode().rstrip()
            word = line.split(" ")[0].upper()
            self.server.said.append(line)
            if word in self.server.answers:
                self.say(self.server.answers[word])
            elif word == "EHLO":
                self.say("250 here")
            elif word == "DATA":
                self.say("354 go on")
                lines = []
                while (one := self.rfile.readline()) != b".\r\n":
                    lines.append(one)
                self.server.letters.append(
                    email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                )
                self.say("250 taken")
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 fine")


@pytest.fixture
def mailbox():
    with Mailbox() as server:
        yield server
        server.shutdown()


@pytest.fixture
def notified(lab, mailbox):
    """Write the file with these lines for messages; every message comes at once."""

    def write(text, **extra):
        head = f'[mail]\nserver = "127.0.0.1:{mailbox.port}"\nsender = "stoker@lab.org"\n'
        lab.write("stoker.toml", TOML.replace("NOTIFY", head + text))
        lab("apply")
        send(lab)
        return lab

    return write


def send(lab, settle_s=0.0):
    with stoker.open(lab.folder) as project:
        send_due(project.store, project.settings, settle_s=settle_s)


LAB = '[notify.lab]\nto = "lab"\n[addresses]\nlab = "lab@example.org"\n'


def test_a_digest_with_all_that_happened(notified, mailbox):
    lab = notified(LAB)
    lab("run", "p", "a", "b", "bad1", "bad2", code=1)
    (letter,) = mailbox.letters
    assert letter["Subject"] == "[lab] 2 done, 2 failed"
    assert (letter["To"], letter["From"]) == ("lab@example.org", "stoker@lab.org")
    assert mailbox.texts()[0] == (
        "p: 2 done, 2 failed; nothing left to do\n  2 x no license\n"
        "  `stoker failures --pipeline p` says more\n"
    )
    of = lab("status", "--json").json["notify"]["lab"]
    assert (of["pending"], of["trouble"]) == (0, None)
    assert of["sent_at"] is not None
    lab("run", "p", "c", code=1)
    assert len(mailbox.letters) == 1, "at most one in `every`"
    assert lab("status", "--json").json["notify"]["lab"]["pending"] == 1


def test_the_first_run_of_a_project_is_written_about(lab, mailbox):
    head = f'[mail]\nserver = "127.0.0.1:{mailbox.port}"\nsender = "stoker@lab.org"\n'
    lab.write("stoker.toml", TOML.replace("NOTIFY", head + LAB))
    lab("run", "p", "a", "bad1", code=1)
    (letter,) = mailbox.letters
    assert letter["Subject"] == "[lab] 1 done, 1 failed"


def test_on_between_and_pipelines(notified, mailbox):
    hour = time.localtime().tm_hour
    later = f"{(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00"
    lab = notified(
        '[notify.a]\nto = "a@b.c"\non = ["trouble"]\n'
        f'[notify.b]\nto = "b@b.c"\nbetween = "{later}"\n'
        '[notify.c]\nto = "c@b.c"\non = ["failed"]\nevery = "1s"\n'
    )
    lab("run", "p", "a")
    assert mailbox.letters == []
    lab("run", "p", "bad", code=1)
    assert [letter["To"] for letter in mailbox.letters] == ["c@b.c"]


def test_each_person_gets_their_own(notified, mailbox):
    lab = notified(
        '[notify.person]\nto = "{by}"\n[notify.form]\nto = "{params.mail}"\n'
        '[addresses]\nanna = "anna@example.org"\n'
    )
    with stoker.open(lab.folder) as project:
        project.acting_as("anna").push("p", ["a1", "a2"], params={"mail": "guest@example.org"})
        project.acting_as("ben@example.org").push("p", ["b1"], params={"mail": "x@y, z@y"})
        project.acting_as("nobody").push("p", ["c1"])
    lab("run")
    found = sorted((letter["To"], letter["Subject"]) for letter in mailbox.letters)
    assert found == [
        ("anna@example.org", "[lab] 2 done"),
        ("ben@example.org", "[lab] 1 done"),
        ("guest@example.org", "[lab] 2 done"),
    ]
    trouble = lab("status", "--json").json["notify"]
    assert "`nobody` is not a mail address; add it to `[addresses]`" in trouble["person"]["trouble"]
    assert "is not a mail address" in trouble["form"]["trouble"]


def test_what_cannot_be_delivered_is_kept_and_tried_again(notified, mailbox):
    lab = notified(LAB)
    mailbox.answers["RCPT"] = "550 no such person"
    lab("run", "p", "a")
    of = lab("status", "--json").json["notify"]["lab"]
    assert (of["sent_at"], of["pending"]) == (None, 1)
    assert "refused `lab@example.org`" in of["trouble"]
    assert "no message to" in lab("status").out or "lab:" in lab("status").out
    mailbox.answers.clear()
    send(lab)
    assert mailbox.letters == [], "not at once"
    with stoker.open(lab.folder) as project:
        from sqlalchemy import update

        from stoker.store import tables

        with project.store.writing() as unit:
            unit.execute(update(tables.message).values(not_before_us=0))
    send(lab)
    assert [letter["Subject"] for letter in mailbox.letters] == ["[lab] 1 done"]
    assert lab("status", "--json").json["notify"]["lab"]["trouble"] is None


def test_a_command_gets_the_message(notified):
    lab = notified('[notify.pager]\ncommand = ["./page.sh", "x y"]\n')
    page = lab.write("page.sh", '#!/bin/sh\n{ echo "$1|$STOKER_SUBJECT|$SECRET|"; cat; } > paged\n')
    page.chmod(0o755)
    lab("run", "p", "bad", code=1, SECRET="s")
    lines = (lab.folder / "paged").read_text().splitlines()
    assert lines[0] == "x y|[lab] 1 failed|s|"
    assert lines[1] == "[lab] 1 failed"
    assert "p: 1 failed; nothing left to do" in lines
    lab.write("page.sh", "#!/bin/sh\necho broken >&2; exit 3\n").chmod(0o755)
    assert "ended with 3: broken" in lab("notify", "try", "pager", code=5).err


def test_an_apprise_url_with_a_secret_that_nobody_reads(notified):
    found = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["Content-Length"])
            found.append((self.path, json.loads(self.rfile.read(size))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        lab = notified(f'[notify.chat]\nto = "json://127.0.0.1:{port}/${{HOOK}}"\n')
        ended = lab("notify", "try", "chat", code=5)
        assert "names `${HOOK}`, which is not in the environment" in ended.err
        lab("notify", "try", "chat", HOOK="s3cret")
        server.shutdown()
    assert found[0][0] == "/s3cret"
    assert found[0][1]["title"] == "[lab] a test message"
    ended = lab("notify", "try", "chat", code=5, HOOK="s3cret")
    assert "s3cret" not in ended.err + ended.out
    assert "s3cret" not in lab("notify", "list").out


def test_try_says_whether_it_arrived(notified, mailbox):
    lab = notified(LAB + '[notify.form]\nto = "{params.mail}"\n')
    assert "has taken the message" in lab("notify", "try", "lab").out
    assert mailbox.letters[0]["Subject"] == "[lab] a test message"
    assert "did you mean `lab`" in lab("notify", "try", "lap", code=3).err
    lab("notify", "try", "form", code=2)
    lab("notify", "try", "form", "--to", "x@y.z")
    ended = lab("notify", "try", "form", "--to", "x@y.z\nBcc: z@z.z", code=5)
    assert "is not a mail address" in ended.err
    mailbox.answers["MAIL"] = "451 busy"
    assert "451 busy" in lab("notify", "try", "lab", code=5).err
    lab("notify", "try", "lab", "--dry-run")
    assert [row["name"] for row in lab("notify", "list", "--json").rows] == ["lab", "form"]


def test_a_password_goes_to_nobody_in_the_clear(notified, mailbox, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("hidden-word\n")
    secret.chmod(0o600)
    lab = notified(LAB)
    text = (lab.folder / "stoker.toml").read_text()
    name = socket.gethostname()
    lab.write(
        "stoker.toml",
        text.replace("127.0.0.1", name).replace(
            'sender = "stoker@lab.org"', f'user = "u"\npassword_file = "{secret}"'
        ),
    )
    ended = lab("notify", "try", "lab", code=5)
    assert "hidden-word" not in ended.err
    assert not any("AUTH" in line for line in mailbox.said)


def test_trouble_is_reported_once(notified, mailbox):
    lab = notified('[notify.lab]\nto = "lab@example.org"\non = ["trouble"]\nevery = "1s"\n')
    with stoker.open(lab.folder) as project:
        messages.hold(project.store, "me")
        messages.note_state(
            project.store, project.settings.messages.notify, {"the disk is full": None}
        )
        messages.note_state(
            project.store, project.settings.messages.notify, {"the disk is full": None}
        )
        messages.let_go(project.store, "me")
    send(lab)
    assert mailbox.texts() == ["In trouble:\n  the disk is full\n\n"]


def test_one_service_at_a_time_and_a_hundred_thousand_are_one(notified, mailbox):
    lab = notified(LAB)
    with stoker.open(lab.folder) as project:
        assert messages.hold(project.store, "one")
        assert not messages.hold(project.store, "two")
        assert messages.hold(project.store, "one")
    lab("run", "p", *(f"bad{n}" for n in range(60)), code=1)
    assert mailbox.letters == []
    with stoker.open(lab.folder) as project:
        messages.let_go(project.store, "one")
    send(lab)
    assert [letter["Subject"] for letter in mailbox.letters] == ["[lab] 60 failed"]


def test_killed_after_delivery_it_comes_again_and_nothing_is_lost(notified, mailbox):
    lab = notified(LAB)
    code = (
        "import sys, stoker; from stoker.project.services.notifying import send_due\n"
        "with stoker.open(sys.argv[1]) as p: send_due(p.store, p.settings, settle_s=0.0)"
    )
    with stoker.open(lab.folder) as project:
        assert messages.hold(project.store, "somebody")
    lab("run", "p", "a", "bad", code=1)
    with stoker.open(lab.folder) as project:
        messages.let_go(project.store, "somebody")
    env = {**os.environ, "STOKER_FAILPOINTS": "message.delivered=kill"}
    ended = subprocess.run([sys.executable, "-c", code, str(lab.folder)], env=env, check=False)
    assert ended.returncode == -9
    with stoker.open(lab.folder) as project:
        from sqlalchemy import update

        from stoker.store import tables

        with project.store.writing() as unit:
            unit.execute(update(tables.notifier).values(held_until_us=0))
    send(lab)
    assert [letter["Subject"] for letter in mailbox.letters] == ["[lab] 1 done, 1 failed"] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[notify.a]", "has nobody to write to"),
        ('[notify.a]\nto = "a@b.c"\ncommand = ["x"]', "has both `to` and `command`"),
        ('[notify.a]\nto = "anna"', "`[addresses]` has no `anna`"),
        ('[notify.a]\nto = "{key}"', "names nobody"),
        ('[notify.a]\nto = ["{by}", "a@b.c"]', "stands alone"),
        ('[notify.a]\nto = "{params.x}"', "has no parameter `x`"),
        ('[notify.a]\nto = "a@b.c"\npipelines = ["q"]', "there is no pipeline `q`"),
        ('[notify.a]\nto = "a@b.c"\non = ["dnoe"]', "dnoe"),
        ('[notify.a]\nto = "a@b.c"\nbetween = "7-8"', "between"),
        ('[notify.a]\nto = "a@b.c"\nbetween = "07:00-07:00"', "begins when it ends"),
        ('[notify.a]\nto = "mailtos://u:pass@host"', "a password is in the file"),
        ('[notify.a]\nto = "a@b@c"', "is not a mail address"),
        ('[addresses]\nanna = "none"', "anna"),
        ('[mail]\nserver = "x:y"', "is not a server"),
    ],
)
def test_what_cannot_be(lab, text, words):
    lab.write("stoker.toml", TOML.replace("NOTIFY", text))
    ended = lab("check", code=2)
    assert words in ended.out + ended.err
