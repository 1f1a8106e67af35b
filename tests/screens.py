"""The pictures of the screen in ``docs/``: ``python tests/screens.py [NAME …]``.

They are of the models that ship, and of two with random weights.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from browser import FLAGS, find
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from viewing import READY, choose, ready

ROOT = Path(__file__).resolve().parents[1]
CAT, CASTLE = "picture=cat-chelsea", "picture=castle-bridge-heidelberg"
TWINS = "modelA=dsp_everyday&modelB=polaformer_everyday&pictureB=cat-chelsea&a=1,0,0,0&b=1,0,0,0"


def nothing(page: Page) -> None:
    """The view is enough."""


def keys(page: Page) -> None:
    """The list of keys, open."""
    page.locator('#view [data-do="help"]').click()


def drawn(page: Page) -> None:
    """Figures of plotly."""
    expect(page.locator(".js-plotly-plot:visible .main-svg").first).to_be_visible(timeout=READY)


def twins(page: Page) -> None:
    expect(page.locator(".dc:visible")).to_contain_text("cat-chelsea, polaformer_everyday", timeout=READY)


def overview(page: Page) -> None:
    expect(page.locator(".do")).to_have_attribute("data-busy", "false", timeout=READY)


def judged(page: Page) -> None:
    page.locator("#judge").click()
    expect(page.locator(".areas")).to_be_visible(timeout=5 * READY)


def without_opposite(page: Page) -> None:
    """Interventions, before and after, and what the parts are worth."""
    choose(page, "Stream", "opposite")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_label("Interventions, as JSON")).to_have_value(re.compile("opposite"), timeout=READY)
    page.locator("#run").click()
    expect(page.locator("#whatif .dc")).to_have_attribute("data-busy", "false", timeout=READY)
    page.locator("#rank").click()
    expect(page.locator("#matter table")).to_be_visible(timeout=5 * READY)


def atlas(page: Page) -> None:
    expect(page.locator(".da-pictures img").first).to_have_js_property("complete", True, timeout=READY)


def register(page: Page) -> None:
    """A token without a place asks."""
    page.locator('#view [data-set="asks"]').select_option(label="register 1")
    expect(page.locator(".dv-read")).to_contain_text("register 1", timeout=READY)


class Screen(NamedTuple):
    """An address, how many pixels of the page are seen (None: all of it), what is done there first, and of which models
    (none: those that ship)."""

    link: str
    height: int | None
    act: Callable[[Page], None]
    models: tuple[str, ...] = ()


SCREENS = {
    "explorer-light": Screen(CAT, 900, nothing),
    "explorer-512": Screen(f"{CASTLE}&model=dsp_tiny&side=512&block=3", 900, keys),
    "pyramid": Screen(f"{CAT}&side=512&block=1&query=30,30", 1000, nothing),
    "overview": Screen(f"{CAT}&tab=overview", 1000, overview),
    "filters": Screen(f"{CAT}&tab=filters", None, drawn),
    "coefficients": Screen(f"{CAT}&tab=coefficients", None, drawn),
    "weights": Screen(f"{CAT}&tab=weights", None, drawn),
    "training": Screen(f"{CAT}&tab=history", None, drawn),
    "compare": Screen(f"{CAT}&tab=compare&{TWINS}", 900, twins),
    "whatif": Screen(f"{CAT}&tab=whatif", None, without_opposite),
    "relevance": Screen(f"{CAT}&tab=relevance", 1000, judged),
    "atlas": Screen(f"{CAT}&tab=atlas", 1000, atlas),
    "window": Screen(f"{CASTLE}&block=5&query=30,38", 1000, nothing, ("unlearned:windows",)),
    "registers": Screen(f"{CASTLE}&block=3", 1000, register, ("unlearned:registers",)),
}


@contextmanager
def app(models: tuple[str, ...] = ()) -> Iterator[str]:
    """Its address; without models those that ship, with their survey."""
    command = [sys.executable, "app.py", "--port", "0"]
    command += ["--model", *models] if models else ["--survey", "pretrained/survey"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)} if models else None
    ends: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **ends) as running:
        try:
            assert running.stdout
            told = []
            for line in running.stdout:
                told.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield found[0]
                    return
            raise SystemExit(f"the app did not start:\n{''.join(told)}")
        finally:
            running.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCREENS)} (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder (default docs/)")
    args = parser.parse_args()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    names = args.names or list(SCREENS)
    if unknown := set(names) - set(SCREENS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        for models in dict.fromkeys(SCREENS[name].models for name in names):
            with app(models) as address:
                for name in (name for name in names if SCREENS[name].models == models):
                    page = browser.new_page(
                        viewport={"width": 1440, "height": SCREENS[name].height or 1600}, color_scheme="light"
                    )
                    take(page, address, SCREENS[name], args.out / f"{name}.png")
                    page.close()
                    print(name, flush=True)


def take(page: Page, address: str, screen: Screen, path: Path) -> None:
    """One picture, as WebP beside ``path``."""
    page.goto(f"{address}/#{screen.link}")
    if "tab=" not in screen.link:
        ready(page)
    screen.act(page)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1500)  # what fades in or out
    page.screenshot(path=path, full_page=screen.height is None)
    Image.open(path).convert("RGB").save(path.with_suffix(".webp"), quality=88, method=6)
    path.unlink()


if __name__ == "__main__":
    main()
