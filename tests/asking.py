"""How tests ask the app as a program would, without a browser."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def send(address: str, path: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, Any, str]:
    """Status, headers and text of the answer to a request; a body that is no text goes as JSON."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(address.rstrip("/") + path, data, {"Content-Type": "application/json"} | headers)
    request.method = method or ("GET" if data is None else "POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode(errors="replace")


def call(address: str, *data: Any) -> str:
    """What the API's one function answers, as the text of its event stream."""
    status, _, text = send(address, "/gradio_api/call/analyse", {"data": data})
    assert status == 200
    return send(address, f"/gradio_api/call/analyse/{json.loads(text)['event_id']}")[2]


def as_page(address: str, name: str, file: dict[str, Any]) -> str:
    """What one of the page's own functions answers when a picture is put into the upload field."""
    config = json.loads(send(address, "/config")[2])
    (field,) = [c["id"] for c in config["components"] if c["props"].get("elem_id") == "picture"]
    (event,) = [d for d in config["dependencies"] if [field, "input"] in d["targets"]]
    props = {c["id"]: c["props"] for c in config["components"]}
    values = [file if i == field else props[i].get("value") for i in event["inputs"]]
    join = {"data": values, "fn_index": event["id"], "session_hash": name, "trigger_id": field}
    assert send(address, "/gradio_api/queue/join", join)[0] == 200
    with urllib.request.urlopen(f"{address}gradio_api/queue/data?session_hash={name}", timeout=60) as stream:
        for line in stream:
            if b"process_completed" in line:
                return line.decode()
    raise AssertionError("the stream ended without an answer")


def upload(address: str, path: Path) -> str:
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + path.read_bytes()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return json.loads(send(address, "/gradio_api/upload", body + b"\r\n--x--\r\n", **headers)[2])[0]
