"""Uploaded files, opened in a real browser by signed links through the public routes."""

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.data.object_store.minio import Store
from tests.edge.browser import WAIT_SECONDS, Browser
from tests.edge.files import ACTIVE, PDF, PNG, TEXTS, WAV
from tests.edge.site import Site
from tests.edge.web import Request
from tests.waiting import eventually

LOAD = """
    const [tag, event, address] = arguments;
    return new Promise(done => {
        const element = document.createElement(tag);
        element.addEventListener(event, () => done([element.videoWidth || element.naturalWidth, element.duration]));
        element.addEventListener('error', () => done('error'));
        element.src = address;
    });
"""
RECORD_A_VIDEO = """
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 64;
    const context = canvas.getContext('2d');
    const drawing = setInterval(() => {
        context.fillStyle = context.fillStyle === '#00ff00' ? '#0000ff' : '#00ff00';
        context.fillRect(0, 0, 64, 64);
    }, 30);
    return new Promise(done => {
        const recorder = new MediaRecorder(canvas.captureStream(30), {mimeType: 'video/webm'});
        const parts = [], reader = new FileReader();
        recorder.ondataavailable = part => parts.push(part.data);
        recorder.onstop = () => { clearInterval(drawing); reader.readAsDataURL(new Blob(parts)); };
        reader.onload = () => done(reader.result.split(',')[1]);
        recorder.start();
        setTimeout(() => recorder.stop(), 500);
    });
"""
UPLOAD = """
    return fetch(arguments[0], {method: 'PUT', body: 'text', headers: {'Content-Type': 'text/plain'}})
        .then(answer => answer.status, () => 'refused');
"""
COUNT_GREEN = """
    return new Promise(done => {
        const image = new Image();
        image.onload = () => {
            const canvas = document.createElement('canvas');
            canvas.width = image.width;
            canvas.height = image.height;
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
            let green = 0;
            for (let at = 0; at < data.length; at += 4)
                if (data[at] < 40 && data[at + 1] > 215 && data[at + 2] < 40) green++;
            done(green);
        };
        image.src = 'data:image/png;base64,' + arguments[0];
    });
"""


OTHER_PROXIES = ("gateway-api", "traefik", "nginx")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A site, and a browser with an open page of the UI."""

    site: Site
    browser: Browser

    def stolen(self, seconds: float) -> list[Request]:
        """The requests that scripts in files sent to the API as the user. Waits for the first one."""
        deadline = time.monotonic() + seconds
        while not (found := self.site.web.received("/api/stolen")) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def green_pixels(self) -> int:
        """The number of green pixels in the current tab."""
        shown = self.browser.screenshot()
        current = self.browser.call("GET", "/window")
        self.browser.call("POST", "/window", handle=self.browser.call("GET", "/window/handles")[0])
        green: int = self.browser.run(COUNT_GREEN, shown)
        self.browser.call("POST", "/window", handle=current)
        return green


@pytest.fixture(
    params=["one-host", "bucket-host", *(pytest.param(name, marks=pytest.mark.long) for name in OTHER_PROXIES)]
)
def visit(
    request: pytest.FixtureRequest,
    make_site: Callable[[str], Site],
    make_browser: Callable[[Site], Browser],
) -> Iterator[Visit]:
    yield from visiting(make_site(request.param), make_browser)


@pytest.fixture
def visit_without_headers(make_site: Callable[[str], Site], make_browser: Callable[[Site], Browser]) -> Iterator[Visit]:
    yield from visiting(make_site("without-headers"), make_browser)


def visiting(site: Site, make_browser: Callable[[Site], Browser]) -> Iterator[Visit]:
    browser = make_browser(site)
    site.web.requests.clear()
    yield Visit(site=site, browser=browser)
    while len(browser.call("GET", "/window/handles")) > 1:
        browser.close_tab()


@pytest.mark.parametrize("name", ACTIVE)
def test_a_script_in_a_file_does_not_run(visit: Visit, name: str) -> None:
    visit.browser.open_tab(visit.site.upload(name, *ACTIVE[name]))
    assert visit.stolen(seconds=1) == []
    assert visit.site.web.received("/api/ran") == []
    assert visit.browser.run("return document.documentElement.outerHTML").count("/api/stolen")


@pytest.mark.parametrize("name", ACTIVE)
def test_without_the_headers_a_script_in_a_file_acts_as_the_user(visit_without_headers: Visit, name: str) -> None:
    visit = visit_without_headers
    visit.browser.open_tab(visit.site.upload(name, *ACTIVE[name]))
    stolen = visit.stolen(WAIT_SECONDS)
    assert [(request.signed_in, request.body) for request in stolen[:1]] == [(True, visit.site.user)]


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_shown_as_text(visit: Visit, name: str) -> None:
    visit.browser.open_tab(visit.site.upload(name, *TEXTS[name]))
    assert "Shown" in visit.browser.run("return document.body.textContent")
    assert visit.site.web.received("/api/ran") == []


def test_pages_show_images(visit: Visit) -> None:
    png = visit.site.upload("png", "image/png", PNG)
    svg = visit.site.upload("svg", *ACTIVE["svg"])
    assert [visit.browser.run(LOAD, "img", "load", link)[0] for link in (png, svg)] == [60, 60]
    assert visit.site.web.received("/api/ran") == []


def test_pages_play_audio_and_video(visit: Visit) -> None:
    recorded = base64.b64decode(visit.browser.run(RECORD_A_VIDEO))
    audio = visit.site.upload("wav", "audio/wav", WAV)
    video = visit.site.upload("webm", "video/webm", recorded)
    assert visit.browser.run(LOAD, "audio", "loadedmetadata", audio)[1] == 1
    assert visit.browser.run(LOAD, "video", "loadeddata", video)[0] == 64


def test_an_image_is_shown_in_its_own_tab(visit: Visit) -> None:
    visit.browser.open_tab(visit.site.upload("png", "image/png", PNG))
    assert visit.browser.run("return document.images[0].naturalWidth") == 60


@pytest.mark.parametrize("kind", ["audio/wav", "video/webm"])
def test_audio_and_video_play_in_their_own_tab(visit: Visit, kind: str) -> None:
    body = WAV if kind == "audio/wav" else base64.b64decode(visit.browser.run(RECORD_A_VIDEO))
    visit.browser.open_tab(visit.site.upload(kind.replace("/", "."), kind, body))
    state = "return document.querySelector('video').readyState"
    eventually(lambda: bool(visit.browser.run(state)), "it did not play", within=WAIT_SECONDS)


def test_a_pdf_is_shown(visit: Visit) -> None:
    visit.browser.open_tab(visit.site.upload("pdf", "application/pdf", PDF))
    eventually(lambda: visit.green_pixels() >= 10_000, "the green page was not shown", within=WAIT_SECONDS)


def test_an_export_is_downloaded(visit: Visit, store: Store) -> None:
    name = f"export-{visit.site.port}.csv"
    visit.browser.run("location.href = arguments[0]", visit.site.export(store, name, b"a,b\n1,2\n"))
    file = visit.browser.downloads / name
    eventually(file.exists, "nothing was downloaded", within=WAIT_SECONDS)
    assert file.read_bytes() == b"a,b\n1,2\n"


def test_pages_can_upload_files_only_to_their_own_host(visit: Visit) -> None:
    """As the UI does for attachments of dataset items. Its policy allows connections to its own host only."""
    link = visit.site.sign_upload("attachment", "text/plain")
    own = visit.site.stack.bucket_host is None
    assert visit.browser.run(UPLOAD, link) == (200 if own else "refused")
