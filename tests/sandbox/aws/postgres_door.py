"""The doors of database servers: where clients come in, with TLS, which the servers of the sandbox know nothing of.

A door has a port of its own, which stays that of its name whatever server is behind it: endpoints of Amazon RDS are made
of the name of an instance. "Message Flow" and "Message Formats" of the frontend/backend protocol (PostgreSQL
documentation) say how a connection begins; after that everything is passed on as it is.
"""

import contextlib
import datetime
import ipaddress
import os
import select
import socket
import ssl
import struct
import threading

import pg8000
import scramp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import postgres
from postgres import HOST

# What a connection may begin with instead of a start-up message: a length, and a code in place of a version.
SSL_REQUEST, GSS_REQUEST = (struct.pack("!ii", 8, code) for code in (80877103, 80877104))
YES, NO = b"S", b"N"
# Protocol 3.0, and what an authentication message may ask for.
VERSION = struct.pack("!i", 196608)
CLEARTEXT_PASSWORD, SASL, SASL_CONTINUE, SASL_FINAL = 3, 10, 11, 12
SIZE = struct.Struct("!i")
LONGEST_START = 10_000
# "PostgreSQL Error Codes": invalid_authorization_specification.
NOT_AUTHORIZED = "28000"


class Door:
    """Where clients of one name come in."""

    def __init__(self):
        self.port = postgres.new_port()
        #: Whether who comes without TLS is sent away ("Using SSL with a PostgreSQL DB instance": `rds.force_ssl`).
        self.needs_tls = True
        #: Who may say which users have tokens instead of passwords, and whether one is good.
        self.tokens = None
        self._listener = None
        self._connections = set()

    @property
    def is_open(self):
        return self._listener is not None

    def open_to(self, server):
        """Let clients in to a server, and to no other than that."""
        self.close()
        self._listener = socket.create_server((HOST, self.port))
        threading.Thread(target=self._welcome, args=(self._listener, server.port), daemon=True).start()

    def close(self):
        """Let nobody in, and send away who is in."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # Closing alone does not wake the thread that waits for clients.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in list(self._connections):
            _hang_up(connection)

    def _welcome(self, listener, port):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client, port), daemon=True).start()

    def _serve(self, client, port):
        server = None
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client, start = self._begun(client)
            if start is None:
                return
            user = _user_of(start)
            has_token = user is not None and self.tokens is not None and self.tokens.are_asked_of(user)
            if has_token and not self._is_let_in(client, user):
                return
            # It has to be in effect before the server looks for it.
            password = self.tokens.password_of(user) if has_token else None
            server = socket.create_connection((HOST, port))
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections |= {client, server}
            server.sendall(start)
            if has_token:
                client.sendall(_authenticate(server, user, password))
            _pass_on(client, server)
        except (OSError, ValueError, pg8000.Error):
            pass  # Either side has gone away, and so does the other.
        finally:
            for each in filter(None, (client, server)):
                self._connections.discard(each)
                each.close()

    def _begun(self, client):
        """The connection, encrypted if the client wants that, and its start-up message; None if it is sent away."""
        start = _start_of(client)
        while start in (SSL_REQUEST, GSS_REQUEST):
            client.sendall(YES if start == SSL_REQUEST else NO)
            if start == SSL_REQUEST:
                client = _context().wrap_socket(client, server_side=True)
            start = _start_of(client)
        if start is not None and self.needs_tls and not isinstance(client, ssl.SSLSocket):
            client.sendall(_refusal(f'no pg_hba.conf entry for host "{HOST}", no encryption'))
            return client, None
        return client, start


    def _is_let_in(self, client, user):
        """Ask a client for a token; who has none that is good is sent away."""
        token = None
        if isinstance(client, ssl.SSLSocket):
            client.sendall(_message(b"R", SIZE.pack(CLEARTEXT_PASSWORD)))
            kind, body = _message_of(client)
            token = body.rstrip(b"\0").decode("utf-8", "replace") if kind == b"p" else None
        if token is not None and self.tokens.are_good(user, token):
            return True
        client.sendall(_refusal(f'PAM authentication failed for user "{user}"'))
        return False


class Authority:
    """A certificate authority of this process, and the certificate that it gave to all its servers."""

    def __init__(self, directory):
        self.path, self.certificate = (os.path.join(directory, name) for name in ("authority.pem", "server.pem"))
        own_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        own_name, server_name = (_named(name) for name in ("Databases of the sandbox", HOST))
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")])
        pem = serialization.Encoding.PEM
        own = _signed(own_name, own_key, own_name, own_key, constraints)
        server = _signed(server_name, server_key, own_name, own_key, names)
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        for path, text in (
            (self.path, own.public_bytes(pem)),
            (self.certificate, server.public_bytes(pem) + server_key.private_bytes(pem, *plain)),
        ):
            with open(path, "wb") as file:
                file.write(text)


@postgres.once
def authority():
    """The authority that clients are to trust."""
    return Authority(postgres.new_directory("authority"))


@postgres.once
def _context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority().certificate)
    return context


def _named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _signed(name, key, issuer, issuers_key, extension):
    now = datetime.datetime.now(datetime.timezone.utc)
    issuers_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuers_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuers_id, critical=False)
    )
    return builder.sign(issuers_key, hashes.SHA256())


def _start_of(client):
    """The first message of a client, with its length; None when there is none."""
    length = _exactly(client, SIZE.size)
    if length is None or not 2 * SIZE.size <= SIZE.unpack(length)[0] <= LONGEST_START:
        return None
    rest = _exactly(client, SIZE.unpack(length)[0] - SIZE.size)
    return None if rest is None else length + rest


def _exactly(client, count):
    found = b""
    while len(found) < count:
        more = client.recv(count - len(found))
        if not more:
            return None
        found += more
    return found


def _refusal(message):
    """An ErrorResponse."""
    fields = {"S": "FATAL", "V": "FATAL", "C": NOT_AUTHORIZED, "M": message}
    return _message(b"E", b"".join(f"{kind}{text}\0".encode() for kind, text in fields.items()) + b"\0")


def _message(kind, body):
    return kind + SIZE.pack(len(body) + SIZE.size) + body


def _message_of(connection):
    """The kind and body of the next message; nothing of either at the end."""
    head = _exactly(connection, 1 + SIZE.size)
    body = _exactly(connection, SIZE.unpack(head[1:])[0] - SIZE.size) if head else None
    return (head[:1], body) if body is not None else (b"", b"")


def _user_of(start):
    """The user of a StartupMessage; None of another, such as a CancelRequest."""
    version, rest = start[SIZE.size : 2 * SIZE.size], start[2 * SIZE.size :]
    if version != VERSION:
        return None
    members = rest.decode("utf-8", "replace").split("\0")
    return dict(zip(members[::2], members[1::2])).get("user")


def _authenticate(server, user, password):
    """Be authenticated as a user by SCRAM ("SASL Authentication"); returns the last message, which is for the client."""
    scram = scramp.ScramClient(["SCRAM-SHA-256"], user, password)
    while True:
        kind, body = _message_of(server)
        step = SIZE.unpack(body[: SIZE.size])[0] if kind == b"R" else None
        said = body[SIZE.size :].decode() if kind == b"R" else None
        if step == SASL:
            first = scram.get_client_first().encode()
            server.sendall(_message(b"p", b"SCRAM-SHA-256\0" + SIZE.pack(len(first)) + first))
        elif step == SASL_CONTINUE:
            scram.set_server_first(said)
            server.sendall(_message(b"p", scram.get_client_final().encode()))
        elif step == SASL_FINAL:
            scram.set_server_final(said)
        else:
            return _message(kind, body)


def _pass_on(client, server):
    """Pass on what either side says until one goes away. In one thread, because what is encrypted takes no two at once."""
    while True:
        waiting = isinstance(client, ssl.SSLSocket) and client.pending()
        ready = [client] if waiting else select.select([client, server], [], [])[0]
        for source in ready:
            data = _what_is_there(source)
            if data == b"":
                return
            (server if source is client else client).sendall(data or b"")


def _what_is_there(source):
    """What can be read at once: nothing at the end, None if there is only a part of what can be decrypted."""
    source.setblocking(False)
    try:
        return source.recv(65536)
    except (ssl.SSLWantReadError, BlockingIOError):
        return None
    finally:
        source.setblocking(True)


def _hang_up(connection):
    with contextlib.suppress(OSError):
        # Of the socket itself: to say good-bye in TLS could wait for a client that does not listen.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
