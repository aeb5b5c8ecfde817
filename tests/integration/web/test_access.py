"""Who gets in: roles, tokens, sessions, proxies, forms; and everybody who tries otherwise."""

import asyncio
import socket

import pytest
from starlette.exceptions import HTTPException

from integration.web.inside import PASSWORD, form_token, inside, sign_in
from stoker.model.access import Role
from stoker.web.access.patience import InTime
from stoker.web.access.throttle import WINDOW_S, WRONG, Throttle
from stoker.web.api.app import DOCUMENTS, PREFIX, operations
from stoker.web.app import resources
from stoker.web.needs import Need

JSON = {"content-type": "application/json"}
VALUES = {
    "file": "x",
    "process": "open",
    "job": "0" * 32,
    "output": "x",
    "pipeline": "open",
    "stream": "stdout",
    "upload": "0" * 32,
    "input": "item",
    "number": "1",
    "name": "stoker.css",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with inside(tmp_path_factory.mktemp("lab")) as found:
        found.tokens = {role: found.token(role.word) for role in Role}
        found.user("anna", "operator")
        found.user("ben", "viewer")
        yield found


def routes():
    for resource in resources():
        for method, operation in resource.methods.items():
            yield pytest.param(
                resource.path, method, operation.need, id=f"{method} {resource.path}"
            )
    for one in operations():
        yield pytest.param(
            PREFIX + one.path, one.method, one.need, id=f"{one.method} {PREFIX}{one.path}"
        )


def ask(client, method, path):
    if path == "/stream":
        path += "?seconds=0"  # one that ends
    return client.request(method, path.format(**VALUES), headers=JSON if method != "GET" else {})


@pytest.mark.parametrize(("path", "method", "need"), list(routes()))
def test_each_route_is_closed_to_whoever_lacks_the_role_that_it_names(lab, path, method, need):
    assert isinstance(need, Need)
    for role in (None, *Role):
        client = lab.client(token=lab.tokens.get(role))
        status = ask(client, method, path).status_code
        if need.role is None or (role is not None and role >= need.role):
            assert status not in (401, 403) or need is Need.OWN, (role, status)
        else:
            assert status == (401 if role is None else 403), role


def test_every_route_is_in_the_table(lab):
    """Whatever answers is a resource, which names what it needs."""
    paths = {resource.path for resource in resources()}
    assert {route.path for route in lab.app.routes} == paths | {PREFIX}
    (api,) = (route.app for route in lab.app.routes if route.path == PREFIX)
    known = {one.path for one in operations()} | set(DOCUMENTS)
    assert set(api.openapi()["paths"]) | set(DOCUMENTS) == known


@pytest.mark.parametrize("path", ["/processes/closed", "/nothing", "/jobs/" + "1" * 32])
def test_what_a_stranger_may_not_see_is_404(lab, path):
    assert lab.client().get(path).status_code == 404


def test_strangers_see_public_pipelines_only(lab):
    ids = [one["id"] for one in lab.client().get("/processes").json()["processes"]]
    assert ids == ["open"]
    seen = lab.client(token=lab.tokens[Role.VIEWER]).get("/processes").json()["processes"]
    assert len(seen) == 2


def submit(client, process="open", **inputs):
    return client.post(f"/processes/{process}/execution", json={"inputs": inputs})


def test_somebody_else_s_job_is_404_and_stays(lab):
    anna, stranger = lab.signed_in("anna", sec_fetch_site="same-origin"), lab.client()
    own = submit(anna)
    job = own.headers["location"].removeprefix("http://127.0.0.1:8420")
    assert own.status_code == 201
    assert anna.get(job).status_code == 200
    for method in ("GET", "DELETE", "HEAD"):
        assert stranger.request(method, job).status_code == 404
    viewer = lab.client(token=lab.tokens[Role.VIEWER])
    assert viewer.get(job).status_code == 200
    assert viewer.delete(job).status_code == 403
    other = lab.client(token=lab.tokens[Role.SUBMITTER])
    assert other.delete(job).status_code == 403
    assert anna.get(job).json()["status"] == "accepted"
    assert lab.client(token=lab.tokens[Role.OPERATOR]).delete(job).status_code == 200


def test_who_may_submit_what(lab):
    assert submit(lab.client()).status_code == 201
    assert submit(lab.client(), "closed").status_code == 404
    assert submit(lab.client(token=lab.tokens[Role.VIEWER]), "closed").status_code == 403
    assert submit(lab.client(token=lab.tokens[Role.SUBMITTER]), "closed").status_code == 201
    assert "a-submitter" in {row.by for row in lab.project.items(pipeline="closed")}


# ----------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    "secret",
    [
        "stk_" + "A" * 43,
        "stk_",
        "",
        "' OR '1'='1",
        "%",
        "x" * 60_000,
        "stk_\u00e9",
        "null",
    ],
)
def test_a_token_that_is_not_good_is_401_everywhere(lab, secret):
    headers = {"authorization": f"Bearer {secret}".encode("latin-1")}
    for path in ("/processes", "/healthz", "/jobs"):
        answer = lab.client().get(path, headers=headers)
        assert answer.status_code == 401
        assert "invalid_token" in answer.headers["www-authenticate"]
        assert secret[:20] not in answer.text or not secret


