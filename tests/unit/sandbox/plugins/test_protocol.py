"""The gRPC server of all stand-ins, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from google.protobuf import empty_pb2

from sandbox.plugins.protocol import CHANNEL_OPTIONS
from sandbox.plugins.pulumirpc import errors_pb2, provider_pb2, provider_pb2_grpc, status_pb2

CHECKOUT = Path(__file__).resolve().parents[4]
SERVICER = """
    import sys, time
    from google.protobuf import empty_pb2
    from sandbox.plugins.errors import PluginError
    from sandbox.plugins.protocol import plugin_info, serve, unsupported
    from sandbox.plugins.pulumirpc import errors_pb2, provider_pb2, provider_pb2_grpc

    class Faulty(provider_pb2_grpc.ResourceProviderServicer):
        def GetPluginInfo(self, request, context):
            return plugin_info("pulumi-random")
        def GetSchema(self, request, context):
            raise unsupported("the schema")
        def Create(self, request, context):
            raise PluginError("the disk is full", detail=errors_pb2.ErrorCause(message="no space"))
        def Delete(self, request, context):
            {}["hunter2"]
        def Cancel(self, request, context):
            time.sleep(60)
            return empty_pb2.Empty()
        def Read(self, request, context):
            return provider_pb2.ReadResponse(id="x" * (8 * 1024 * 1024) + request.id)

    register = lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(Faulty(), server)
    serve("faulty", register, on_stop=lambda: print("stopped", flush=True))
"""


def start(*wrapper: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*wrapper, sys.executable, "-c", textwrap.dedent(SERVICER)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.fixture
def plugin() -> Iterator[tuple[subprocess.Popen[str], provider_pb2_grpc.ResourceProviderStub]]:
    process = start()
    with grpc.insecure_channel(f"127.0.0.1:{read_port(process)}", options=CHANNEL_OPTIONS) as channel:
        yield process, provider_pb2_grpc.ResourceProviderStub(channel)
    process.kill()
    process.communicate()


Plugin = tuple[subprocess.Popen[str], provider_pb2_grpc.ResourceProviderStub]


def test_the_version_is_that_of_the_package(plugin: Plugin) -> None:
    assert plugin[1].GetPluginInfo(empty_pb2.Empty()).version.count(".") == 2


def test_an_unsupported_call_is_one_clear_error(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        plugin[1].GetSchema(provider_pb2.GetSchemaRequest())
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "the schema is not supported by the stand-in" in str(raised.value.details())


def test_an_error_carries_its_message_and_its_detail(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        plugin[1].Create(provider_pb2.CreateRequest())
    assert raised.value.details() == "the disk is full"
    trailers = {item.key: item.value for item in raised.value.trailing_metadata()}
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    detail = errors_pb2.ErrorCause()
    assert status.details[0].Unpack(detail)
    assert (status.message, detail.message) == ("the disk is full", "no space")


def test_an_unexpected_exception_is_reported_without_values(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        plugin[1].Delete(provider_pb2.DeleteRequest())
    message = str(raised.value.details())
    assert "Delete" in message
    assert "KeyError" in message
    assert "hunter2" not in message


def test_messages_beyond_grpcs_default_limit_pass(plugin: Plugin) -> None:
    request = provider_pb2.ReadRequest(id="y" * (8 * 1024 * 1024))
    assert len(plugin[1].Read(request).id) == 16 * 1024 * 1024


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_plugin_even_if_a_call_hangs(plugin: Plugin, number: signal.Signals) -> None:
    process, stub = plugin
    pending = stub.Cancel.future(empty_pb2.Empty())
    stub.GetPluginInfo(empty_pb2.Empty())
    process.send_signal(number)
    assert process.wait(timeout=10) == 0
    with pytest.raises(grpc.RpcError):
        pending.result()
    assert process.stdout is not None
    assert process.stdout.read() == "stopped\n"


def test_the_plugin_ends_with_the_process_that_started_it() -> None:
    shell = start("/bin/sh", "-c", '"$@" & wait', "sh")
    try:
        read_port(shell)
        (running,) = psutil.Process(shell.pid).children()
        shell.kill()
        _, alive = psutil.wait_procs([running], timeout=10)
        assert alive == []
    finally:
        os.killpg(shell.pid, signal.SIGKILL) if psutil.pid_exists(shell.pid) else None
        shell.communicate()
