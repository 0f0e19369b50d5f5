"""The clients that `make test-clients-all` adds: agents on the command line, and what installs slowly."""

from tests.clients.programs import Program

AGENTS: tuple[Program, ...] = ()
