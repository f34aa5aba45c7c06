"""Some twenty mails a second, each on a connection of its own, until a file is there; then as JSON what became of them.

    python load.py HOST PORT KEY SECRET FILE

It runs inside the node, and knows nothing but the standard library.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = 100.0


class Caller:
    def __init__(self, host: str, port: str, key: str, secret: str) -> None:
        self._host, self._port = host, int(port)
        self._headers = {"X-Api-Key": key, "X-Api-Secret": secret, "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and body; 0 and why, when there was no answer."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=20)
        try:
            connection.request(method, path, body and json.dumps(body), self._headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 0, repr(error)
        finally:
            connection.close()

    def send(self, number: int) -> tuple[int, Any]:
        mail = {"template": "receipt", "to": "ada@example.com", "data": {"order": str(number)}}
        return self.ask("POST", "/v1/send", mail)

    def states(self) -> dict[str, str]:
        """Of every message, by its identifier."""
        found: dict[str, str] = {}
        path: str | None = "/v1/messages?limit=100"
        while path is not None:
            status, page = self.ask("GET", path)
            assert status == 200, page
            found |= {message["id"]: message["status"] for message in page["items"]}
            path = page["next"] and f"/v1/messages?limit=100&cursor={page['next']}"
        return found


def main(caller: Caller, stop: Path) -> dict[str, Any]:
    """How many were accepted, which answers were others, and which of the accepted are not sent."""
    answers: list[tuple[int, Any]] = []
    while not stop.exists():
        answers.append(caller.send(len(answers)))
        time.sleep(0.04)
    accepted = [answer["id"] for status, answer in answers if status == 202]
    waiting, deadline = dict.fromkeys(accepted, ""), time.monotonic() + PATIENCE
    while waiting and time.monotonic() < deadline:
        states = caller.states()
        waiting = {one: states.get(one, "unknown") for one in accepted if states.get(one) != "sent"}
    failed = [answer for answer in answers if answer[0] != 202]
    return {"accepted": len(accepted), "failed": failed, "not sent": waiting}


if __name__ == "__main__":
    print(json.dumps(main(Caller(*sys.argv[1:5]), Path(sys.argv[5]))))
