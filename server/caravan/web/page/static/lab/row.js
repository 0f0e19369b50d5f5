// A row of logits as far as it is stored: the likeliest tokens one by one, and of the rest what is known of it together.

/**
 * The tokens that are not stored one by one. None of them is likelier than `bound`, a logit; weights are
 * exp(logit - peak). `count` and `mass` are the least and the most that may be; `moment` is the sum of
 * weight x (logit - peak), `deviation` the standard deviation of all logits of the row; null: not known.
 * @typedef {object} Rest
 * @property {Range} count
 * @property {Range} mass
 * @property {number} bound
 * @property {number | null} moment
 * @property {number | null} deviation
 */

/** @typedef {readonly [number, number]} Range */

/**
 * Known tokens, likeliest first, of equal ones the lower id first, and the rest, null where nothing else is left.
 * `isSure` is false once it is not known which of the known ones are left.
 * @typedef {object} Row
 * @property {readonly number[]} ids
 * @property {readonly number[]} logits
 * @property {Rest | null} rest
 * @property {boolean} isSure
 */

/**
 * A stage as the server tells it.
 * @typedef {object} Told
 * @property {string} name
 * @property {number} left
 * @property {number} entropy in bits
 * @property {number} log_sum_exp
 * @property {number | null} [deviation]
 * @property {{id: number, logit: number}[]} candidates
 */

/**
 * @param {Told} stage
 * @returns {Row}
 */
export function rowOf(stage) {
  const known = [...stage.candidates].sort((one, other) => other.logit - one.logit || one.id - other.id);
  const ids = known.map((candidate) => candidate.id);
  const logits = known.map((candidate) => candidate.logit);
  const count = stage.left - known.length;
  if (count <= 0) return { ids, logits, rest: null, isSure: true };
  const logTotal = stage.log_sum_exp - logits[0];
  const total = Math.exp(logTotal);
  const row = { ids, logits, rest: null, isSure: true };
  const mass = Math.max(total - sum(weights(row)), 0);
  const moment = total * (logTotal - stage.entropy * Math.LN2) - knownMoment(row);
  const bound = logits[logits.length - 1];
  const rest = {
    count: exactly(count), mass: exactly(mass), bound, moment: Math.min(moment, 0), deviation: stage.deviation ?? null,
  };
  return { ...row, rest };
}

/** @param {number} value @returns {Range} */
export function exactly(value) {
  return [value, value];
}

/** The known weights: 1 for the likeliest. @param {Row} row */
export function weights(row) {
  return row.logits.map((logit) => Math.exp(logit - row.logits[0]));
}

/** @param {readonly number[]} values */
export function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/** The least and the most that all weights come to. @param {Row} row @returns {Range} */
export function total(row) {
  const known = sum(weights(row));
  return row.rest ? [known + row.rest.mass[0], known + row.rest.mass[1]] : exactly(known);
}

/** How many tokens are left, at least and at most. @param {Row} row @returns {Range} */
export function size(row) {
  const known = row.ids.length;
  return row.rest ? [known + row.rest.count[0], known + row.rest.count[1]] : exactly(known);
}

/** The mean surprise of a draw in nats, null where it is not known. @param {Row} row */
export function entropy(row) {
  if (row.rest && row.rest.moment === null) return null;
  const all = total(row)[1];
  return Math.log(all) - (knownMoment(row) + (row.rest?.moment ?? 0)) / all;
}

/** The standard deviation of all logits, null where it is not known. @param {Row} row */
export function deviation(row) {
  if (row.rest) return row.rest.deviation;
  const below = row.logits.map((logit) => logit - row.logits[0]);
  const mean = sum(below) / below.length;
  return Math.sqrt(Math.max(sum(below.map((value) => value * value)) / below.length - mean * mean, 0));
}

/** The first of the known ones, and no rest. @param {Row} row @param {number} count @returns {Row} */
export function first(row, count) {
  return { ...row, ids: row.ids.slice(0, count), logits: row.logits.slice(0, count), rest: null };
}

/**
 * Those of the known ones for which it holds; the rest stays or goes.
 * @param {Row} row
 * @param {(place: number) => boolean} keeps
 * @param {Rest | null} rest
 * @returns {Row}
 */
export function where(row, keeps, rest) {
  const places = row.ids.map((_, place) => place).filter(keeps);
  return { ...row, ids: places.map((place) => row.ids[place]), logits: places.map((place) => row.logits[place]), rest };
}

/**
 * A part of the rest, of which neither mean nor spread is known any more.
 * @param {Rest} rest
 * @param {Range} count
 * @param {Range} mass
 * @returns {Rest | null}
 */
export function part(rest, count, mass) {
  if (count[1] <= 0) return null;
  return { count, mass, bound: rest.bound, moment: null, deviation: null };
}

/** How likely each known token is, at least and at most. @param {Row} row @returns {Range[]} */
export function probabilities(row) {
  const [least, most] = total(row);
  return weights(row).map((weight) => [weight / most, weight / least]);
}

/** @param {Row} row */
function knownMoment(row) {
  return sum(row.logits.map((logit) => Math.exp(logit - row.logits[0]) * (logit - row.logits[0])));
}
