"""A hub on this machine: what huggingface_hub asks of one to list and fetch files of a public repository."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(repositories: dict[str, dict[str, bytes]]) -> Iterator[str]:
    """Serve repositories, their files by path, while the body runs; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/api/models/"):
                repository = "/".join(path.split("/")[3:5])
                if repository not in repositories:
                    self.answer(401 if "private" in path else 404, b"{}", {"X-Error-Code": "RepoNotFound"})
                    return
                files = [{"rfilename": name, "size": len(data)} for name, data in repositories[repository].items()]
                self.answer(200, json.dumps({"id": repository, "sha": COMMIT, "siblings": files}).encode())
                return
            user, name, _, _, *file = path.removeprefix("/").split("/")
            data = repositories.get(f"{user}/{name}", {}).get("/".join(file))
            if data is None:
                self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            else:
                self.answer(200, data, {"ETag": f'"{sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

        def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
