"""A folder with all that a Ray cluster needs to serve an archive: configuration, image, KubeRay's ``RayService``."""

from __future__ import annotations

import importlib.metadata
import json
import re
import textwrap
from pathlib import Path
from urllib.parse import quote

import yaml

from marwright import __version__
from marwright.errors import ArchiveError
from marwright.files import filling, link_file, write_text
from marwright.fleet.dns_label import dns_label
from marwright.mar.golden import golden_of

IMAGE_FOLDER = "/archives"
CONFIG, SERVICE, IMAGE, README = "serve.yaml", "rayservice.yaml", "Containerfile", "README.md"
_MAX_REPLICAS = 4


def export_ray(archive: Path, folder: Path) -> None:
    """Write the folder, absent or empty until then, once the archive has answered its golden requests.

    Raises:
        ArchiveError: the archive cannot be read or run outside of TorchServe, or Ray is not installed.
        MarwrightError: the folder has something in it, or cannot be written.
    """
    try:
        ray = importlib.metadata.version("ray")
        from marwright.fleet.ray_replicas import Archive, prove
    except (importlib.metadata.PackageNotFoundError, ImportError):
        raise ArchiveError("Ray Serve is not installed here: pip install 'marwright[ray]'") from None
    from marwright.model import load

    about = Archive.read(archive)
    with load(archive) as model:
        prove(model, golden_of(archive))
    file = _file_name(about.model)
    with filling(folder) as partial:
        link_file(archive, partial / file)
        write_text(partial / CONFIG, _configuration(about.model, str(folder.resolve() / file)))
        in_image = _configuration(about.model, f"{IMAGE_FOLDER}/{file}")
        write_text(partial / SERVICE, _ray_service(about.model, in_image, ray, about.timeout_s))
        write_text(partial / IMAGE, _containerfile(file, ray))
        write_text(partial / README, _readme(about.model, file))


def _file_name(model: str) -> str:
    """A name for the archive that is one word everywhere: in a shell, an image's recipe, a URL."""
    return (re.sub(r"[^A-Za-z0-9_.-]+", "-", model).lstrip("-.") or "model") + ".mar"


def _label(model: str) -> str:
    """A name as KubeRay allows it, which appends to it."""
    return dns_label(model)[:40].rstrip("-")


def _configuration(model: str, file: str) -> str:
    application = {
        "name": model,
        "route_prefix": "/",
        "import_path": "marwright.fleet.ray_serve:app",
        "args": {"archive": file, "min_replicas": 1, "max_replicas": _MAX_REPLICAS},
    }
    return f"""\
# Where each node finds the archive stands in args; batch size, delay and threads stand in the archive itself.
# Two versions of a model side by side, by weight, in place of archive:
#   archives: {{{json.dumps(model)}: {{/old.mar: 90, /new.mar: 10}}}}
proxy_location: EveryNode
http_options:
  host: 0.0.0.0
  port: 8000
logging_config:
  enable_access_log: false
{yaml.safe_dump({"applications": [application]}, sort_keys=False)}"""


def _ray_service(model: str, configuration: str, ray: str, timeout_s: float) -> str:
    name = _label(model)
    # A pod is given up only after Serve has let its replicas finish.
    grace = int(timeout_s) + 30
    return f"""\
# For KubeRay: kubectl apply -f {SERVICE}. The image is that of the Containerfile beside this file.
apiVersion: ray.io/v1
kind: RayService
metadata:
  name: {json.dumps(name)}
spec:
  serveConfigV2: |
{textwrap.indent(configuration, "    ")}\
  rayClusterConfig:
    rayVersion: "{ray}"
    enableInTreeAutoscaling: true
    headGroupSpec:
      rayStartParams:
        # Nothing is computed where the cluster is led.
        num-cpus: "0"
        dashboard-host: "0.0.0.0"
      template:
        spec:
          containers:
            - name: ray-head
              image: {name}-ray:latest
              ports:
                - {{containerPort: 6379, name: gcs-server}}
                - {{containerPort: 8265, name: dashboard}}
                - {{containerPort: 8080, name: metrics}}
                - {{containerPort: 8000, name: serve}}
              resources:
                requests: {{cpu: "1", memory: 3Gi}}
                limits: {{memory: 3Gi}}
    workerGroupSpecs:
      - groupName: workers
        replicas: 1
        minReplicas: 1
        maxReplicas: {_MAX_REPLICAS}
        rayStartParams: {{}}
        template:
          spec:
            terminationGracePeriodSeconds: {grace}
            containers:
              - name: ray-worker
                image: {name}-ray:latest
                ports:
                  - {{containerPort: 8080, name: metrics}}
                resources:
                  # One processor for the proxy and Ray, one for a replica, and one for its successor in a rollout.
                  requests: {{cpu: "3", memory: 4Gi}}
                  limits: {{memory: 4Gi}}
"""


def _containerfile(archive: str, ray: str) -> str:
    return f"""\
ARG BASE=rayproject/ray:{ray}-py311-cpu
FROM ${{BASE}}
# A wheel's path or URL in place of the name, where the package index has no marwright.
ARG MARWRIGHT=marwright=={__version__}
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu "$MARWRIGHT"
COPY {archive} {IMAGE_FOLDER}/{archive}
"""


def _readme(model: str, archive: str) -> str:
    label, path = _label(model), quote(model, safe="")
    return f"""\
# {model} on Ray Serve

On this machine, with `pip install 'marwright[ray]'`:

```bash
serve run {CONFIG}                 # or: serve run marwright.fleet.ray_serve:app archive={archive}
curl localhost:8000/predictions/{path} -H 'Content-Type: application/json' -d '{{"text": "..."}}'
```

`args` in `{CONFIG}` names the archive's file, where it was when this folder was written and must be on every node.

On a cluster that runs: `serve deploy {CONFIG}`, and again after changes. Old replicas answer until new ones are ready.

On Kubernetes with KubeRay:

```bash
docker build -t {label}-ray:latest -f {IMAGE} .
kubectl apply -f {SERVICE}
kubectl port-forward service/{label}-serve-svc 8000
```

| path | |
|---|---|
| `/predictions/{path}`, `/predictions/{path}/VERSION` | requests and answers as with TorchServe |
| `/v1/models/{path}:predict`, `/v1/models/{path}` | KServe's v1 |
| `/v2/models/{path}/infer`, `/v2/models/{path}/ready`, `/v2/health/ready` | the Open Inference Protocol |
| `/invocations`, `/ping` | SageMaker |

`deployments` of an application can set whatever Ray Serve has for one (Ray's documentation, "Serve Config Files").
"""
