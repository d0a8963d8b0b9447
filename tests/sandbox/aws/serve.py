"""Runs one of the two emulators of the sandbox on 127.0.0.1, for as long as whoever started it lives.

    python serve.py moto --port N
    python serve.py ministack --port N --state-dir DIR [--moto-url URL] [--enforce]

Prints one line, `ready <port>`, once it answers; port 0 takes a free one. It ends, with every process it started, when
its standard input ends, which the operating system sees to however its parent dies; and on SIGTERM. SIGINT is ignored:
the terminal sends it to the parent as well, and the parent decides. Logs go to standard error.
"""

import argparse
import os
import signal
import sys
import threading

sys.dont_write_bytecode = True

HOST = "127.0.0.1"


def main():
    arguments = _arguments()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    _forget_surroundings()
    if arguments.emulator == "moto":
        serve_moto(arguments.port)
    else:
        import ministack_process

        ministack_process.serve(arguments.port, arguments.state_dir, arguments.moto_url, arguments.enforce)


def serve_moto(port):
    """Serve moto with the plugin until standard input ends."""
    import postgres

    def end(*_):
        postgres.end()
        os._exit(0)

    when_input_ends(end)
    signal.signal(signal.SIGTERM, end)
    from werkzeug.serving import make_server

    from application import Application, QuietRequestHandler
    from cbor import CborToJson

    server = make_server(HOST, port, CborToJson(Application()), threaded=True, request_handler=QuietRequestHandler)
    os.environ["MOTO_PORT"] = str(server.server_port)
    announce(server.server_port)
    server.serve_forever()


def announce(port):
    """Tell the parent that the emulator answers on this port."""
    print(f"ready {port}", flush=True)


def when_input_ends(end):
    """Call `end` once standard input ends, in a thread of its own."""

    def watch():
        while os.read(sys.stdin.fileno(), 4096):
            pass
        end()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _arguments():
    parser = argparse.ArgumentParser(description="Runs an emulator of AWS on 127.0.0.1.")
    emulators = parser.add_subparsers(dest="emulator", required=True)
    moto = emulators.add_parser("moto")
    moto.add_argument("--port", type=int, required=True)
    ministack = emulators.add_parser("ministack")
    ministack.add_argument("--port", type=int, required=True)
    ministack.add_argument("--state-dir", required=True)
    ministack.add_argument("--moto-url")
    ministack.add_argument("--enforce", action="store_true", help="judge what roles ask for; needs --moto-url")
    arguments = parser.parse_args()
    if arguments.emulator == "ministack" and arguments.enforce and not arguments.moto_url:
        parser.error("--enforce needs --moto-url")
    return arguments


def _forget_surroundings():
    """Drop the caller's AWS and emulator settings.

    An emulator must neither use real credentials nor hand them to functions, and must behave alike for everybody.
    """
    for name in list(os.environ):
        if name == "AUTH" or name.startswith(("AWS_", "MOTO_", "MINISTACK_", "SANDBOX_")):
            del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
    )


if __name__ == "__main__":
    main()
