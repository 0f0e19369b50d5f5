// Server-sent events of a response, as they come.
import { ApiError } from "./client.js";

/**
 * Read the JSON of each event until `[DONE]`. Raises ApiError for an error within the stream, and where it ends before.
 * @param {Response} response
 * @returns {AsyncGenerator<any, void, void>} what the route's schema of a chunk says
 */
export async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(cutOff);
      if (done) cutOff();
      const parts = (rest + value).split("\n\n");
      rest = parts.pop() ?? "";
      for (const part of parts) {
        const data = dataOf(part);
        if (data === "[DONE]") return;
        if (data) yield parsed(data);
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** @param {unknown} [error] @returns {never} */
function cutOff(error) {
  if (error instanceof DOMException && error.name === "AbortError") throw error;
  throw new ApiError("The connection to the server broke off before the answer was whole.");
}

/** @param {string} event */
function dataOf(event) {
  const lines = event.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).trimStart()).join("\n");
}

/** @param {string} data */
function parsed(data) {
  const value = JSON.parse(data);
  if (value.error) throw new ApiError(value.error.message, { param: value.error.param, code: value.error.code });
  return value;
}
