#!/usr/bin/env python3
"""Linux on a network behind libslirp: DHCP, ping, IPv6, a file from the host both ways, connections from the
host, large UDP packets, and no network where it is restricted. Usage: network.py DOPPEL KERNEL MODEL"""

import hashlib
import http.server
import os
import socket
import sys
import threading

from guest import BOOT_SECONDS, COMMAND_SECONDS, PROMPT, Guest, expect

SIZE = 3 << 20
DRIVERS = {"virtio": "virtio_pci virtio_net", "e1000": "e1000"}


def sum_of(data):
    return hashlib.sha256(data).hexdigest()


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        self.wfile.write(self.server.data)

    def log_message(self, *_):
        pass


def serve(data):
    """Starts a web server that hands out data."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.data = data
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def read_all(peer):
    received = b""
    while some := peer.recv(65536):
        received += some
    return received


def talk(port, text):
    """Sends text to a port of the host and returns the answer."""
    with socket.create_connection(("127.0.0.1", port), COMMAND_SECONDS) as peer:
        peer.sendall(text)
        peer.shutdown(socket.SHUT_WR)
        return read_all(peer)


def configure(guest, model):
    guest.run(f"for m in {DRIVERS[model]}; do modprobe $m; done; "
              "until [ -e /sys/class/net/eth0 ]; do usleep 100000; done; ip link set lo up; ip link set eth0 up")
    got = guest.run("udhcpc -n -q -i eth0 -s /scripts/dhcp")
    expect("DHCP gives an address", "10.0.2.15" in got and "hostname given" in got, got)
    got = guest.run("cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu")
    expect("the card's address and MTU", "\n52:54:00:12:34:56\n1500" in got, got)
    guest.run("ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2")


def check_ping(guest):
    got = guest.run("ping -c 3 10.0.2.2")
    expect("the gateway answers pings", "3 packets received" in got, got)
    got = guest.run("ping -c 1 -s 8000 10.0.2.2")
    expect("and fragmented ones", "1 packets received" in got, got)
    got = guest.run("i=0; until ip -6 addr show dev eth0 | grep fec0 | grep -qv tentative || [ $i = 300 ]; do "
                    "i=$((i + 1)); usleep 100000; done; ping -c 2 fec0::2")
    expect("and by IPv6", "2 packets received" in got, got)


def check_transfers(guest, server):
    url = f"http://10.0.2.2:{server.server_port}/file"
    got = guest.run(f"wget -q -O /tmp/file {url}; sha256sum /tmp/file")
    expect("a file comes from the host", sum_of(server.data) in got, got)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(COMMAND_SECONDS)
        guest.type(f"nc 10.0.2.2 {listener.getsockname()[1]} </tmp/file")
        with listener.accept()[0] as peer:
            peer.settimeout(COMMAND_SECONDS)
            got = read_all(peer)
    guest.read_until(PROMPT, COMMAND_SECONDS)
    expect("and goes back", got == server.data, len(got))


def check_forwards(guest, tcp, udp):
    guest.run("nc -l -p 7 -e tr a-z A-Z & sleep 1")
    expect("the host reaches a port of the guest", talk(tcp, b"from the host") == b"FROM THE HOST", "")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"datagram\n", ("127.0.0.1", udp))
        got = guest.run("noports() { awk '/^Udp:/ { n = $3 } END { print n }' /proc/net/snmp; }; i=0; "
                        "while [ $(noports) = 0 ] && [ $i -lt 300 ]; do i=$((i + 1)); usleep 100000; done; noports")
    expect("and one of UDP, where nobody listens", got.split()[-1] == "1", got)


def check_errors(guest):
    got = guest.run("cd /sys/class/net/eth0/statistics; cat rx_errors tx_errors | sort -u; cd; "
                    "dmesg | grep -E 'WARNING|BUG|Hang|Reset adapter|csum' | wc -l")
    expect("no errors", got.split()[-2:] == ["0", "0"], got)


def main():
    doppel, kernel, model = sys.argv[1:]
    server = serve(os.urandom(SIZE))
    tcp, udp = free_port(), free_port(socket.SOCK_DGRAM)
    network = (f"user,model={model},hostname=given,hostfwd=tcp::{tcp}-:7,"
               f"hostfwd=udp:127.0.0.1:{udp}-10.0.2.15:9")
    with Guest(doppel, kernel, options=["--net", network]) as guest:
        guest.read_until(PROMPT, BOOT_SECONDS)
        configure(guest, model)
        check_ping(guest)
        check_transfers(guest, server)
        check_forwards(guest, tcp, udp)
        check_errors(guest)
        guest.type("poweroff -f")
        guest.end("power-off")


main()
