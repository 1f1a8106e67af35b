"""What the tab Atlas fetches: numbers of the survey as JSON, and its pictures, small."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..decoding import Decoder
from ..images import ImageError
from .lines import Full, Line

if TYPE_CHECKING:  # it needs pyarrow, which few have
    from .surveyed import Surveyed

#: Answers that are made at a time, of each sort, and how many more may be waited for.
MAKING, WAITING = 2, 64


def routes(surveyed: "Surveyed", decoder: Decoder) -> list[Route]:
    """Of one survey. Numbers and pictures may be kept by browsers: the key changes with the survey.

    Args:
        surveyed: what is asked. decoder: of its pictures.
    """

    def numbers(what: str, query: QueryParams) -> tuple[bytes, str]:
        told = json.dumps(_answer(surveyed, what, query), allow_nan=False, separators=(",", ":"))
        return told.encode(), "application/json"

    def picture(index: str, _: QueryParams) -> tuple[bytes, str]:
        small = surveyed.pictures.thumbnail(int(index), decoder)
        if small is None:
            raise KeyError(index)
        return small, "image/jpeg"

    place = f"/atlas/{surveyed.key}"
    return [Route(f"{place}/picture/{{what:int}}", _served(picture)), Route(f"{place}/{{what}}", _served(numbers))]


def _answer(surveyed: "Surveyed", what: str, query: QueryParams) -> dict[str, Any]:
    """Raises KeyError or IndexError where something is asked for that is not there."""
    if what == "facts":
        return surveyed.facts()
    asked = query["quantity"], query.get("heads") == "true"
    if what == "numbers":
        return surveyed.numbers(*asked)
    if what == "effects":
        return surveyed.effects(*asked, query["of"])
    if what == "cell":
        at = [int(part) if part.isdecimal() else -1 for part in query["at"].split(",")]
        return surveyed.cell(*asked, at, query.get("of", ""))
    raise KeyError(what)


def _served(make: Callable[[str, QueryParams], tuple[bytes, str]]) -> Callable[[Request], Awaitable[Response]]:
    line = Line(MAKING, WAITING)

    async def answer(request: Request) -> Response:
        what = str(request.path_params["what"])
        try:
            made, kind = await line.run(make, what, request.query_params)
        except Full:
            return PlainTextResponse("Many ask for this at the moment. Try again in a minute.", status_code=503)
        except ImageError as error:
            return PlainTextResponse(str(error), status_code=415)
        except (KeyError, IndexError):
            return PlainTextResponse("The survey has no such thing.", status_code=404)
        except ValueError as error:  # a file of it is damaged
            return PlainTextResponse(f"The survey cannot be read: {error}", status_code=500)
        # Which files are still there is part of what is said of a cell.
        kept = "no-store" if what == "cell" else "private, max-age=3600"
        return Response(made, media_type=kind, headers={"Cache-Control": kept})

    return answer
