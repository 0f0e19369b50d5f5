// What each truncating sampler leaves of a row, and the temperature: the server's stages on what is stored of a row.
// Where that does not suffice, a stage leaves what may be left, and says why.

import { deviation, entropy, first, part, probabilities, size, sum, total, weights, where } from "./row.js";

/** @typedef {import("./row.js").Row} Row */
/** @typedef {import("./row.js").Range} Range */
/** @typedef {import("./row.js").Rest} Rest */
/** `doubt` says what cannot be known here. @typedef {{row: Row, doubt: string | null}} Cut */

/** @param {Row} row @returns {Cut} */
const sure = (row) => ({ row, doubt: null });

/** @param {Row} row @param {string} wants */
const beyond = (row, wants) => `${wants}, and only the ${row.ids.length} likeliest are stored`;

/**
 * The k likeliest; 0 keeps all.
 * @param {Row} row
 * @param {number} k
 * @returns {Cut}
 */
export function topK(row, k) {
  const { rest } = row;
  if (k <= 0 || k >= size(row)[1]) return sure(row);
  if (k <= row.ids.length || !rest) return sure(first(row, k));
  const wanted = k - row.ids.length;
  const share = Math.min(wanted / rest.count[1], 1);
  /** @type {Range} */
  const count = [Math.min(wanted, rest.count[0]), Math.min(wanted, rest.count[1])];
  /** @type {Range} */
  const mass = [rest.mass[0] * share, Math.min(rest.mass[1], wanted * heaviest(row))];
  return { row: { ...row, rest: part(rest, count, mass) }, doubt: beyond(row, `${k} tokens are wanted`) };
}

/**
 * The fewest likeliest whose probabilities reach p together.
 * @param {Row} row
 * @param {number} p
 * @param {number} minKeep
 * @returns {Cut}
 */
export function topP(row, p, minKeep) {
  if (p >= 1) return sure(row);
  const [least, most] = total(row);
  const fewest = Math.max(reaching(row, p * least), minKeep);
  const count = Math.max(reaching(row, p * most), minKeep);
  if (count <= row.ids.length || !row.rest) {
    if (fewest === count) return sure(first(row, count));
    const doubt = `between ${fewest} and ${count} tokens are enough, since the weight of the others is not known`;
    return { row: { ...first(row, count), isSure: false }, doubt };
  }
  const doubt = beyond(row, `${percent(p)} of the probability is wanted`);
  const isSure = row.isSure && fewest >= row.ids.length;
  return { row: { ...row, rest: needed(row, row.rest, [p * least, p * most], minKeep), isSure }, doubt };
}

/**
 * What of the rest is needed to reach a sum of weights that the known ones do not reach.
 * @param {Row} row
 * @param {Rest} rest
 * @param {Range} goal
 * @param {number} minKeep
 */
function needed(row, rest, goal, minKeep) {
  const [heavy, known] = [heaviest(row), sum(weights(row))];
  const missing = Math.min(Math.max(goal[0] - known, 0), rest.mass[1]);
  // The token that reaches the sum may pass it.
  const most = minKeep > row.ids.length ? rest.mass[1] : Math.min(goal[1] - known + heavy, rest.mass[1]);
  const count = Math.max(Math.ceil(missing / heavy), minKeep - row.ids.length);
  return part(rest, [Math.min(count, rest.count[0]), rest.count[1]], [missing, most]);
}

/**
 * All at least p times as likely as the likeliest.
 * @param {Row} row
 * @param {number} p
 * @param {number} minKeep
 * @returns {Cut}
 */
