"""Chord on SimGrid, the same work as `nigh-bench sim` gives nigh's simulator.

Arguments: nodes, lookups for each. Every node is an actor with a mailbox on a host of its own, any
message takes 50 ms, finger tables are worked out beforehand, lookups begin at random nodes evenly
over ten simulated seconds and go from node to node until the owner answers the asker. Prints one
JSON object. Needs Debian's python3-simgrid, which is for the system's own Python.
"""

import bisect
import json
import random
import resource
import sys
import time

from simgrid import Actor, Engine, Mailbox, NetZone, this_actor

BITS = 32
LATENCY_SECONDS = 0.050
SPAN_SECONDS = 10.0
MASK = (1 << BITS) - 1
# A message of no bytes would arrive at once.
MESSAGE_BYTES = 1


def resident_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Ring:
    """Keys in order; the node of index i has the ith key."""

    def __init__(self, count, rng):
        self.keys = sorted(rng.sample(range(1 << BITS), count))
        self.count = count

    def owner(self, key):
        return bisect.bisect_left(self.keys, key) % self.count

    def fingers(self, index):
        """The distinct fingers of a node, with their distances, nearest first."""
        me = self.keys[index]
        table = {}
        for exponent in range(BITS):
            finger = self.owner((me + (1 << exponent)) & MASK)
            if finger != index:
                table[(self.keys[finger] - me) & MASK] = finger
        distances = sorted(table)
        return distances, [table[distance] for distance in distances]


class Run:
    def __init__(self, count, lookups):
        self.rng = random.Random(1)
        self.ring = Ring(count, self.rng)
        self.lookups = lookups
        self.left = lookups
        self.hops = 0
        self.right = 0
        self.boxes = [Mailbox.by_name(str(index)) for index in range(count)]

    def send(self, to, message):
        self.boxes[to].put_init(message, MESSAGE_BYTES).detach()

    def route(self, index, distances, fingers, key, asker, hops):
        me = self.ring.keys[index]
        distance = (key - me) & MASK
        if self.ring.owner(key) == index:
            self.send(asker, ("found", key, index, hops))
            return
        # The owner itself is the next node if nobody lies between.
        place = bisect.bisect_left(distances, distance) - 1
        to = fingers[place] if place >= 0 else fingers[0]
        self.send(to, ("route", key, asker, hops + 1))

    def node(self, index):
        distances, fingers = self.ring.fingers(index)
        box = self.boxes[index]
        while True:
            kind, key, who, hops = box.get()
            if kind == "stop":
                return
            if kind == "route":
                self.route(index, distances, fingers, key, who, hops)
                continue
            self.right += self.ring.owner(key) == who
            self.hops += hops
            self.left -= 1
            if self.left == 0:
                for other in range(self.ring.count):
                    self.send(other, ("stop", 0, 0, 0))

    def ask(self):
        tables = {}
        for _ in range(self.lookups):
            this_actor.sleep_for(self.rng.expovariate(self.lookups / SPAN_SECONDS))
            index = self.rng.randrange(self.ring.count)
            if index not in tables:
                tables[index] = self.ring.fingers(index)
            distances, fingers = tables[index]
            self.route(index, distances, fingers, self.rng.randrange(1 << BITS), index, 0)


def main():
    count, each = int(sys.argv[1]), int(sys.argv[2])
    before = resident_bytes()
    engine = Engine([
        "simgrid_chord",
        "--log=root.thres:warning",
        "--cfg=network/model:Constant",
        f"--cfg=network/latency-factor:{LATENCY_SECONDS}",
    ])
    zone = NetZone.create_empty_zone("world")
    hosts = [zone.create_host(f"host-{index}", 1e9) for index in range(count)]
    zone.seal()
    run = Run(count, count * each)
    for index, host in enumerate(hosts):
        actor = Actor.create(f"node-{index}", host, run.node, index)
        # Messages travel while their receiver is busy.
        run.boxes[index].set_receiver(actor)
    Actor.create("asker", hosts[0], run.ask)
    started = time.perf_counter()
    engine.run()
    seconds = time.perf_counter() - started
    print(json.dumps({
        "nodes": count,
        "lookups": run.lookups,
        "run_s": seconds,
        "lookups_per_s": run.lookups / seconds,
        "messages_per_s": (run.hops + run.lookups) / seconds,
        "right": run.right,
        "mean_hops": run.hops / run.lookups,
        "bytes_per_node": (resident_bytes() - before) / count,
    }))


main()
