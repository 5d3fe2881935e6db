"""Replays one oracleGeneral trace through libcachesim's policies.

Arguments: the trace, the file to write to, and cache sizes in bytes. Writes one line for each
policy and size: name, size, object hit ratio, byte hit ratio. (To a file: the library's own
warnings go to standard output.)
"""

import sys

import libcachesim

POLICIES = ["LRU", "Sieve", "S3FIFO", "WTinyLFU", "ARC", "GDSF", "Belady"]
# The initial size of its hash table, as a power of two; it grows.
HASH_POWER = 16


def main():
    trace, out, *sizes = sys.argv[1:]
    with open(out, "w", encoding="ascii") as figures:
        for name in POLICIES:
            for size in sizes:
                policy = getattr(libcachesim, name)
                cache = policy(cache_size=int(size), hashpower=HASH_POWER)
                kind = libcachesim.TraceType.ORACLE_GENERAL_TRACE
                reader = libcachesim.TraceReader(trace=trace, trace_type=kind)
                objects, total = cache.process_trace(reader)
                print(name, size, 1 - objects, 1 - total, file=figures)


main()
