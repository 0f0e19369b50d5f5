// What an answer took, in a line.
import { html } from "../lib/preact.js";

/** @type {Record<string, string>} */
const ENDS = { stopped: "stopped by you", length: "ended by its length", content_filter: "filtered" };

const LEAST_SECONDS = 0.1;

/** @param {{ facts: import("../data/tree.js").Facts }} props */
export function Facts({ facts }) {
  const { num_tokens: count, first_seconds: first, seconds, num_cached_tokens: cached, num_prompt_tokens: prompt } = facts;
  const parts = [];
  if (facts.finish && ENDS[facts.finish]) parts.push(ENDS[facts.finish]);
  if (count !== undefined) parts.push(`${count} tokens`);
  // What comes in one piece says nothing of how fast it was written.
  if (count && seconds !== undefined && first !== undefined && seconds - first > LEAST_SECONDS) {
    parts.push(`${rounded((count - 1) / (seconds - first))} tokens/s`);
  }
  if (first !== undefined) parts.push(`first after ${Math.round(first * 1000)} ms`);
  if (prompt !== undefined) parts.push(`prompt ${prompt}${cached ? `, ${cached} cached` : ""}`);
  return parts.length ? html`<span class="facts">${parts.join(" · ")}</span>` : null;
}

/** @param {number} value */
function rounded(value) {
  return value >= 100 ? Math.round(value) : value.toFixed(1);
}