export function minP(row, p, minKeep) {
  if (p <= 0) return sure(row);
  const least = Math.fround(row.logits[0] + Math.fround(Math.log(p)));
  const above = where(row, (place) => row.logits[place] >= least, null);
  if (!row.rest || row.rest.bound < least) {
    return above.ids.length >= minKeep ? sure(above) : topK(row, minKeep);
  }
  const { count, mass } = row.rest;
  const most = Math.max(Math.min(count[1], Math.floor((mass[1] * 1.000001) / p)), Math.min(count[1], minKeep - row.ids.length));
  return {
    row: { ...row, rest: part(row.rest, [0, most], [0, mass[1]]) },
    doubt: beyond(row, `tokens down to ${percent(p)} of the likeliest are wanted`),
  };
}

/**
 * Those with surprise closest to the mean surprise, until they exceed p together.
 * @param {Row} row
 * @param {number} p
 * @param {number} minKeep
 * @returns {Cut}
 */
export function typicalP(row, p, minKeep) {
  if (p >= 1) return sure(row);
  const mean = entropy(row);
  if (mean === null) return { row: unknown(row), doubt: "the mean surprise of what is left here is not known" };
  const all = total(row)[1];
  const typical = Math.log(all) + row.logits[0] - mean;
  const distance = row.logits.map((logit) => Math.abs(logit - typical));
  const order = row.ids.map((_, place) => place).sort(
    (one, other) => distance[one] - distance[other] || row.logits[one] - row.logits[other] || one - other,
  );
  const known = weights(row);
  let reached = 0;
  let count = 0;
  while (count < order.length && reached <= p * all) reached += known[order[count++]];
  count = Math.max(reached > p * all ? count : count + 1, minKeep);
  const kept = new Set(order.slice(0, count));
  const isKnown = count <= order.length && order.slice(0, count).every((place) => distance[place] < nearest(row, typical));
  if (!row.rest || isKnown) return sure(where(row, (place) => kept.has(place), null));
  return { row: unknown(row), doubt: beyond(row, "tokens near the mean surprise are wanted") };
}

/**
 * All within n standard deviations of the highest logit.
 * @param {Row} row
 * @param {number} n
 * @returns {Cut}
 */
export function topNSigma(row, n) {
  if (n <= 0 || size(row)[1] <= 1) return sure(row);
  const spread = deviation(row);
  if (spread === null) return { row: unknown(row), doubt: "the spread of all logits is not known here" };
  const least = row.logits[0] - n * spread;
  const above = where(row, (place) => row.logits[place] >= least, null);
  if (!row.rest || row.rest.bound < least) return sure(above);
  const { count, mass } = row.rest;
  return {
    row: { ...row, rest: part(row.rest, [0, count[1]], [0, mass[1]]) },
    doubt: beyond(row, `tokens within ${n} standard deviations are wanted`),
  };
}

/**
 * Of those as likely as the threshold, all but the least likely go. This is what happens where chance has it act.
 * @param {Row} row
 * @param {number} threshold
 * @param {number} minKeep
 * @returns {Cut}
 */
export function xtc(row, threshold, minKeep) {
  if (threshold > 0.5 || size(row)[1] < 2) return sure(row);
  const chances = probabilities(row);
  const dropped = chances.filter(([least]) => least >= threshold).length - 1;
  const perhaps = chances.filter(([, most]) => most >= threshold).length - 1;
  const isBeyond = row.rest !== null && Math.exp(row.rest.bound - row.logits[0]) / total(row)[0] >= threshold;
  if (dropped !== perhaps || isBeyond) {
    return { row: { ...row, isSure: false }, doubt: beyond(row, `all tokens down to ${percent(threshold)} are looked at`) };
  }
  if (dropped < 1 || size(row)[0] - dropped < minKeep) return sure(row);
  return sure(where(row, (place) => place >= dropped, row.rest && lowered(row, row.rest, dropped)));
}

/**
 * Divides the logits by the temperature; 0 leaves the likeliest alone.
 * @param {Row} row
 * @param {number} temperature
 * @returns {Cut}
 */
