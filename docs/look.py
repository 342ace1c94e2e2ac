"""Open every page of the site in headless Chromium, as on a laptop and on a phone: ``python docs/look.py``.

A page fails that is wider than its window, has lines of 90 characters or more, writes to the console, misses
a file or loads something from the network; so does a search that finds nothing. Needs Chromium or Chrome.
"""

from __future__ import annotations

import functools
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SITE = Path(__file__).parent / "_build" / "html"
WIDTHS = (1366, 390)
PER_LOAD = 12  # pages that one browser opens
LONGEST = 90  # characters a line
OUTSIDE = re.compile(r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")
# One window holds one page at a time in a frame of a window's width, and writes what it saw into its title.
PROBE = """<!doctype html><title>running</title><body><script>
const pages = PAGES, seen = [];
const text = "the order of problems is a path through the space of the model that is trained on them";
function measure(frame, page, width) {
  const doc = frame.contentDocument, root = doc.documentElement;
  if (root.scrollWidth > width) seen.push(`${page} is ${root.scrollWidth} wide at ${width}`);
  for (const part of doc.querySelectorAll("article p")) {
    if (part.closest(".cell_output")) continue;  // what a notebook drew has a layout of its own
    const ruler = doc.createElement("span");
    ruler.style.cssText = "position:absolute;visibility:hidden;white-space:nowrap";
    ruler.textContent = text;
    part.appendChild(ruler);
    const letters = part.clientWidth * text.length / ruler.getBoundingClientRect().width;
    ruler.remove();
    if (letters >= LONGEST) { seen.push(`${page} has lines of ${Math.round(letters)} characters`); break; }
  }
  const searched = page.startsWith("search");
  if (searched && !doc.querySelector("#search-results li")) seen.push(`${page} finds nothing`);
}
(async () => {
  for (const page of pages) for (const width of WIDTHS) {
    const frame = document.createElement("iframe");
    frame.style.cssText = `width:${width}px;height:900px;border:0`;
    frame.src = page;
    await new Promise(done => { frame.onload = done; document.body.appendChild(frame); });
    await new Promise(done => setTimeout(done, page.startsWith("search") ? 3000 : 100));
    measure(frame, page, width);
    frame.remove();
  }
  document.title = "seen " + JSON.stringify(seen);
})();
</script>"""


class _Pages(SimpleHTTPRequestHandler):
    """The site, with the probes beside it; remembers what was not there."""

    missing: list[str] = []  # noqa: RUF012

    def log_message(self, *words: object) -> None:
        """Nothing."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Keep the path that was asked for."""
        if not self.path.startswith("/favicon"):
            self.missing.append(self.path)
        super().send_error(code, message, explain)


def browser() -> str:
    """The name of a browser that is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise SystemExit(f"error: browser = {names}: none is installed; install chromium")
    return found


def open_pages(pages: list[str], port: int) -> list[str]:
    """What one browser has to say of some pages."""
    probe = PROBE.replace("PAGES", json.dumps(pages)).replace("WIDTHS", json.dumps(WIDTHS))
    probe = probe.replace("LONGEST", str(LONGEST))
    (SITE / "_look.html").write_text(probe, encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom"]
        options += ["--window-size=1400,1000", "--virtual-time-budget=60000", "--enable-logging=stderr"]
        address = f"http://127.0.0.1:{port}/_look.html"
        ended = subprocess.run(
            [browser(), *options, address], capture_output=True, text=True, errors="replace", timeout=600
        )
    # A browser too busy to lay a frame out at once says so, and does it a moment later.
    harmless = "ResizeObserver loop"
    told = [line for line in ended.stderr.splitlines() if ":CONSOLE" in line and harmless not in line]
    title = re.search(r"<title>seen (.*?)</title>", ended.stdout, re.DOTALL)
    if title is None:
        return [*told, f"the browser did not end with {', '.join(pages)}"]
    return told + json.loads(html.unescape(title[1]))


def main() -> None:
    """Look at all pages and end with 1 if there is something to say."""
    files = sorted(path for path in SITE.rglob("*.html") if not path.name.startswith("_"))
    if not files:
        raise SystemExit(f"error: site = {SITE}: holds no page; say make docs")
    faults = []
    for file in files:
        found = OUTSIDE.search(file.read_text(encoding="utf-8"))
        if found:
            faults.append(f"{file.relative_to(SITE)} loads {found[0]}")
    pages = [
        path.relative_to(SITE).as_posix()
        for path in files
        if path.name not in ("search.html", "genindex.html")
    ]
    pages.append("search.html?q=order")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Pages, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for start in range(0, len(pages), PER_LOAD):
            faults += open_pages(pages[start : start + PER_LOAD], server.server_port)
    finally:
        server.shutdown()
        (SITE / "_look.html").unlink(missing_ok=True)
    faults += [f"{path} is not there" for path in sorted(set(_Pages.missing))]
    print("\n".join([*faults, f"{len(pages)} pages at {WIDTHS} pixels, {len(faults)} faults"]))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
