"""Pages of Langfuse in a real browser, through the public routes."""

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


@pytest.mark.long
@pytest.mark.parametrize(("stack", "upgraded"), [("one-host", True), ("without-headers", False)])
def test_plain_http_requests_of_a_page_are_upgraded_to_https(
    make_site: Callable[[str], Site], make_browser: Callable[[Site], Browser], stack: str, upgraded: bool
) -> None:
    """Browsers apply both Langfuse's own policy and the added one."""
    site = make_site(stack)
    browser = make_browser(site)
    browser.run(SUBMIT_IN_PLAIN_TEXT, f"http://{HOST}/api/form")
    deadline = time.monotonic() + (WAIT_SECONDS if upgraded else 1)
    while not site.web.received("/api/form") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert bool(site.web.received("/api/form")) is upgraded
    browser.open(site.url)
