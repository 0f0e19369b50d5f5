"""Signals: which of them end a server in good order, and which do nothing."""

import signal

# A terminal that closes, and Ctrl-\, too: whoever has a stream is to have its end.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Those that a launcher such as `nohup` has ignored stay so.
_MAY_BE_IGNORED = (signal.SIGHUP, signal.SIGQUIT)
_IDLE = (signal.SIGUSR1, signal.SIGUSR2)

# What reaches the whole group, or every process of a service: the server decides when its children end.
OF_THE_GROUP = (*_ENDING, *_IDLE)


def ending() -> tuple[signal.Signals, ...]:
    """List those that tell the server to end."""
    return tuple(
        number
        for number in _ENDING
        if number not in _MAY_BE_IGNORED or signal.getsignal(number) is not signal.SIG_IGN
    )


def ignore_idle() -> None:
    """Ignore those that would end a process and mean nothing to this one."""
    for number in _IDLE:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.SIG_IGN)


def ignore_all() -> None:
    """Leave all of them to the parent, and no longer hold back those that came before this."""
    for number in OF_THE_GROUP:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_THE_GROUP)
