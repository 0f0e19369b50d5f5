// One answer, from the request to its last chunk, as parts of a message that grow.
import { request } from "../api/client.js";
import { events } from "../api/sse.js";

/**
 * @typedef {import("../data/tree.js").Message} Message
 * @typedef {import("../data/tree.js").Call} Call
 */

/**
 * Send a request, and give what has come so far each time that more comes. Raises ApiError.
 * @param {Record<string, unknown>} body
 * @param {AbortSignal} signal
 * @param {(part: Partial<Message>) => void} grow
 */
export async function streamAnswer(body, signal, grow) {
  const begun = performance.now();
  const answer = newAnswer();
  const response = await request("v1/chat/completions", { body, signal });
  for await (const chunk of events(response)) {
    take(answer, chunk, (performance.now() - begun) / 1000);
    grow(partOf(answer));
  }
  answer.facts.seconds = (performance.now() - begun) / 1000;
  grow(partOf(answer));
}

function newAnswer() {
  return {
    content: "",
    reasoning: "",
    calls: /** @type {Call[]} */ ([]),
    facts: /** @type {import("../data/tree.js").Facts} */ ({}),
  };
}

/**
 * @param {ReturnType<typeof newAnswer>} answer
 * @param {any} chunk a ChatCompletionChunk
 * @param {number} seconds since the request was sent
 */
function take(answer, chunk, seconds) {
  const { facts } = answer;
  const choice = chunk.choices?.[0];
  const delta = choice?.delta ?? {};
  const reasoning = delta.reasoning_content ?? delta.reasoning;
  if (delta.content) answer.content += delta.content;
  if (reasoning) answer.reasoning += reasoning;
  for (const piece of delta.tool_calls ?? []) takeCall(answer, piece);
  if (facts.first_seconds === undefined && (delta.content || reasoning || delta.tool_calls)) facts.first_seconds = seconds;
  if (choice?.finish_reason) facts.finish = choice.finish_reason;
  if (chunk.usage) {
    facts.num_tokens = chunk.usage.completion_tokens;
    facts.num_prompt_tokens = chunk.usage.prompt_tokens;
    facts.num_cached_tokens = chunk.usage.prompt_tokens_details?.cached_tokens ?? 0;
  }
}

/** @param {ReturnType<typeof newAnswer>} answer @param {any} piece of a tool call */
function takeCall(answer, piece) {
  const known = answer.calls[piece.index] ?? { id: "", name: "", arguments: "" };
  const calls = [...answer.calls];
  calls[piece.index] = {
    id: piece.id ?? known.id,
    name: known.name + (piece.function?.name ?? ""),
    arguments: known.arguments + (piece.function?.arguments ?? ""),
  };
  answer.calls = calls;
}

/** @param {ReturnType<typeof newAnswer>} answer @returns {Partial<Message>} */
function partOf({ content, reasoning, calls, facts }) {
  return {
    content,
    ...(reasoning ? { reasoning } : {}),
    ...(calls.length ? { calls } : {}),
    facts: { ...facts },
  };
}