def test_schemes_of_other_doors_are_ignored(lab):
    """A proxy's own password comes through in the same header."""
    for value in ("Basic YTpi", "Bearer", "Digest x", "stk_x"):
        answer = lab.client().get("/processes", headers={"authorization": value})
        assert answer.status_code == (401 if value == "Bearer" else 200)


def test_a_revoked_token_is_worthless_at_once(tmp_path):
    with inside(tmp_path) as lab:
        secret = lab.token("viewer", "robot")
        client = lab.client(token=secret)
        assert client.get("/jobs").status_code == 200
        assert client.get("/jobs", headers={"authorization": f"bearer  {secret}"}).is_success
        lab.project.access.revoke_token("robot")
        assert client.get("/jobs").status_code == 401


# ---------------------------------------------------------------------------------------- signing in


def test_a_password_signs_in_and_out(lab):
    browser = lab.client()
    assert browser.get("/jobs").status_code == 401
    answer = sign_in(browser, "ben", PASSWORD, next="/jobs")
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
    cookie = answer.headers.get_list("set-cookie")[0]
    assert cookie.startswith("stoker-8420=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert browser.get("/jobs").status_code == 200
    kept = dict(browser.cookies)
    assert browser.post("/sign-out", data={"form_token": "wrong"}).status_code == 403
    token = form_token(browser)
    assert browser.post("/sign-out", data={"form_token": token}).status_code == 303
    assert browser.get("/jobs").status_code == 401
    thief = lab.client()
    thief.cookies.update(kept)
    assert thief.get("/jobs").status_code == 401


def test_a_wrong_password_says_nothing_of_the_user(lab):
    pages = set()
    for name, password in (("ben", "wrong"), ("nobody", "wrong"), ("nobody", PASSWORD)):
        answer = sign_in(lab.client(f"10.1.0.{len(pages)}"), name, password)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        pages.add(answer.text.split("<form")[0])
    assert len(pages) == 1


def test_guessing_passwords_has_to_wait(tmp_path):
    with inside(tmp_path) as lab:
        lab.user("carl")
        attacker = lab.client("10.9.9.9")
        found = [sign_in(attacker, "carl", f"guess {n}").status_code for n in range(WRONG + 1)]
        assert found == [403] * WRONG + [429]
        answer = sign_in(attacker, "carl", PASSWORD)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= WINDOW_S
        assert sign_in(lab.client("10.9.9.8"), "carl", PASSWORD).status_code == 429


def test_the_brake_lets_go_and_forgets():
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(WRONG):
        assert throttle.wait_s("a", "b") == 0
        throttle.note_wrong("a")
    assert throttle.wait_s("a", "b") == WINDOW_S
    assert throttle.wait_s("b") == 0
    now[0] += WINDOW_S + 1
    assert throttle.wait_s("a") == 0
    throttle.note_wrong("a")
    throttle.note_right("a")
    for n in range(20_000):
        throttle.note_wrong(str(n))
    assert len(throttle._wrong) == 10_000


def test_a_link_signs_in_once(lab):
    secret = lab.project.access.create_link("ben")
    browser = lab.client()
    path = f"/sign-in?link={secret}"
    assert "Sign in as ben" in browser.get(path).text
    assert browser.get("/jobs").status_code == 401  # a look does nothing: programs scan mail
    fields = {"form_token": form_token(browser, path), "link": secret}
    assert browser.post("/sign-in", data={"link": secret}).status_code == 403
    assert browser.post("/sign-in", data=fields).status_code == 303
    assert browser.get("/jobs").status_code == 200
    again = lab.client()
    assert again.get(path).status_code == 404
    fields["form_token"] = form_token(again)
    assert again.post("/sign-in", data=fields).status_code == 403


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/../../x",
        "/x\r\nset-cookie: a=b",
        "evil",
    ],
)
def test_signing_in_leads_nowhere_else(lab, elsewhere):
    answer = sign_in(lab.client(), "ben", PASSWORD, next=elsewhere)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_names_are_never_markup(lab):
    answer = sign_in(lab.client(), '"><script>alert(1)</script>', "x")
    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("text/plain", b"name=ben", 415),
        ("application/x-www-form-urlencoded", b"x" * 2_000_000, 413),
        ("application/x-www-form-urlencoded", b"a=%ff", 400),
        ("application/x-www-form-urlencoded", b"\xff", 400),
        ("application/x-www-form-urlencoded", b"name=a&name=b", 400),
        ("application/x-www-form-urlencoded", b"", 403),
        ("application/x-www-form-urlencoded", b"&" * 100_000, 400),
    ],
)
def test_forms_that_are_none(lab, kind, body, status):
    answer = lab.client().post("/sign-in", content=body, headers={"content-type": kind})
    assert answer.status_code == status


