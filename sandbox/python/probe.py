# Tries what the sandbox must refuse; prints what was not refused, then "done". argv-like settings are
# prepended by the supervisor: CANARY (a host file that must be out of reach), FORKS (may it fork?).
import ctypes
import os
import signal
import socket

libc = ctypes.CDLL(None, use_errno=True)


def attempt(what, function):
    try:
        function()
    except OSError:
        return
    print("not refused:", what)


def system_call(what, *arguments):
    if libc.syscall(*arguments) >= 0:
        print("not refused:", what)


for path in ("/", "/usr", "/etc", "/var", "/dev", os.path.dirname(CANARY)):
    attempt("writing to " + path,
            lambda: os.close(os.open(path + "/assay-probe", os.O_CREAT | os.O_WRONLY)))
attempt("writing to " + CANARY, lambda: os.open(CANARY, os.O_WRONLY))
attempt("reading " + CANARY, lambda: os.open(CANARY, os.O_RDONLY))
attempt("reading /proc/1/environ", lambda: os.open("/proc/1/environ", os.O_RDONLY))
attempt("a network socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
attempt("a local socket", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
if os.getppid():
    attempt("a signal to the parent", lambda: os.kill(os.getppid(), 0))
if not FORKS:
    attempt("fork", lambda: os.fork() or os._exit(0))
if libc.unshare(0x10000000) == 0 or libc.unshare(0x20000) == 0:
    print("not refused: namespaces")
if libc.ptrace(0, 0, 0, 0) == 0:
    print("not refused: ptrace")
with open("note", "w") as note:
    note.write("own directory")
os.kill(os.getpid(), 0)
a, b = socket.socketpair()
a.send(b"x")
if b.recv(1) != b"x":
    print("socket pair does not work")
print("done")
