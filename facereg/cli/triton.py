"""triton build, triton check, triton serve."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from facereg.cli.options import Json, answer, checked_runner, complain, counted, misused
from facereg.cli.rollout import Models, PipelineFile, Repository, Weights, retire, rollout, with_pipeline
from facereg.errors import ContractError, FaceregError
from facereg.networks.triton.address import parse_address
from facereg.registry.installed import default_registry

app = typer.Typer(help="Serve the networks with a Triton server.", no_args_is_help=True)


@app.command()
def build(
    out: Annotated[Path, typer.Option("--out", help="Folder of the model repository.")] = Path("triton_repo"),
    model: Models = None,
    weights: Weights = None,
    pipeline: PipelineFile = None,
    max_batch: Annotated[
        int | None, typer.Option(help="No network takes larger batches; default: each its own.")
    ] = None,
    instances: Annotated[int, typer.Option(help="Copies of each network, on each GPU where --gpu names some.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Of one run on the processor.")] = None,
    device: Annotated[
        Literal["auto", "cpu", "gpu"], typer.Option(help="auto takes the GPU where the server has one.")
    ] = "auto",
    gpu: Annotated[list[int] | None, typer.Option(help="Number of a GPU to use; may come again.")] = None,
    tensorrt: Annotated[
        Literal["fp32", "fp16"] | None, typer.Option(help="Run through TensorRT at this precision.")
    ] = None,
    queue_delay_us: Annotated[int, typer.Option(help="How long a request waits for others to fill its batch.")] = 0,
    json: Json = False,
) -> None:
    """Write a model repository of every network whose weights are there.

    Example: facereg triton build --out triton_repo --pipeline mine.toml
    """
    from facereg.serving.config import ServingOptions
    from facereg.serving.repository import build_repository

    options = ServingOptions(
        max_batch=max_batch,
        instances=instances,
        threads=threads,
        device=device,
        gpus=tuple(gpu or ()),
        tensorrt=tensorrt,
        queue_delay_us=queue_delay_us,
    )
    models, files = with_pipeline(pipeline, model, weights)
    built = build_repository(out, registry=default_registry(), models=models, weights=files, options=options)
    for entry in built:
        state = "left out" if entry.reason else "built"
        document = {"name": entry.network, "model": entry.model, "state": state, "sha256": entry.sha256 or None}
        tail = entry.reason or f"version {entry.version}, sha256 {entry.sha256[:12]}..."
        answer(
            json,
            {**document, "version": entry.version, "reason": entry.reason},
            f"{state:8} {entry.network}: {tail}",
        )
    if not json:
        typer.echo(f"{out}: {counted(sum(not entry.reason for entry in built), 'network')}")


app.command()(rollout)
app.command()(retire)


@app.command()
def check(
    runner: Annotated[str, typer.Option(help="The server.")] = "triton://127.0.0.1:8001",
    picture: Annotated[Path | None, typer.Option(help="Default: a photograph that comes with scikit-image.")] = None,
    model: Models = None,
    weights: Weights = None,
    pipeline: PipelineFile = None,
    json: Json = False,
) -> None:
    """Run every network here and on the server, on a real picture; exit status 1 where one differs.

    Each line has the versions that the server holds: `rollout` adds one, `retire` takes one away.

    Example: facereg triton check --runner triton://127.0.0.1:8001
    """
    from facereg.images import read_image
    from facereg.serving.check import check_server
    from facereg.testing.pictures import photograph

    address = checked_runner(runner, parse_address)
    image = photograph() if picture is None else read_image(picture)
    if image is None:
        raise ContractError(
            "the default picture needs scikit-image; pip install 'facereg-core[app]', or give --picture"
        )
    failed = passed = 0
    models, files = with_pipeline(pipeline, model, weights)
    for entry in check_server(address, image, registry=default_registry(), models=models, weights=files):
        failed += entry.state == "failed"
        passed += entry.state == "passed"
        document = asdict(entry)
        measured = "" if entry.difference is None else f" largest difference {entry.difference:.2g}"
        held = f", versions {', '.join(map(str, entry.versions))}" if entry.versions else ""
        tail = f": {entry.reason}" if entry.reason else ""
        answer(
            json,
            {"name": document.pop("network"), **document},
            f"{entry.state:8} {entry.network}{measured}{held}{tail}",
        )
    if failed or not passed:
        complain(f"{failed} of {failed + passed} networks failed" if failed else "no network could be checked")
        raise typer.Exit(1)


@app.command()
def serve(
    repository: Repository = Path("triton_repo"),
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=0, help="0 takes a free one, as below.")] = 8000,
    grpc_port: Annotated[int, typer.Option(min=0)] = 8001,
    metrics_port: Annotated[int, typer.Option(min=0)] = 8002,
    engine: Annotated[
        Literal["auto", "path", "container", "pip"],
        typer.Option(help="auto: on PATH, else the container, else by pip."),
    ] = "auto",
    image: Annotated[str | None, typer.Option(help="Of the container.")] = None,
    user: Annotated[
        str | None, typer.Option(help="As whom the server runs; where root starts it, default: nobody.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="File for what the server says, added to its end.")] = None,
    build: Annotated[bool, typer.Option("--build", help="Write the repository first.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to become ready.")] = 120.0,
    json: Json = False,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGUMENT...]", help="For tritonserver, as they are.")
    ] = None,
) -> None:
    """Start a Triton server over the repository and keep it until SIGTERM or Ctrl-C.

    Clients can run networks and ask about them, and change nothing: no load API, no settings of the server. What
    changes in the repository is taken up, and a model whose process died is loaded anew.

    Example: facereg triton serve --build -- --log-verbose=1
    """
    from facereg.serving.launch import IMAGE, Ports, refused_argument
    from facereg.serving.repository import build_repository
    from facereg.serving.server import TritonServer

    refused = refused_argument(arguments or ())
    if refused is not None:
        raise misused(
            "ARGUMENT", f"{refused}: expected no other model control, which lets clients run code on the server"
        )

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    for way in (signal.SIGTERM, signal.SIGINT):  # either is how a server is meant to end
        signal.signal(way, end)
    if build:
        build_repository(repository, registry=default_registry())
    free = Ports.free()
    ports = Ports(http_port or free.http, grpc_port or free.grpc, metrics_port or free.metrics)
    server = TritonServer(
        repository,
        host=host,
        ports=ports,
        engine=engine,
        image=image or IMAGE,
        arguments=arguments or (),
        user=user,
        log=log,
        timeout_s=timeout,
        progress=complain,
    )
    try:
        with server:
            addresses = {"grpc": server.address, "http": server.http_address, "metrics": server.metrics_address}
            answer(
                json,
                {"state": "ready", **addresses, "engine": server.launch.engine},
                f"ready: {addresses['grpc']}  {addresses['http']}  metrics {addresses['metrics']}",
            )
            status = server.wait()
            said = server.last_words()
    except KeyboardInterrupt:
        return
    raise FaceregError(f"the Triton server ended by itself with status {status}: {said}")
