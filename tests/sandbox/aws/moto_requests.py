"""How moto's server reads requests: connections stay open, and nothing is logged for a request that went well."""

from moto.moto_server.werkzeug_app import MotoRequestHandler


class QuietRequestHandler(MotoRequestHandler):
    """moto's request handler, for many small requests from few clients."""

    protocol_version = "HTTP/1.1"
    # Without this an answer on an open connection waits some 40 ms for the acknowledgement of its headers.
    disable_nagle_algorithm = True

    def log_request(self, code="-", size="-"):
        """calls.py has the record of requests."""
