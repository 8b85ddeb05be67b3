"""A reader of streams, which submits, reads each answer, and prints one line of JSON.

`python -m bench.programs.readers PORT MESSAGES`.

Tokens say when they were made (`bench.programs.agents.ClockModel`); the reader notes how old they are when they arrive.
"""

import http.client
import json
import sys
import time


def token_ages(port: int, messages: int) -> dict[str, list[float]]:
    """Milliseconds from a token's making to its arrival, and from a submit to the arrival of its first token."""
    ages: list[float] = []
    first: list[float] = []
    for _ in range(messages):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        began = time.monotonic_ns()
        connection.request("POST", "/messages", '{"message": "When?"}', {"Content-Type": "application/json"})
        message_id = json.loads(connection.getresponse().read())["message_id"]
        connection.request("GET", f"/messages/{message_id}/stream")
        reply = connection.getresponse()
        told = False
        while line := reply.readline():
            arrived = time.monotonic_ns()
            if line.startswith(b'data: {"type": "content"'):
                chunk = json.loads(line[6:])["chunk"]
                ages += [(arrived - int(made)) / 1e6 for made in chunk.split()]
                if not told:
                    first.append((arrived - began) / 1e6)
                    told = True
        connection.close()
    return {"ages_ms": ages, "first_ms": first}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(token_ages(int(sys.argv[1]), int(sys.argv[2]))))
