#!/usr/bin/env python3
"""Asks an edge for many objects of origin.py and holds every byte against what they are.

    verify.py BASE FIRST STEP COUNT

asks for BASE/bytes/N with N = FIRST, FIRST + STEP and so on. It prints how many were right, and how
many of them came from the disk, from memory and from the origin; it fails if an answer is wrong.
"""

import http.client
import sys
import urllib.parse

from origin import content

CLIENT_TIMEOUT_SECONDS = 20
# An edge that is started again has another port; what it has stored is for a host.
HOST = "site.example"


def main():
    base, first, step, count = sys.argv[1], *map(int, sys.argv[2:])
    where = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=CLIENT_TIMEOUT_SECONDS)
    seen = {"right": 0, "disk": 0, "memory": 0, "origin": 0}
    wrong = []
    for length in range(first, first + step * count, step):
        connection.request("GET", f"/bytes/{length}", headers={"Host": HOST})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or body != content(length):
            wrong.append(f"/bytes/{length}: {answer.status}, {len(body)} bytes")
            continue
        status = answer.headers["Cache-Status"]
        source = "origin" if "fwd=" in status else "disk" if "detail=disk" in status else "memory"
        seen["right"] += 1
        seen[source] += 1
    print(" ".join(f"{name}={number}" for name, number in seen.items()))
    sys.exit("\n".join(wrong[:10]) if wrong else 0)


main()
