#!/usr/bin/env python3
"""What a backlog costs: W1 readings that no sink takes, then a restart, then the sink is back.

    benches/backlog.py [OUTSTATION [READINGS]]

Prints time to ready and resident memory of an empty log and of one with the backlog, the size of the
file, and the time from ready to the first delivered batch. Plays the sensor through a pseudo-terminal.
"""

import os
import sys
import tempfile
import time

from site_w1 import Site, resident_kib, stop, w1

READINGS = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000


def main():
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder)
        daemon, _ = site.start()
        stop(daemon)  # the log is made
        daemon, ready = site.start()
        time.sleep(1)
        print(f"empty: ready in {ready:.1f} ms, {resident_kib(daemon)} KiB resident")
        for lines in w1(READINGS):
            site.send(lines)
        while site.status()["log"]["head"] < READINGS:
            time.sleep(0.1)
        stop(daemon)
        print(f"{READINGS} readings: {os.path.getsize(folder + '/log.db')} bytes of file")
        daemon, ready = site.start()
        time.sleep(1)
        print(f"with them: ready in {ready:.1f} ms, {resident_kib(daemon)} KiB resident")
        stop(daemon)
        collector = site.collect()
        time.sleep(0.5)
        daemon, _ = site.start()
        began = time.monotonic()
        while site.status()["sinks"][0]["delivered"] == 0:
            pass
        print(f"first batch {(time.monotonic() - began) * 1000:.0f} ms after ready")
        while site.status()["ledger"]["pending"] > 0:
            time.sleep(0.1)
        status = site.status()
        balanced = status["ledger"]["balanced"]
        print(f"drained in {time.monotonic() - began:.1f} s, ledger balanced: {balanced}")
        stop(daemon)
        stop(collector)


main()
