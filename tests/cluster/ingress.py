"""A small Ingress controller: routes by what the API server says at that moment, and by nothing else.

    python ingress.py ADDRESS PORT FILE

It runs inside the node until the file is there, and knows nothing but the standard library and kubectl.
"""

from __future__ import annotations

import http.client
import http.server
import json
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any


def kubectl(*words: str) -> Any:
    done = subprocess.run(["kubectl", "get", *words, "-o", "json"], check=True, capture_output=True)
    return json.loads(done.stdout)


def leads(path: str, rule: dict[str, Any]) -> bool:
    """Whether a path is below one of pathType Prefix, compared element by element."""
    wanted = rule["path"].rstrip("/")
    return path == wanted or path.startswith(f"{wanted}/")


def backend(host: str, path: str) -> tuple[str, int] | None:
    """Address and port of the Service behind the longest path that leads there."""
    found = [
        (len(place["path"]), ingress["metadata"]["namespace"], place["backend"]["service"])
        for ingress in kubectl("ingress", "--all-namespaces")["items"]
        for rule in ingress["spec"]["rules"]
        if rule.get("host", host) == host
        for place in rule["http"]["paths"]
        if leads(path, place)
    ]
    if not found:
        return None
    _, namespace, service = max(found, key=lambda one: one[0])
    spec = kubectl("service", service["name"], "-n", namespace)["spec"]
    port = next(port["port"] for port in spec["ports"] if port["name"] == service["port"]["name"])
    return spec["clusterIP"], port


class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        place = backend(self.headers["Host"].partition(":")[0], self.path.partition("?")[0])
        status, answer = (404, b"no Ingress leads there") if place is None else self._pass(place, body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815 - the name that the base class looks for

    def _pass(self, place: tuple[str, int], body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*place, timeout=20)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Server(socketserver.ThreadingTCPServer):
    """Not http.server's own, which asks for the name of its address: nobody here knows it."""

    daemon_threads = True


def main(address: str, port: str, stop: str) -> None:
    server = Server((address, int(port)), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not Path(stop).exists():
        time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
