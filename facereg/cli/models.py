"""models, models NAME, models fetch; describe is in `describing`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from facereg.cli.describing import describe
from facereg.cli.fetching import bytes_shown
from facereg.cli.options import Json, counted, print_json
from facereg.cli.streams import complain, say
from facereg.networks.spec import NetworkSpec
from facereg.networks.weights import FoundWeights, find_weights
from facereg.registry.added import weights_of_nobody
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import default_registry
from facereg.roles import RoleName

app = typer.Typer(help="Models and their weights; 'facereg models [NAME]' is 'facereg models show [NAME]'.")
Name = Annotated[str | None, typer.Argument(metavar="[NAME[:TAG]]", help="Show one model whole.")]


@app.command()
def show(
    name: Name = None,
    role: Annotated[RoleName | None, typer.Option(help="Only models of this role.")] = None,
    json: Json = False,
) -> None:
    """List the models by role, each with its tags, licence and weights; or one whole, with its options.

    Example: facereg models show --role embedder
    """
    registry = default_registry()
    if name is not None:
        spec = registry.model(name, role=role)
        (_print_document if json else _print_whole)(spec)
        return
    for spec in sorted(registry.models(role, tagged=True), key=lambda spec: (spec.role, spec.full_name)):
        if json:
            print_json(_listed(spec))
            continue
        typer.echo(f"{spec.role:9} {spec.full_name:22} {spec.summary}")
        say(f"{'':32} licence: {spec.licence}{_summed(spec)}")
    for line in weights_of_nobody([spec.name for spec in registry.models()]):
        complain(line)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME[:TAG]", help="Of a model, as 'facereg models' lists it.")],
    json: Json = False,
) -> None:
    """Bring a model's weights that are not here into the cache folder, checked and resumed, whole or not at all.

    Nothing else of facereg downloads weights. Without a network the error says what file to put where.

    Example: facereg models fetch yolov5s-face:int8
    """
    from facereg.data.weights import fetch_weights

    spec = default_registry().model(name)
    spec.require_networks()
    with bytes_shown(spec.full_name) as shown:
        for fetched in fetch_weights(spec, progress=shown):
            if json:
                document: dict[str, object] = {"name": spec.full_name, "network": fetched.network}
                more = {"file": str(fetched.path), "bytes": fetched.size, "sha256": fetched.sha256}
                print_json({**document, **more, "brought": fetched.brought, "resumed": fetched.resumed})
            else:
                state = "brought" if fetched.brought else "is here"
                say(f"{fetched.network} {state}: {fetched.path}, {counted(fetched.size, 'byte')}")


app.command()(describe)


def _summed(spec: ModelSpec) -> str:
    """Return how many of a model's files are here, where and of what size."""
    found = [one for one in map(find_weights, spec.networks) if one is not None]
    if not spec.networks:
        return ""
    places = ", ".join(sorted({one.place for one in found}))
    size = sum(one.path.stat().st_size for one in found) / 1e6
    here = f" ({places}, {size:.1f} MB)" if found else ""
    return f"; weights: {len(found)} of {counted(len(spec.networks), 'network')} here{here}"


def _weights(network: NetworkSpec) -> dict[str, object]:
    found = find_weights(network)
    return {
        "network": network.name,
        "file": network.file,
        "sha256": network.sha256,
        "size": _size(network, found),
        "place": None if found is None else found.place,
        "path": None if found is None else str(found.path),
    }


def _size(network: NetworkSpec, found: FoundWeights | None) -> int | None:
    return network.size if found is None else found.path.stat().st_size


def _listed(spec: ModelSpec) -> dict[str, Any]:
    named = {"name": spec.full_name, "model": spec.name, "tag": spec.tag or None, "role": spec.role}
    weights = [_weights(network) for network in spec.networks]
    return {**named, "licence": spec.licence, "card": spec.card, "weights": weights}


def _print_document(spec: ModelSpec) -> None:
    from facereg.options import REQUIRED
    from facereg.registry.asking import weights_of
    from facereg.registry.factories import known_options

    options = [
        {
            "name": one.name,
            "type": one.type,
            "default": None if one.default in (None, REQUIRED) else str(one.default),
            "meaning": one.meaning,
        }
        for one in (known_options(spec) or {}).values()
    ]
    thresholds = {f"{far:g}": cosine for far, cosine in spec.thresholds.items()}
    tags = [_listed(spec.tagged(weights)) for weights in weights_of(spec)]
    square = None if spec.square is None else dict(zip(("factor", "shift"), spec.square, strict=True))
    more = {"summary": spec.summary, "paper": spec.paper, "thresholds": thresholds, "tags": tags, "options": options}
    print_json({**_listed(spec), **more, "square": square, "aligner": spec.aligner or None})


def _print_whole(spec: ModelSpec) -> None:
    from facereg.registry.asking import weights_of
    from facereg.registry.factories import known_options

    say(f"{spec.full_name}: {spec.role}, {spec.summary}")
    say(f"paper: {spec.paper or 'none stated'}")
    if spec.square is not None:
        factor, shift = spec.square
        say(f"square of a face's points: {factor:g} of the box's longer side, its centre {shift:g} of that lower")
    if spec.aligner:
        say(f"aligner, where nobody says which: {spec.aligner}")
    _print_weights(spec)
    for weights in weights_of(spec):
        tagged = spec.tagged(weights)
        say(f"{tagged.full_name}: {tagged.summary}")
        _print_weights(tagged)
    options = known_options(spec)
    for one in (options or {}).values():
        typer.echo(f"option {one}: {one.meaning or 'not said'}")
    if options is None:
        typer.echo("options: any, read by the plugin itself")


def _print_weights(spec: ModelSpec) -> None:
    say(f"licence: {spec.licence}")
    say(f"card: {spec.card or 'none stated'}")
    for network in spec.networks:
        found = find_weights(network)
        size = _size(network, found)
        bytes_ = "" if size is None else f"{counted(size, 'byte')}, "
        sum_ = f"sha256 {network.sha256}" if network.sha256 else "sha256 not stated"
        say(f"weights: {network.file}, {bytes_}{sum_}, {_place(network, found)}")
    for far, cosine in spec.thresholds.items():
        typer.echo(f"threshold at a false accept rate of {far:g}: {cosine:g}")


def _place(network: NetworkSpec, found: FoundWeights | None) -> str:
    """Return where a file was found, or how it comes here."""
    if found is not None:
        where = {"yours": "yours", "plugin": "with the plugin", "cache": "in the cache"}
        return f"{where.get(found.place, 'with another distribution')}: {found.path}"
    if network.addresses:
        return f"not here: facereg models fetch {network.model}"
    if network.installed is not None:
        made = network.installed.find() is not None
        name = network.installed.distribution
        return f"made of a file of {name} when it is first used" if made else f"not here: pip install {name}"
    return "not here" if network.local else "none ships"
