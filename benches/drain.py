#!/usr/bin/env python3
"""How a backlog drains while readings go on: W1 at 1,000 readings/s, and a receiver that was away.

    benches/drain.py [OUTSTATION [BACKLOG [OUTAGE_S]]]

First BACKLOG readings (1,000,000) that no sink takes, then the receiver answers: when the first request
comes, how long the backlog takes, how old live readings are meanwhile. Then OUTAGE_S seconds (60) of
refused connections, and how long everything takes once the receiver is back. Then a receiver that
accepts and never answers. Resident memory all along.

The receiver reads a request to its end and answers 204; what a batch holds is in its idempotency key.
"""

import http.server
import socketserver
import sys
import tempfile
import threading
import time

from site_w1 import Site, resident_kib, stop, w1

BACKLOG = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
OUTAGE_S = int(sys.argv[3]) if len(sys.argv) > 3 else 60
RATE = 1000


class Receiver:
    """Answers on the site's upstream port while it is open."""

    def __init__(self, port):
        self.port, self.server, self.batches, self.hanging = port, None, [], False

    def open(self, hanging=False):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                arrived = time.monotonic()
                self.rfile.read(int(self.headers["content-length"]))
                if receiver.server is not self.server:
                    self.close_connection = True  # a connection from before it went away
                    return
                receiver.batches.append((arrived, time.monotonic(), self.headers["idempotency-key"]))
                if receiver.hanging:
                    time.sleep(3600)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            allow_reuse_address, daemon_threads = True, True

            def handle_error(self, *_):
                pass

        self.hanging = hanging
        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return time.monotonic()

    def close(self):
        server, self.server = self.server, None
        server.shutdown()
        server.server_close()

    def ranges(self, since):
        """(when read, first number, last number) of each batch of readings since then."""
        for _, read, key in list(self.batches):
            numbers = key.split("-e")[0].rsplit("-", 2)[1:]
            if read >= since and numbers[1] != "0":
                yield read, int(numbers[0]), int(numbers[1])


class Sensor(threading.Thread):
    """Sends what is left of W1 at its pace, and knows when each number was sent."""

    def __init__(self, site, lines, sent):
        super().__init__(daemon=True)
        self.site, self.lines, self.base, self.times, self.running = site, lines, sent, [], True

    def run(self):
        began, number = time.monotonic(), 0
        while self.running:
            self.site.send("".join(self.lines[number:number + 10]))
            number += 10
            self.times.append(time.monotonic())
            time.sleep(max(0, began + number / RATE - time.monotonic()))

    def sent_at(self, seq):
        at = (seq - self.base - 1) // 10
        return self.times[at] if 0 <= at < len(self.times) else None


def drained(site):
    while site.status()["sinks"][0]["pending"] > RATE:
        time.sleep(0.02)
    return time.monotonic()


def report(name, site, receiver, sensor, opened, daemon):
    done = drained(site)
    time.sleep(3)
    ranges = list(receiver.ranges(opened))
    first = ranges[0][0]
    live = [
        read - sensor.sent_at(last)
        for read, _, last in ranges
        if sensor.sent_at(last) and sensor.sent_at(last) > opened
    ]
    backlog = sum(last - begin + 1 for read, begin, last in ranges if read <= done)
    print(f"{name}: first request {first - opened:.3f} s after the receiver was back, "
          f"{backlog} readings within {done - first:.2f} s of it "
          f"({backlog / max(done - first, 0.001):,.0f} readings/s), "
          f"all within {done - opened:.2f} s of the receiver; {len(ranges)} batches")
    print(f"  live readings meanwhile: median {sorted(live)[len(live) // 2]:.2f} s, "
          f"worst {max(live):.2f} s old when delivered; resident {resident_kib(daemon)} KiB")


def main():
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder)
        receiver = Receiver(site.upstream)
        daemon, _ = site.start()
        total = BACKLOG + RATE * (OUTAGE_S + 600)
        chunks = w1(total)
        sent, rest = 0, []
        for chunk in chunks:
            if sent < BACKLOG:
                site.send(chunk)
                sent += chunk.count("\n")
            else:
                rest.append(chunk)
        while site.status()["log"]["head"] < sent:
            time.sleep(0.1)
        print(f"{sent} readings pending; resident {resident_kib(daemon)} KiB")
        sensor = Sensor(site, "".join(rest).splitlines(keepends=True), sent)
        sensor.start()
        time.sleep(2)
        opened = receiver.open()
        report(f"backlog of {BACKLOG}", site, receiver, sensor, opened, daemon)
        receiver.close()
        time.sleep(OUTAGE_S)
        opened = receiver.open()
        report(f"outage of {OUTAGE_S} s", site, receiver, sensor, opened, daemon)
        receiver.close()
        before = site.status()["sinks"][0]["requests"]
        receiver.open(hanging=True)
        began = time.monotonic()
        time.sleep(100)
        after = site.status()["sinks"][0]["requests"]
        print(f"a receiver that hangs for {time.monotonic() - began:.0f} s: {after - before} requests; "
              f"resident {resident_kib(daemon)} KiB")
        sensor.running = False
        stop(daemon)


main()