export function scale(row, temperature) {
  if (temperature <= 0) return sure(first(row, 1));
  if (temperature === 1) return sure(row);
  const logits = row.logits.map((logit) => Math.max((logit - row.logits[0]) / temperature, -3.4028234663852886e38));
  const { rest } = row;
  if (!rest) return sure({ ...row, logits });
  const bound = (rest.bound - row.logits[0]) / temperature;
  const mass = tempered(row, rest, temperature);
  const deviated = rest.deviation === null ? null : rest.deviation / temperature;
  const doubt = (mass[1] - mass[0]) / (1 + mass[0]) > 1e-5 ? beyond(row, "the temperature changes the weight of every token") : null;
  return { row: { ...row, logits, rest: { ...rest, bound, mass, moment: null, deviation: deviated } }, doubt };
}

/**
 * The temperature between temperature - spread and + spread that the entropy chooses; null where it is not known.
 * @param {Row} row
 * @param {number} temperature
 * @param {number} spread
 * @param {number} exponent
 */
export function dynamicTemperature(row, temperature, spread, exponent) {
  const [least, most] = size(row);
  if (spread <= 0 || most <= 1) return temperature;
  const mean = entropy(row);
  if (mean === null || least !== most) return null;
  const low = Math.max(0, temperature - spread);
  return low + (temperature + spread - low) * Math.pow(Math.max(0, mean / Math.log(most)), exponent);
}

/** Anything may be left but the likeliest may be gone, too. @param {Row} row @returns {Row} */
export function unknown(row) {
  const rest = row.rest && part(row.rest, [0, row.rest.count[1]], [0, row.rest.mass[1]]);
  return { ...row, rest, isSure: false };
}

/** @param {number} share */
export function percent(share) {
  return `${Number((share * 100).toPrecision(4))} %`;
}

/** The most that a token of the rest may weigh. @param {Row} row */
function heaviest(row) {
  return row.rest ? Math.exp(row.rest.bound - row.logits[0]) : 0;
}

/** How many of the known reach a sum of weights; one more than there are where all do not. @param {Row} row @param {number} goal */
function reaching(row, goal) {
  let reached = 0;
  for (const [place, weight] of weights(row).entries()) {
    reached += weight;
    if (reached >= goal) return place + 1;
  }
  return row.ids.length + (row.rest ? 1 : 0);
}

/** How near to the typical logit a token of the rest may be. @param {Row} row @param {number} typical */
function nearest(row, typical) {
  return row.rest ? Math.max(typical - row.rest.bound, 0) : Infinity;
}

/**
 * The rest by the weights of a new likeliest token.
 * @param {Row} row
 * @param {Rest} rest
 * @param {number} place
 */
function lowered(row, rest, place) {
  const lift = Math.exp(row.logits[0] - row.logits[place]);
  const fall = row.logits[0] - row.logits[place];
  const moment = rest.moment === null ? null : (rest.moment + rest.mass[1] * fall) * lift;
  /** @type {Range} */
  const mass = [rest.mass[0] * lift, rest.mass[1] * lift];
  return { ...rest, mass, moment, deviation: null };
}

/**
 * Bounds of the rest's weight, each weight raised to 1 / temperature: alike, or as unlike as they can be.
 * @param {Row} row
 * @param {Rest} rest
 * @param {number} temperature
 * @returns {Range}
 */
function tempered(row, rest, temperature) {
  const power = 1 / temperature;
  const top = heaviest(row);
  /** @param {number} mass @param {number} count */
  const alike = (mass, count) => (count > 0 ? count * Math.pow(mass / count, power) : 0);
  /** @param {number} mass */
  const unlike = (mass) => {
    if (top === 0) return 0;
    const full = Math.floor(mass / top);
    return full * Math.pow(top, power) + Math.pow(Math.max(mass - full * top, 0), power);
  };
  if (temperature > 1) return [unlike(rest.mass[0]), alike(rest.mass[1], rest.count[1])];
  return [alike(rest.mass[0], rest.count[1]), unlike(rest.mass[1])];
}
