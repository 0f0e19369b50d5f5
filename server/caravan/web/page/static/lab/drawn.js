// What of the reader's settings goes with a request that explains or compares.

/** Parameters that say how many answers there are and how they are told, which these requests say themselves. */
const OTHERS = new Set(["n", "best_of", "stream", "logprobs", "top_logprobs", "prompt_logprobs", "max_tokens", "echo"]);

/**
 * @param {import("../params/settings.js").Settings} settings
 * @returns {Record<string, unknown>}
 */
export function drawn({ model, preset, parameters }) {
  const kept = Object.entries(parameters).filter(([name]) => !OTHERS.has(name));
  return { model, ...(preset ? { preset } : {}), ...Object.fromEntries(kept) };
}
