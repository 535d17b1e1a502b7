"""Fork server: a warm interpreter that makes one fresh, locked-up process per program.

Process 1 (main) imports what programs commonly import and forks a slot server per worker of the
supervisor; a slot server forks one child per program, puts it into its sandbox (guard.so) and hands
it to the role, assay_candidate or assay_checker. Neither ever sees a program or a test itself:
those come to the child over its own wire, after it is locked up.

Descriptors in a child: 0 1 2 standard streams, 3 wire to the supervisor, 4 link between candidate
and checker.
"""
import array
import ctypes
import gc
import importlib.util
import os
import select
import signal
import socket
import struct
import sys

WIRE, LINK = 3, 4
_HEADER = struct.Struct("<cI")
_INT_BYTES = array.array("i").itemsize
_FLAG_NAMESPACES = 1
_ERROR_BYTES = 512


# Fields: a list of byte strings, each preceded by its length.

def pack_fields(*fields):
    out = [struct.pack("<I", len(fields))]
    for field in fields:
        out.append(struct.pack("<I", len(field)))
        out.append(field)
    return b"".join(out)


def unpack_fields(data):
    (count,) = struct.unpack_from("<I", data, 0)
    at, fields = 4, []
    for _ in range(count):
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        fields.append(bytes(data[at:at + size]))
        at += size
    return fields


# Frames on a stream: tag, length, payload.

def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def read_exactly(fd, count):
    """None at end of file."""
    parts = []
    while count:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def pack_frame(tag, payload):
    return _HEADER.pack(tag, len(payload)) + payload


def send_frame(fd, tag, payload):
    if len(payload) < 65536:
        write_all(fd, pack_frame(tag, payload))
    else:
        write_all(fd, _HEADER.pack(tag, len(payload)))
        write_all(fd, payload)


def read_frame(fd, limit):
    """(tag, payload); None at end of file; ValueError if it is larger than limit."""
    header = read_exactly(fd, _HEADER.size)
    if header is None:
        return None
    tag, size = _HEADER.unpack(header)
    if size > limit:
        raise ValueError("frame of %d bytes" % size)
    payload = read_exactly(fd, size)
    return None if payload is None else (tag, payload)


def _receive(control):
    data, ancillary, _, _ = control.recvmsg(1 << 18, socket.CMSG_SPACE(16 * 4))
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
    return data, fds


def _send(control, data, fds=()):
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    control.sendmsg([data], ancillary)


class _Guard:
    def __init__(self, library, flags, filter_code, readable, writable):
        self.library = library
        self.flags = flags
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        code = library.guard_configure(
            ctypes.c_uint32(flags), filter_code, ctypes.c_uint32(len(filter_code)), writable,
            readable, ctypes.c_uint32(len(readable)), error, ctypes.c_size_t(_ERROR_BYTES))
        if code:
            raise OSError(code, error.value.decode())
        self._fork = library.guard_fork
        self._fork.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint32]

    def fork(self, limits, descriptors, link):
        """As os.fork, with a negative errno value for a failure; the child comes back locked up, with
        "ready" reported, or not at all."""
        return self._fork(limits, descriptors, len(descriptors) // _INT_BYTES, link)


def _child(role):
    frame = read_frame(WIRE, 1 << 31)
    if frame is None:
        os._exit(71)
    role.run(unpack_fields(frame[1]))


def _slot(role, config, control, writable):
    try:
        guard = _Guard(*config, writable)
    except OSError as error:
        _send(control, b"E" + str(error).encode())
        os._exit(70)
    if not guard.flags & _FLAG_NAMESPACES:
        os.environ["TMPDIR"] = writable.decode()
    _send(control, b"H")
    if _receive(control)[0] != b"G":  # the supervisor has moved this process to its control group
        os._exit(0)
    poll = select.poll()
    poll.register(control.fileno(), select.POLLIN)
    while True:
        message, fds = _receive(control)
        if not message:
            os._exit(0)
        # message: tag, whether there is a link ("L" or "-"), limits
        pid = guard.fork(message[2:], fds.tobytes(), message[1:2] == b"L")
        if pid == 0:
            try:
                _child(role)
            finally:
                os._exit(72)
        if pid < 0:
            _send(control, b"Efork: " + os.strerror(-pid).encode())
            os._exit(70)
        pidfd = os.pidfd_open(pid)
        _send(control, b"P", [pidfd])
        for fd in fds:
            os.close(fd)
        poll.register(pidfd, select.POLLIN)
        gone = False
        while True:
            ready_fds = [fd for fd, _ in poll.poll()]
            if pidfd in ready_fds:
                break
            os.kill(pid, signal.SIGKILL)  # the supervisor hung up, or spoke out of turn
            gone = True
            poll.unregister(control.fileno())
        poll.unregister(pidfd)
        _, status, usage = os.wait4(pid, 0)
        os.close(pidfd)
        if gone:
            os._exit(0)
        _send(control, b"X" + struct.pack("<iddq", status, usage.ru_utime, usage.ru_stime,
                                          usage.ru_maxrss))


def _warm(names):
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            pass


# CPython specialises code that has run eight times, some only after another eight.
_REHEARSALS = 20


def rehearse(frames, play):
    """Calls `play` with a link on which `frames` are waiting, and forgets what it writes there.

    What a program's life will need has then been looked up, cached, specialised and allocated once for
    all children.
    """
    for _ in range(_REHEARSALS):
        ours, theirs = socket.socketpair()
        os.dup2(theirs.fileno(), LINK)
        ours.sendall(b"".join(frames))
        play()
        ours.close()
        theirs.close()


def main(role):
    control = socket.socket(fileno=WIRE)
    fields = unpack_fields(_receive(control)[0])
    path, flags, server_filter, program_filter, readable, modules = fields
    library = ctypes.PyDLL(path.decode())  # guard_fork needs Python's lock held
    config = library, int(flags), program_filter, readable
    _warm(modules.decode().split())
    has_numpy = importlib.util.find_spec("numpy") is not None
    role.prepare()
    os.close(LINK)
    sys.argv = [""]
    os.dup2(1, 2)  # standard error was kept for errors at start; from here on it is /dev/null
    gc.collect()
    gc.freeze()
    code = library.guard_filter_server(server_filter, ctypes.c_uint32(len(server_filter)))
    if code:
        _send(control, b"Ethe system call filter of the server: " + os.strerror(code).encode())
        os._exit(70)
    _send(control, b"H" + pack_fields(sys.version.split()[0].encode(),
                                      b"1" if has_numpy else b"0"))
    while True:
        message, fds = _receive(control)
        if not message:
            os._exit(0)
        while True:  # slot servers that ended
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        pid = os.fork()
        if pid == 0:
            try:
                control.close()
                _slot(role, config, socket.socket(fileno=fds[0]), message[1:])
            finally:
                os._exit(73)
        for fd in fds:
            os.close(fd)
