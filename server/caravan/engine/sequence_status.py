"""What a sequence waits for."""

from enum import Enum


class SequenceStatus(Enum):
    """WAITING has no memory, and WAITING_FOR_GRAMMAR could not use any yet; RUNNING has a sequence id;
    FINISHED has told its client so.
    """

    WAITING_FOR_GRAMMAR = "waiting for grammar"
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
