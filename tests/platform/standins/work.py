"""A worker that writes its process id into the data folder and waits; stubborn where a file asks for it."""

import os
import signal

from emporium.infra.settings import Settings


def run(settings: Settings) -> None:
    if (settings.data_dir / "stubborn").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (settings.data_dir / "worker.pid").write_text(str(os.getpid()))
    while True:
        signal.pause()
