"""The scripts of the views: how they are served, and how they are put into a page that needs no server."""

import pytest
from asking import send
from playwright.sync_api import Browser, Page, expect
from viewing import ready, tab

from dsp_viz.ui import modules


def test_modules_are_served_for_good_under_a_path_that_tells_their_contents(address: str) -> None:
    for name, source in modules.SOURCES.items():
        status, headers, text = send(address, f"/{modules.PLACE}/{name}")
        assert (status, text) == (200, source)
        assert headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path", ["view/0000000000000000/maths.js", "{place}/view.html", "{place}/none.js", "{place}/../app.py", "{place}/"]
)
def test_what_is_no_module_of_this_version_is_not_found(address: str, path: str) -> None:
    status, headers, _ = send(address, "/" + path.format(place=modules.PLACE))
    assert status == 404
    assert headers["Cache-Control"] is None


def test_a_page_of_another_version_says_what_to_do(browser: Browser, address: str) -> None:
    """An open page asks for the modules of its own version: those of a tab that is opened later may be gone by then."""
    page = browser.new_page()
    page.route("**/compare.js", lambda route: route.fulfill(status=404))
    page.goto(address)
    ready(page)
    tab(page, "Compare")
    expect(page.locator("#compare")).to_contain_text("The page and the app do not match. Load the page again.")
    page.close()


def test_inlined_modules_share_what_they_import(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {
        "top.js": 'import { half } from "./a.js";\nimport {\n  Count,\n  counted,\n} from "./b.js";\n'
        "new Count();\nexport function told() {\n  return [half, counted()];\n}\n",
        "a.js": 'import { Count } from "./b.js";\nconst one = 1;\nnew Count();\nexport const half = one / 2;\n',
        "b.js": "let one = 0;\nexport class Count {\n  constructor() {\n    one += 1;\n  }\n}\n"
        "export const counted = () => one;\n",
    }
    monkeypatch.setattr(modules, "SOURCES", sources)
    assert page.evaluate(f"(() => {{ {modules.inlined('top.js')} return $top.told(); }})()") == [0.5, 2]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('import { y } from "./a.js";\nexport const x = 1;\n', "each other: a.js → a.js"),
        ('import * as b from "./b.js";\n', "import \\* as b"),
        ('import { y as z } from "./b.js";\n', "y as z"),
        ("export default 1;\n", "export default 1"),
        ("const x = 1;\nexport { x };\n", "export { x }"),
        ("export let x = 1;\n", "export let x"),
    ],
)
def test_other_forms_of_modules_are_refused(source: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "SOURCES", {"a.js": source, "b.js": ""})
    with pytest.raises(ValueError, match=message):
        modules.inlined("a.js")
