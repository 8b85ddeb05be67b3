"""A reader of streams: `python -m bench.programs.readers PORT MESSAGES`.

It submits each message, reads the answer, and prints one line of JSON. Each token holds the time of its creation
(`bench.programs.agents.ClockModel`); the reader notes the token's age.
"""

import http.client
import json
import sys
import time


def token_ages(port: int, messages: int) -> dict[str, list[float]]:
    """Return two lists of milliseconds: the age of each token at arrival, and the time from submit to first token."""
    ages: list[float] = []
    first: list[float] = []
    for _ in range(messages):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        began = time.monotonic_ns()
        connection.request("POST", "/messages", '{"message": "When?"}', {"Content-Type": "application/json"})
        message_id = json.loads(connection.getresponse().read())["message_id"]
        connection.request("GET", f"/messages/{message_id}/stream")
        reply = connection.getresponse()
        has_first = False
        while line := reply.readline():
            arrived = time.monotonic_ns()
            if line.startswith(b'data: {"type": "content"'):
                chunk = json.loads(line[6:])["chunk"]
                ages += [(arrived - int(made)) / 1e6 for made in chunk.split()]
                if not has_first:
                    first.append((arrived - began) / 1e6)
                    has_first = True
        connection.close()
    return {"ages_ms": ages, "first_ms": first}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(token_ages(int(sys.argv[1]), int(sys.argv[2]))))
