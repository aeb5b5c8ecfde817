"""Submits the example through the form in Chromium, as a person does, and prints the hits."""

import shutil
import sys

from playwright.sync_api import sync_playwright

with sync_playwright() as playwright:
    program = shutil.which("chromium")
    browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
    page = browser.new_page(base_url=sys.argv[1])
    page.goto("/")
    page.click("text=Protein search")
    page.click("text=Fill in the example")
    page.click("text=Submit")
    page.wait_for_selector(".badge.done")
    page.wait_for_selector(".picture img")
    print(page.url)
    for row in page.locator("table tr").all():
        print("  ".join(row.locator("th, td").all_inner_texts()))
    browser.close()
