"""Listens where the sandbox would."""

import argparse
import signal
import socket

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    options, _ = parser.parse_known_args()
    print("listening", flush=True)
    with socket.create_server(("127.0.0.1", options.port)):
        signal.pause()
