// What can be counted of a text: how varied it is, and how surprising its tokens were.

/**
 * The share of its runs of n tokens that are no repetition of an earlier one (distinct-n, Li et al. 2016); null where
 * it has none.
 * @param {readonly (string | number)[]} tokens
 * @param {number} n
 */
export function distinct(tokens, n) {
  const runs = tokens.slice(n - 1).map((_, end) => JSON.stringify(tokens.slice(end, end + n)));
  return runs.length ? new Set(runs).size / runs.length : null;
}

/** Mean surprise in bits, null of nothing. @param {readonly number[]} logprobs natural ones */
export function meanSurprise(logprobs) {
  if (!logprobs.length) return null;
  return -logprobs.reduce((total, value) => total + value, 0) / logprobs.length / Math.LN2;
}

/** @param {readonly number[]} values */
export function mean(values) {
  return values.length ? values.reduce((total, value) => total + value, 0) / values.length : null;
}

/** A measure as it is shown. @param {number | null} value @param {number} digits @param {string} [unit] */
export function measure(value, digits, unit = "") {
  return value === null || !Number.isFinite(value) ? "–" : `${value.toFixed(digits)}${unit && `\u202f${unit}`}`;
}