# ------------------------------------------------------------------------- pages of other web sites


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://127.0.0.1:8420.evil.example"},
    {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8420"},
    {},
]
OWN = [
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
    {"origin": "http://127.0.0.1:8420"},
    {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8420"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_s_page_changes_nothing_in_a_user_s_name(lab, headers):
    anna = lab.signed_in("anna")
    before = len(lab.project.items())
    path = "/processes/closed/execution"
    assert anna.post(path, json={"inputs": {}}, headers=headers).status_code == 403
    assert len(lab.project.items()) == before


@pytest.mark.parametrize("headers", OWN)
def test_our_own_page_may(lab, headers):
    anna = lab.signed_in("anna")
    path = "/processes/closed/execution"
    assert anna.post(path, json={"inputs": {}}, headers=headers).status_code == 201


def test_a_script_of_ours_may_show_the_form_s_token(lab):
    anna = lab.signed_in("anna")
    path, headers = "/processes/closed/execution", {"x-form-token": form_token(anna)}
    assert anna.post(path, json={"inputs": {}}, headers=headers).status_code == 201
    ben = lab.signed_in("ben")
    headers = {"x-form-token": form_token(ben)}
    assert anna.post(path, json={"inputs": {}}, headers=headers).status_code == 403


def test_programs_with_a_token_are_not_held_up(lab):
    client = lab.client(token=lab.tokens[Role.SUBMITTER], origin="https://elsewhere.example")
    assert submit(client, "closed").status_code == 201


def test_a_cookie_of_another_browser_s_form_does_not_sign_in(lab):
    """Else a page could sign its victim in as somebody else."""
    token = form_token(lab.client())
    victim = lab.client()
    form_token(victim)
    fields = {"form_token": token, "name": "ben", "password": PASSWORD}
    assert victim.post("/sign-in", data=fields).status_code == 403


# ----------------------------------------------------------------------------- proxies and addresses


PROXY = '[web]\nuser_header = "X-Remote-User"\ntrusted_proxies = ["10.0.0.0/8", "fd00::/8"]\n'


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    with inside(tmp_path_factory.mktemp("behind"), PROXY) as found:
        found.user("anna", "operator")
        yield found


def test_a_trusted_proxy_gives_the_name_of_a_user(behind):
    headers = {"x-remote-user": "anna", "sec-fetch-site": "same-origin"}
    proxied = behind.client("10.1.2.3", **headers)
    assert proxied.get("/jobs").status_code == 200
    assert submit(proxied, "closed").status_code == 201
    assert behind.project.items(pipeline="closed")[0].by == "anna"
    for unknown in ("eve", ""):
        assert behind.client("10.1.2.3", x_remote_user=unknown).get("/jobs").status_code in (
            401,
            403,
        )


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "11.0.0.1", "testclient", "", "::1", "::ffff:11.0.0.1"]
)
def test_nobody_else_is_believed(behind, host):
    client = behind.client(host, x_remote_user="anna", x_forwarded_for="10.0.0.1")
    assert client.get("/jobs").status_code == 401


