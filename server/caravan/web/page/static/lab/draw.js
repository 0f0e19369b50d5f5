// What mirostat leaves out at the draw, by the limit that it had there.

import { first, size, sum, total, where } from "./row.js";

/** @typedef {import("./row.js").Row} Row */

// Of so many of the likeliest mirostat 1 takes the slope, and of this power no more is made.
const LOOKED_AT = 100;
const LOG_MANY = 30;

/**
 * Mirostat 2: what would surprise by no more than mu bits, and the likeliest in any case.
 * @param {Row} row
 * @param {number} mu
 * @returns {import("./stages.js").Cut}
 */
export function cutBySurprise(row, mu) {
  const [low, most] = total(row);
  const least = Math.fround(Math.log(most) - mu * Math.LN2);
  const doubtful = Math.fround(Math.log(low) - mu * Math.LN2);
  const kept = where(row, (place) => row.logits[place] - row.logits[0] >= least, null);
  const isWhole = row.rest !== null && row.rest.bound - row.logits[0] >= doubtful;
  const sure = where(row, (place) => row.logits[place] - row.logits[0] >= doubtful, null);
  if (isWhole) return { row: { ...row, isSure: false }, doubt: "mirostat lets through more than is stored" };
  if (sure.ids.length !== kept.ids.length) {
    return { row: { ...kept, isSure: false }, doubt: "the weight of the tokens that are not stored is not known" };
  }
  return { row: kept.ids.length ? kept : first(row, 1), doubt: null };
}

/**
 * Mirostat 1: the likeliest, as many as an estimated Zipf exponent says.
 * @param {Row} row
 * @param {number} mu
 * @param {number} numTokens of the model's vocabulary
 * @returns {import("./stages.js").Cut}
 */
export function cutByRank(row, mu, numTokens) {
  if (size(row)[1] === 1) return { row, doubt: null };
  if (row.rest && row.ids.length < LOOKED_AT) return { row: { ...row, isSure: false }, doubt: "mirostat 1 looks at 100 tokens" };
  const falling = row.logits.slice(0, LOOKED_AT);
  const steps = falling.slice(1).map((_, rank) => Math.log((rank + 2) / (rank + 1)));
  const falls = steps.map((_, rank) => falling[rank] - falling[rank + 1]);
  const exponent = sum(steps.map((step, rank) => step * falls[rank])) / sum(steps.map((step) => step * step));
  if (!(exponent > 0)) return { row, doubt: null };
  const logCount = (mu * Math.LN2 - Math.log(zipfSum(exponent, numTokens))) / exponent;
  const count = Math.floor(Math.exp(Math.min(Math.max(logCount, 0), LOG_MANY)));
  if (count <= row.ids.length || !row.rest) return { row: first(row, count), doubt: null };
  return { row: { ...row, isSure: false }, doubt: `mirostat lets ${count} tokens through, and only ${row.ids.length} are stored` };
}

/** @param {number} exponent @param {number} numTokens */
function zipfSum(exponent, numTokens) {
  const epsilon = exponent - 1;
  if (Math.abs(epsilon) < 1e-9) return Math.log(numTokens);
  return (1 - Math.exp(-epsilon * Math.log(numTokens))) / epsilon;
}
