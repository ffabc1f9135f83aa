"""Sends deliveries as Marketo does, until it is told to stop, and keeps books of every answer.

    sender.py URL BOOKS STOP TOKEN [NAME=...]

A delivery is three lead activities. One that is not answered 2xx is sent again after a second (Marketo waits longer), with the
same ids, until it is: to whichever pod the Service then leads. One of the four senders keeps its connection.
When the file STOP exists, no new delivery begins; those without a 2xx still have 120 seconds. BOOKS then has a line for each
delivery: {"ids": [...], "tries": [[seconds since the start, seconds it took, status or name of the failure], ...]}.
"""

import http.client
import itertools
import json
import os
import sys
import threading
import time
from urllib.parse import urlsplit

SENDERS = 4
PAUSE = 0.05
DEADLINE = 30  # Marketo's own
LAST = 120


def body(ids):
    activity = {"activityDate": "2026-03-02T09:59:58Z", "activityTypeId": 3, "activityType": "Click Link"}
    activities = [dict(activity, marketoGUID=name, leadId=number % 50) for number, name in ids]
    return json.dumps({"munchkinId": "999-XYZ-000", "activities": activities})


def main():
    url, books, stop, token = sys.argv[1:]
    target = urlsplit(url)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    start = time.monotonic()
    counter = itertools.count()
    name = os.path.basename(books)
    lock = threading.Lock()
    out = open(books + ".new", "w", buffering=1)

    def open_connection():
        return http.client.HTTPConnection(target.hostname, target.port or 80, timeout=DEADLINE)

    def sender(kept_only):
        kept = None
        while not os.path.exists(stop):
            with lock:
                number = next(counter)
            ids = [(3 * number + i, f"{name}-{3 * number + i}") for i in range(3)]
            tries = []
            last = None
            while True:
                began = time.monotonic()
                try:
                    connection = kept if kept_only and kept else open_connection()
                    kept = None
                    connection.request("POST", target.path, body(ids), headers)
                    answer = connection.getresponse()
                    answer.read()
                    outcome = answer.status
                    if kept_only and not answer.will_close:
                        kept = connection
                    else:
                        connection.close()
                except (OSError, http.client.HTTPException) as error:
                    outcome = type(error).__name__
                now = time.monotonic()
                tries.append([round(began - start, 2), round(now - began, 3), outcome])
                if isinstance(outcome, int) and 200 <= outcome < 300:
                    break
                if os.path.exists(stop):
                    last = last or now + LAST
                    if now > last:
                        break
                time.sleep(1)
            with lock:
                out.write(json.dumps({"ids": [name for _, name in ids], "tries": tries}) + "\n")
            time.sleep(PAUSE)

    threads = [threading.Thread(target=sender, args=(i == 0,)) for i in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.close()
    os.rename(books + ".new", books)


main()
