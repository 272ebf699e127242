"""A Java that is none: ``torchserve`` starts it as ever, and it answers like TorchServe's management address.

Real processes without Java or models, so that starting, stopping and killing take a second. Also the program itself.
"""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil


def install(folder: Path) -> dict[str, str]:
    """Write the Java, and return the variables that have it used."""
    java = folder / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        f'#!/bin/sh\nif [ "$1" = -version ]; then echo \'openjdk version "21.0.1"\' >&2; exit 0; fi\n'
        f'exec {sys.executable} {Path(__file__).resolve()} "$@"\n'
    )
    java.chmod(0o755)
    return {"JAVA_HOME": str(folder / "java")}


def write_archive(file: Path, config: str = "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 2\nmaxBatchDelay: 1\n") -> Path:
    """An archive that can be described, linted and served here, and nowhere else."""
    file.parent.mkdir(parents=True, exist_ok=True)
    model = {"modelName": file.stem, "modelVersion": "1.0", "handler": "h.py", "configFile": "model-config.yaml"}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": model}))
        archive.writestr("model-config.yaml", config + "responseTimeout: 5\n")
        archive.writestr("h.py", "")
    return file


def processes(marker: str | Path) -> list[psutil.Process]:
    """The processes of servers in this folder: those of the fake Java and its worker name it."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if str(marker) in " ".join(words) and ("fake_torchserve.py" in " ".join(words) or "ts.model_server" in words):
            found.append(process)
    return found


def main(arguments: list[str]) -> None:
    """Be the frontend: one worker process, and answers on the management address, unless told to be silent."""
    settings = dict(
        line.split("=", 1)
        for line in Path(arguments[arguments.index("-f") + 1]).read_text().splitlines()
        if "=" in line
    )
    print("a \x1b[31mlabel", flush=True)  # as a handler may
    store = Path(arguments[arguments.index("-s") + 1])
    scratch = next(word for word in arguments if word.startswith("-Djava.io.tmpdir="))
    sleep = "import time; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", sleep, __file__, "model_service_worker.py", scratch])
    if settings.get("disable_token_authorization") != "true":
        Path("key_file.json").write_text(json.dumps({kind: {"key": "secret"} for kind in ("management", "inference")}))
    names = [file.stem for file in store.glob("[!.]*.mar")]
    silent = Path(os.environ["FAKE_SILENT"]) if "FAKE_SILENT" in os.environ else None

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state = "UNLOADED" if silent is not None and silent.exists() else "READY"
            version = {
                "modelVersion": "1.0",
                "modelUrl": f"{names[0]}.mar",
                "minWorkers": 1,
                "responseTimeout": 5,
                "jobQueueStatus": {"pendingRequests": 0},
                "workers": [{"id": "9000", "status": state, "pid": 0}],
            }
            listed = {"models": [{"modelName": name, "modelUrl": f"{name}.mar"} for name in names]}
            body = json.dumps(listed if self.path.startswith("/models?") else [version]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    port = int(settings["management_address"].rpartition(":")[2])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
