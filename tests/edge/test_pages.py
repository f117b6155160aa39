"""Langfuse's pages in a real browser, through the public routes."""

import time
from collections.abc import Callable

import pytest

from tests.edge.browser import WAIT_SECONDS, Browser
from tests.edge.site import HOST, Site

SUBMIT_IN_PLAIN_TEXT = """
    const form = document.createElement('form');
    form.method = 'post';
    form.action = arguments[0];
    document.body.append(form);
    form.submit();
"""


@pytest.mark.parametrize(("stack", "upgraded"), [("one-host", True), ("without-headers", False)])
def test_what_a_page_would_send_in_plain_text_is_sent_over_https(
    make_site: Callable[[str], Site], make_browser: Callable[[Site], Browser], stack: str, upgraded: bool
) -> None:
    """With Langfuse's own policy beside the added one: browsers follow both."""
    site = make_site(stack)
    browser = make_browser(site)
    browser.run(SUBMIT_IN_PLAIN_TEXT, f"http://{HOST}/api/form")
    deadline = time.monotonic() + (WAIT_SECONDS if upgraded else 1)
    while not site.web.asked("/api/form") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert bool(site.web.asked("/api/form")) is upgraded
    browser.open(site.url)
