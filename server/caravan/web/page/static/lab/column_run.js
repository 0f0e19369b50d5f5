// One column's answer as it streams: its text, and what can be measured of it.
import { request } from "../api/client.js";
import { events } from "../api/sse.js";
import { distinct, meanSurprise } from "./measures.js";

/**
 * What has come so far; times in seconds since the request was sent.
 * @typedef {{
 *   text: string, tokens: string[], logprobs: number[], first: number | null, last: number | null,
 *   numTokens: number | null, numPrompt: number | null, numCached: number | null, finish: string | null,
 * }} Answer
 */

/** @returns {Answer} */
export function newAnswer() {
  return {
    text: "", tokens: [], logprobs: [], first: null, last: null, numTokens: null, numPrompt: null, numCached: null,
    finish: null,
  };
}

/**
 * Send a request, and give the answer so far each time that more comes. Raises ApiError.
 * @param {Record<string, unknown>} body with `prompt` or `messages`
 * @param {AbortSignal} signal
 * @param {(answer: Answer) => void} grow
 */
export async function runColumn(body, signal, grow) {
  const isChat = "messages" in body;
  const path = isChat ? "v1/chat/completions" : "v1/completions";
  const asked = { ...body, stream: true, stream_options: { include_usage: true }, logprobs: isChat ? true : 0 };
  const begun = performance.now();
  let answer = newAnswer();
  for await (const chunk of events(await request(path, { body: asked, signal }))) {
    answer = withChunk(answer, chunk, (performance.now() - begun) / 1000);
    grow(answer);
  }
}

/**
 * @param {Answer} answer
 * @param {any} chunk of either route, as its schema says it
 * @param {number} seconds
 * @returns {Answer}
 */
function withChunk(answer, { choices = [], usage }, seconds) {
  const [choice] = choices;
  const text = choice?.text ?? choice?.delta?.content ?? "";
  const thought = choice?.delta?.reasoning_content ?? "";
  const { tokens, logprobs } = tokensOf(choice?.logprobs);
  const isMore = text !== "" || thought !== "" || tokens.length > 0;
  return {
    text: answer.text + thought + text,
    tokens: [...answer.tokens, ...tokens],
    logprobs: [...answer.logprobs, ...logprobs],
    first: answer.first ?? (isMore ? seconds : null),
    last: isMore ? seconds : answer.last,
    numTokens: usage?.completion_tokens ?? answer.numTokens,
    numPrompt: usage?.prompt_tokens ?? answer.numPrompt,
    numCached: usage ? (usage.prompt_tokens_details?.cached_tokens ?? 0) : answer.numCached,
    finish: choice?.finish_reason ?? answer.finish,
  };
}

/** @param {any} told log probabilities of either route */
function tokensOf(told) {
  const content = told?.content ?? [];
  return {
    tokens: /** @type {string[]} */ (told?.tokens ?? content.map((/** @type {any} */ one) => one.token)),
    logprobs: /** @type {number[]} */ (told?.token_logprobs ?? content.map((/** @type {any} */ one) => one.logprob)),
  };
}

/** What is shown of an answer, null where it is not known yet. @param {Answer} answer */
export function measures({ tokens, logprobs, first, last, numTokens, numCached, numPrompt }) {
  const count = numTokens ?? tokens.length;
  const span = first !== null && last !== null ? last - first : 0;
  return {
    count,
    perSecond: count > 1 && span > 0 ? (count - 1) / span : null,
    first,
    numCached,
    numPrompt,
    distinct: distinct(tokens, 2),
    surprise: meanSurprise(logprobs.filter((value) => value > -1000)),
  };
}