def test_a_mapped_address_of_a_proxy_is_the_proxy(behind):
    assert behind.client("::ffff:10.0.0.1", x_remote_user="anna").get("/jobs").status_code == 200
    assert behind.client("fd00::1", x_remote_user="anna").get("/jobs").status_code == 200


def test_two_names_are_none(behind):
    headers = [("x-remote-user", "anna"), ("x-remote-user", "eve")]
    client = behind.client("10.1.2.3")
    assert client.get("/jobs", headers=headers).status_code == 400


def test_a_proxy_s_user_is_protected_from_other_sites_too(behind):
    headers = {"x_remote_user": "anna", "sec_fetch_site": "cross-site"}
    assert submit(behind.client("10.1.2.3", **headers), "closed").status_code == 403


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("9.9.9.9", "1.2.3.4", "9.9.9.9"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8:1:2:3:4:5:6]:99", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "", "2001:db8:1:2::"),
    ],
)
def test_the_address_that_limits_count(behind, peer, forwarded, seen):
    from starlette.requests import Request

    from stoker.web.access.peers import client_address

    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"type": "http", "headers": headers, "client": (peer, 1)}
    trusted = behind.site.settings.web.trusted_proxies
    assert client_address(Request(scope), trusted) == seen


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https, https"},
        {"forwarded": "for=1.2.3.4;host=evil.example;proto=https"},
        {"x-forwarded-prefix": "/evil", "x-original-url": "/evil", "x-rewrite-url": "/jobs"},
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1"])
def test_forged_headers_change_no_link(behind, host, headers):
    answer = behind.client(host).get("/processes", headers=headers)
    assert answer.status_code == 200
    assert "evil" not in answer.text + str(answer.headers)


# --------------------------------------------------------------------------------- at another address


def test_under_tls_and_a_path_cookies_are_for_there_only(tmp_path):
    with inside(tmp_path, '[web]\nurl = "https://lab.example/stoker/"\n') as lab:
        lab.user("anna")
        browser = lab.client(base="https://lab.example")
        token = form_token(browser, "/stoker/sign-in")
        fields = {"form_token": token, "name": "anna", "password": PASSWORD}
        answer = browser.post("/stoker/sign-in", data=fields)
        assert answer.headers["location"] == "/stoker/"
        cookie = answer.headers.get_list("set-cookie")[0]
        assert cookie.startswith("__Secure-stoker=")
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/stoker/"} <= set(cookie.split("; "))
        assert browser.get("/stoker/jobs").status_code == 200
    with inside(tmp_path / "root", '[web]\nurl = "https://lab.example/"\n') as lab:
        lab.user("anna")
        cookie = sign_in(lab.client(base="https://lab.example"), "anna", PASSWORD)
        assert cookie.headers.get_list("set-cookie")[0].startswith("__Host-stoker=")


