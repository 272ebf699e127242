"""A software bill of materials (CycloneDX) of what serves an archive: packages and versions of the build."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from marwright import __version__


def bill_of_materials(name: str, version: str, packages: Sequence[str], date: int) -> str:
    """The serving dependencies of a model as CycloneDX JSON; the same environment gives the same text.

    ``packages`` are what its worker imports; what they require here comes with them. ``date`` is that which it shows,
    in seconds since 1970.
    """
    found = _with_requirements(packages)
    components = {own: _component(package) for own, package in found.items()}
    model = Component(type=ComponentType.MACHINE_LEARNING_MODEL, name=name, version=version, bom_ref="model")
    # A number drawn at random would be another one in every build.
    identity = " ".join([name, version, *(component.bom_ref.value or "" for component in components.values())])
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, identity), components=components.values())
    bom.metadata.timestamp = datetime.fromtimestamp(date, UTC)
    bom.metadata.component = model
    bom.metadata.tools.components.add(
        Component(type=ComponentType.APPLICATION, name="marwright", version=__version__, bom_ref="marwright")
    )
    bom.register_dependency(model, [components[own] for own in packages if own in components])
    for own, package in found.items():
        needed = [components[other] for other in _requirements(package) if other in components]
        bom.register_dependency(components[own], needed)
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    return outputter.output_as_string(indent=2) + "\n"


def _with_requirements(names: Sequence[str]) -> dict[str, Distribution]:
    """Packages and all that they require here, directly or not, by name in alphabetical order."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        own = waiting.pop()
        if own in found:
            continue
        try:
            found[own] = distribution(own)
        except PackageNotFoundError:
            continue  # required, but not there: then nothing that serves can have used it
        waiting += _requirements(found[own])
    return dict(sorted(found.items()))


def _requirements(package: Distribution) -> list[str]:
    """Names that a package requires on this platform without any of its extras."""
    parsed = [Requirement(line) for line in package.requires or ()]
    needed = {canonicalize_name(one.name) for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})}
    return sorted(needed)


def _component(package: Distribution) -> Component:
    name = canonicalize_name(package.metadata["Name"])
    url = PackageURL("pypi", name=name, version=package.version)
    # Only what is declared as an SPDX expression; the older free text could mean anything.
    declared = package.metadata.json.get("license_expression")
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=package.version,
        purl=url,
        bom_ref=url.to_string(),
        licenses=[LicenseExpression(declared)] if isinstance(declared, str) else [],
    )
