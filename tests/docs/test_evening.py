"""An evening in the laboratory goes as its page says, in a terminal and in a browser; it makes the page's pictures."""

import os
from pathlib import Path

import stoker
from docs import transcript
from docs.test_tutorial import ROOT, environment
from integration.web.conftest import LIMIT_S, service
from integration.web.inside import PASSWORD

PAGE = ROOT / "docs" / "tutorial" / "evening.md"
PICTURES = os.environ.get("STOKER_PICTURES")  # the folder that `make pictures` names


def test_the_evening_goes_as_its_page_says(tmp_path, chromium):
    before, message, rest = (
        PAGE.read_text("utf-8")
        .replace("## At nine", "<split>## At nine")
        .replace("## At half past nine", "<split>## At half past nine")
        .split("<split>")
    )
    repair, after = rest.replace("The command on that page", "<split>").split("<split>")
    lab, shots = tmp_path / "lab", Path(PICTURES or tmp_path)

    def perform(text, folder):
        actions = transcript.read(text)
        assert actions
        problems = transcript.perform(actions, folder, environment(tmp_path))
        assert not problems, "\n\n".join(problems)

    perform(before, tmp_path)
    with stoker.open(lab) as project:
        project.access.create_user("ada", role="operator", password=PASSWORD)
    with service(lab) as found:
        perform(message, lab)
        context = chromium.new_context(base_url=found.url)
        context.set_default_timeout(LIMIT_S * 1000)
        page = context.new_page()
        page.set_viewport_size({"width": 360, "height": 780})
        page.goto("/overview")
        assert "7 failed tasks, most by one cause" in page.inner_text(".sentence")
        page.screenshot(path=shots / "evening-phone.png")
        page.set_viewport_size({"width": 1000, "height": 620})
        page.get_by_role("link", name="pen07.dat").click()
        page.locator("h1", has_text="pen07.dat").wait_for()
        assert "channel 7 is empty" in page.inner_text(".alert")
        page.screenshot(path=shots / "evening-item.png")
        perform(repair, lab)
        page.goto("/sign-in")
        page.fill("[name=name]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_url(lambda url: "sign-in" not in url)
        page.goto("/failures")
        page.get_by_role("link", name="Retry all…").first.click()
        page.fill("[name=reason]", "the licences are back")
        page.locator(".command summary").click()
        page.screenshot(path=shots / "evening-repair.png")
        page.click("button.main")
        assert "Retry: 6 tasks" in page.inner_text("h1")
        context.close()
        perform(after, lab)
