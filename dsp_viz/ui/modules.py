"""The scripts of the views, ES modules: served as they are written, or inlined into a page that is taken away."""

import re
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_FOLDER = Path(__file__).parent / "view"

#: Text of each module by its name, such as ``maths.js``; answers.js is not a module.
SOURCES = {p.name: p.read_text(encoding="utf-8") for p in sorted(_FOLDER.glob("*.js")) if p.name != "answers.js"}

#: Where they are served, seen from the page. The path tells their contents, so that browsers may keep them for good.
PLACE = f"view/{sha256(repr(SOURCES).encode()).hexdigest()[:16]}"

_IMPORT = re.compile(r'^import \{(\s*\w+(?:,\s*\w+)*,?\s*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|function|class) (\w+))", re.MULTILINE)


def mounting(*names: str, tells: tuple[str, ...] = ()) -> str:
    """What a component runs when the page shows it: it imports modules, and each mounts itself.

    Args:
        names: of modules that export ``mount``, see ``elements.js`` for what that is given.
        tells: the events that they trigger. Gradio knows only those that stand here in quotes.
    """
    imports = ", ".join(f'import(new URL("{PLACE}/{name}", document.baseURI))' for name in names)
    return f"""// Events: {", ".join(f'"{name}"' for name in tells)}
Promise.all([{imports}]).then(
  (all) => all.forEach(({{ mount }}) => mount({{ element, props, trigger, watch }})),
  () => element.append("The page and the app do not match. Load the page again."),
);"""


def inlined(name: str) -> str:
    """A module and all that it imports as one script for a page without a server, which defines its exports by name.

    Each module becomes a function that is called once, after those that it imports.

    Raises:
        ValueError: modules import each other in a circle, or in a form that is not known here.
    """
    done: list[str] = []
    scripts: list[str] = []

    def add(current: str, above: tuple[str, ...]) -> None:
        if current in above:
            raise ValueError(f"modules import each other: {' → '.join((*above, current))}")
        if current in done:
            return
        for _, needed in _IMPORT.findall(SOURCES[current]):
            add(needed, (*above, current))
        done.append(current)
        exported = ", ".join(_EXPORT.findall(SOURCES[current]))
        body = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};\n", SOURCES[current])
        body = _EXPORT.sub("", body)
        if left := re.search(r"^(?:import|export)\b.*", body, re.MULTILINE):
            raise ValueError(f"{current}: {left[0]!r} is not known here: write import {{ … }} from, or export a name")
        scripts.append(f"const {_variable(current)} = (() => {{\n{body}return {{ {exported} }};\n}})();\n")

    add(name, ())
    return "".join(scripts)


def _variable(name: str) -> str:
    return "$" + re.sub(r"\W", "_", name.removesuffix(".js"))


async def _answer(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in SOURCES or f"view/{request.path_params['version']}" != PLACE:
        return PlainTextResponse("There is no such module in this version of the app.", status_code=404)
    for_good = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(SOURCES[name], media_type="text/javascript", headers=for_good)


#: Serves them.
ROUTE = Route("/view/{version}/{name}", _answer)