def test_people_who_have_not_signed_in_may_look_where_the_file_says_so(tmp_path):
    with inside(tmp_path, '[web]\nanonymous = "viewer"\n') as lab:
        stranger = lab.client()
        assert stranger.get("/jobs").status_code == 200
        assert stranger.get("/processes/closed").status_code == 200
        assert submit(stranger, "closed").status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 401), ("evil.example:8420", 401), ("127.0.0.1.evil.example", 401),
        ("localhost.evil.example", 401), ("", 401), ("[", 401), ("a b", 401),
        ("127.0.0.1", 200), ("127.0.0.1:9", 200), ("[::1]:8420", 200), ("localhost:8420", 200),
        ("lab.localhost", 200), ("LAB.example.", 200), ("lab.example:1", 200),
        (socket.gethostname(), 200), (f"{socket.gethostname().partition('.')[0]}.lan:8420", 200),
    ],
)  # fmt: skip
def test_a_page_whose_name_was_pointed_at_us_sees_nothing(tmp_path, host, status):
    """DNS rebinding: the name in `Host` is of another site, and the browser calls us by it."""
    web = (
        '[web]\nurl = "http://lab.example/"\nanonymous = "viewer"\ntrusted_proxies = ["10.9.9.9"]\n'
    )
    with inside(tmp_path, web) as lab:
        headers = {"host": host}
        assert lab.client().get("/jobs", headers=headers).status_code == status
        assert lab.client().get("/processes/open", headers=headers).status_code == 200
        assert lab.client(host="10.9.9.9").get("/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/processes", "/nothing", "/sign-in", "/jobs"])
def test_every_answer_guards_the_browser(lab, path):
    headers = lab.client().get(path).headers
    assert headers["cache-control"] in ("private, no-cache", "no-store"), "not for others"
    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy or "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    ["/jobs/..%2f..%2fstoker.toml", "/jobs/%00", "/jobs/" + "9" * 9000, "/jobs/%ff", "/%2e%2e/x",
     "/jobs/' OR 1=1", "//evil.example/%2f..", "/jobs/<script>"],
)  # fmt: skip
def test_hostile_paths_find_nothing(lab, path):
    answer = lab.client(token=lab.tokens[Role.ADMIN]).get(path)
    assert answer.status_code in (400, 404)
    assert "Traceback" not in answer.text
    assert answer.headers["content-type"].startswith("application/")


def test_a_body_that_stalls_is_given_up():
    async def stalls():
        await asyncio.sleep(60)

    async def comes():
        return pieces.pop(0)

    async def read(receive):
        return await InTime(receive, idle_s=0.05)()

    with pytest.raises(HTTPException) as caught:
        asyncio.run(read(stalls))
    assert caught.value.status_code == 408
    pieces = [{"type": "http.request", "more_body": True}, {"type": "http.request"}]
    patient = InTime(comes, idle_s=0.05)

    async def follow():
        await patient()
        await patient()  # the body is whole: what comes now is the client's end, and may take long
        patient._receive = slow
        return await patient()

    async def slow():
        await asyncio.sleep(0.2)
        return {"type": "http.disconnect"}

    assert asyncio.run(follow())["type"] == "http.disconnect"


def test_a_job_that_is_over_is_removed_once_asked_and_a_repeated_wish_harms_nothing(tmp_path):
    with inside(tmp_path) as lab:
        stranger = lab.client()
        done, given_up = (submit(stranger).headers["location"] for _ in range(2))
        assert stranger.delete(given_up).json()["status"] == "dismissed"
        lab.project.run()
        assert stranger.delete(given_up).status_code == 200
        assert stranger.get(given_up).json()["status"] == "dismissed"
        assert stranger.delete(done).status_code == 200
        assert stranger.get(done).status_code == 404
        assert len(lab.project.items()) == 1


def test_the_page_to_sign_in_says_how_to_make_the_first_user(tmp_path):
    with inside(tmp_path) as lab:
        assert "stoker user create NAME --role admin" in lab.client().get("/sign-in").text
        lab.user("anna", "admin")
        assert "stoker user" not in lab.client().get("/sign-in").text
