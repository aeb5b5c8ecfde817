"""Encrypted connections where the URL asks for them, to the right server only."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import servers
from stoker.errors import StokerError
from stoker.store.database.connect import open_store

ON = {
    "postgresql": (
        "-c", "ssl=on", "-c", "ssl_cert_file={0}/server.pem", "-c", "ssl_key_file={0}/server.key",
    ),
    "mariadb": ("--ssl-cert={0}/server.pem", "--ssl-key={0}/server.key", "--ssl-ca={0}/ca.pem"),
}  # fmt: skip
VERIFY = {
    "postgresql": "?sslmode=verify-full&sslrootcert={}",
    "mariadb": "?ssl_ca={}&ssl_verify_cert=true&ssl_verify_identity=true",
}
IS_ON = {
    "postgresql": "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mariadb": "SELECT variable_value <> '' FROM information_schema.session_status "
    "WHERE variable_name = 'Ssl_cipher'",
}


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


def authority(folder, name):
    """A certificate that vouches for others, made here."""
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
        "-keyout", f"{name}.key", "-out", f"{name}.pem", cwd=folder,
    )  # fmt: skip


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in servers.KINDS],
)
def server(request):
    """A server with a certificate for 127.0.0.1, and the folder with all certificates."""
    kind = servers.require(request.param)
    folder = Path(tempfile.mkdtemp(prefix="stoker-tls-"))
    folder.chmod(0o755)
    authority(folder, "ca")
    authority(folder, "other")
    (folder / "names").write_text("subjectAltName = IP:127.0.0.1\n")
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=store", "-keyout", "server.key",
        "-out", "server.req", cwd=folder,
    )  # fmt: skip
    openssl(
        "x509", "-req", "-in", "server.req", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2",
        "-CAcreateserial", "-extfile", "names", "-out", "server.pem", cwd=folder,
    )  # fmt: skip
    if os.geteuid() == 0:
        shutil.chown(folder / "server.key", kind.account)
    (folder / "server.key").chmod(0o600)
    own = kind(more=[part.format(folder) for part in ON[kind.kind]])
    yield own, folder
    own.close()
    shutil.rmtree(folder)


def test_the_connection_is_encrypted_where_the_url_asks_for_it(server):
    own, folder = server
    url = own.new_database("tls") + VERIFY[own.kind].format(folder / "ca.pem")
    store = open_store(url)
    with store.reading() as unit:
        assert unit.connection.exec_driver_sql(IS_ON[own.kind]).scalar()
    store.close()


def test_encryption_alone_asks_nobody_about_the_certificate(server):
    own, _ = server
    query = {"postgresql": "?sslmode=require", "mariadb": "?ssl=true"}[own.kind]
    store = open_store(own.new_database("tls") + query)
    with store.reading() as unit:
        assert unit.connection.exec_driver_sql(IS_ON[own.kind]).scalar()
    store.close()


def test_a_server_that_another_authority_vouches_for_is_refused(server):
    own, folder = server
    url = own.new_database("tls") + VERIFY[own.kind].format(folder / "other.pem")
    with pytest.raises(StokerError, match=r"(?i)certificate") as told:
        open_store(url)
    assert told.value.exit_code == 6


def test_a_server_without_encryption_is_refused_where_it_is_asked_for(server):
    own, folder = server
    plain = servers.server(own.kind)
    url = plain.new_database("plain") + VERIFY[own.kind].format(folder / "ca.pem")
    with pytest.raises(StokerError, match=r"SSL|TLS") as told:
        open_store(url)
    assert told.value.exit_code == 6
