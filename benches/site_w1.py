"""A site for the benchmarks: a sensor on a pseudo-terminal, the daemon, and W1, the workload of ten
sensors at 100 readings/s each."""

import json
import os
import pty
import random
import signal
import socket
import subprocess
import sys
import time
import tty
import urllib.request

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "target/release/outstation"
SENSORS = 10


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Site:
    def __init__(self, folder):
        self.folder, self.local, self.upstream = folder, free_port(), free_port()
        self.sensor, slave = pty.openpty()
        tty.setraw(slave)
        with open(f"{folder}/outstation.toml", "w") as config:
            config.write(f"""
[device]
id = "bench"
[log]
path = "{folder}/log.db"
[http]
listen = "127.0.0.1:{self.local}"
[[port]]
name = "w1"
path = "{os.ttyname(slave)}"
framing = "lines"
format = "json"
sensor_key = "sensor"
time_key = "ts"
time_unit = "ms"
sequence_key = "seq"
[[sink]]
name = "collector"
kind = "http"
url = "http://127.0.0.1:{self.upstream}/v1/readings"
""")

    def start(self):
        """Returns the daemon and how long it took until it said it is ready."""
        path = f"{self.folder}/notify"
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            environment = {**os.environ, "NOTIFY_SOCKET": path, "OUTSTATION_LOG": "error"}
            began = time.monotonic()
            daemon = subprocess.Popen(
                [PROGRAM, "run", "--config", f"{self.folder}/outstation.toml"], env=environment
            )
            while b"READY=1" not in notify.recv(4096):
                pass
            return daemon, (time.monotonic() - began) * 1000

    def collect(self):
        listen = f"127.0.0.1:{self.upstream}"
        return subprocess.Popen([PROGRAM, "collect", "--listen", listen], stdout=subprocess.DEVNULL)

    def status(self):
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.local}/status"))

    def send(self, text):
        data = text.encode()
        while data:
            data = data[os.write(self.sensor, data):]


def stop(process):
    process.send_signal(signal.SIGTERM)
    process.wait()


def resident_kib(process):
    with open(f"/proc/{process.pid}/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


def w1(readings):
    """The lines of W1 in groups of ten thousand."""
    rng, values, lines = random.Random(1), [2000] * SENSORS, []
    for number in range(readings):
        seq, sensor = divmod(number, SENSORS)
        values[sensor] += round(rng.gauss(0, 2))
        at = 1_760_000_000_000 + 10 * seq + rng.randint(-1, 1)
        value = values[sensor] / 100
        lines.append(f'{{"sensor":"t{sensor}","seq":{seq},"ts":{at},"value":{value:.2f}}}\n')
        if len(lines) == 10_000 or number == readings - 1:
            yield "".join(lines)
            lines.clear()
