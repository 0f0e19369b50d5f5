"""What the fields of files and batches mean."""

SENSES = {
    "FileObject": {
        "bytes": "How many bytes the file has.",
        "expires_at": "When the file is deleted, in seconds since 1970.",
        "filename": "What the file was called by who uploaded it, or by its batch.",
        "purpose": "`batch` for a file that was uploaded, `batch_output` for one that a batch has written.",
        "status": "Always `processed`: a file can be used as soon as it is there.",
        "status_details": "Always null.",
    },
    "BatchFault": {
        "line": "The number of the line, from 1; null where it is about the file.",
        "param": "The field at fault; of the request itself, it begins with `body.`.",
    },
    "RequestCounts": {
        "total": "How many lines there are; 0 until all have been checked.",
        "completed": "How many have been answered.",
        "failed": "How many have an error in the place of an answer.",
    },
    "Batch": {
        "endpoint": "The route that all lines are for.",
        "model": "The model, where all lines name the same one.",
        "errors": "What is wrong with the input; null where nothing is.",
        "input_file_id": "The file with the requests.",
        "completion_window": "The time for the whole batch.",
        "status": "How far it has come.",
        "output_file_id": "The file with the answers, in the order of the input, once the batch has ended.",
        "error_file_id": "The file with the errors of the other lines, once the batch has ended.",
        "in_progress_at": "When all lines had been checked, in seconds since 1970.",
        "expires_at": "When its time is over, in seconds since 1970.",
        "finalizing_at": "When its files began to be written, in seconds since 1970.",
        "failed_at": "When its input was refused, in seconds since 1970.",
        "expired_at": "When it ended with lines for which there was no time, in seconds since 1970.",
        "cancelling_at": "When it was cancelled, in seconds since 1970.",
        "cancelled_at": "When it ended, cancelled, in seconds since 1970.",
        "request_counts": "How many lines there are, and what has become of them.",
        "usage": "How many tokens the lines have used so far.",
    },
}
