// What if: the stored logits of a step ranked anew for other parameters, stage by stage, as the server would do it.

import { cutByRank, cutBySurprise } from "./draw.js";
import { isOn, penalised } from "./penalties.js";
import { entropy, probabilities, rowOf, size, sum, total, weights } from "./row.js";
import { dynamicTemperature, minP, scale, topK, topNSigma, topP, typicalP, unknown, xtc } from "./stages.js";

/** @typedef {import("./row.js").Row} Row */
/** @typedef {import("./stages.js").Cut} Cut */

/**
 * Decoding parameters by their names in requests.
 * @typedef {Record<string, any>} Parameters
 */

/**
 * A stage ranked anew: as the server tells it, and what is not known. `most` is how many may be left at most, and
 * `probability_most` how likely a token may be at most.
 * @typedef {object} Ranked
 * @property {string} name
 * @property {number} left
 * @property {number} most
 * @property {number} cut
 * @property {number} cut_probability
 * @property {number | null} entropy in bits
 * @property {number} log_sum_exp
 * @property {{id: number, logit: number, probability: number, probability_most: number}[]} candidates
 * @property {string | null} doubt
 * @property {boolean} isSure whether those that are left are known
 */

/**
 * What the ranking knows beside the row. `acts` says whether chance has XTC act; `mu` is mirostat's limit.
 * @typedef {object} Circumstances
 * @property {boolean} acts
 * @property {number} [mu]
 * @property {number} numTokens of the model's vocabulary
 * @property {readonly number[] | null} [context] token ids of prompt and answer so far, for penalties
 */

export const ORDER = ["top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc"];

/** @type {Record<string, (row: Row, parameters: Parameters, keep: number) => Cut>} */
const STAGES = {
  top_k: (row, parameters, keep) => topK(row, Math.max(parameters.top_k, keep)),
  top_p: (row, parameters, keep) => topP(row, parameters.top_p, keep),
  min_p: (row, parameters, keep) => minP(row, parameters.min_p, keep),
  typical_p: (row, parameters, keep) => typicalP(row, parameters.typical_p, keep),
  top_n_sigma: (row, parameters) => topNSigma(row, parameters.top_n_sigma),
  xtc: (row, parameters, keep) => xtc(row, parameters.xtc_threshold, keep),
  infill: (row) => ({ row: unknown(row), doubt: "infill looks at the texts of a thousand tokens" }),
  temperature,
};

/** @type {Record<string, (parameters: Parameters, acts: boolean) => boolean>} */
const ACTS = {
  top_k: ({ top_k }) => top_k > 0,
  top_p: ({ top_p }) => top_p < 1,
  min_p: ({ min_p }) => min_p > 0,
  typical_p: ({ typical_p }) => typical_p < 1,
  top_n_sigma: ({ top_n_sigma }) => top_n_sigma > 0,
  xtc: ({ xtc_probability, xtc_threshold }, acts) => acts && xtc_probability > 0 && xtc_threshold <= 0.5,
  infill: () => true,
  temperature: () => true,
};

/**
 * The stages that act, in order. @param {Parameters} parameters @param {boolean} acts
 * @returns {string[]}
 */
export function chain(parameters, acts) {
  const order = parameters.samplers ?? ORDER;
  const last = order.includes("temperature") ? [] : ["temperature"];
  return [...order, ...last].filter((name) => ACTS[name]?.(parameters, acts));
}

/**
 * Ranks a row, all that comes before truncation done, through truncation, temperature and draw.
 * @param {Row} row
 * @param {Parameters} parameters
 * @param {Circumstances} circumstances
 * @returns {Ranked[]}
 */
export function rank(row, parameters, circumstances) {
  const keep = parameters.min_keep ?? 0;
  /** @type {Ranked[]} */
  const ranked = [];
  let left = row;
  /** @param {string} name @param {Cut} cut */
  const note = (name, cut) => {
    ranked.push(told(name, left, cut));
    left = cut.row;
  };
  if (circumstances.context) note("penalties", penalised(left, circumstances.context, strengths(parameters)));
  for (const name of chain(parameters, circumstances.acts)) note(name, STAGES[name](left, parameters, keep));
  note("draw", draw(left, parameters, circumstances));
  return ranked;
}

/**
 * Ranks a step as the server told it with other parameters: from the last stage on that these leave as it was.
 * `context` is wanted where penalties change; without it they stay as they were, with a doubt that says so.
 * @param {import("./row.js").Told[]} stages
 * @param {Parameters} before
 * @param {Parameters} parameters
 * @param {Circumstances} circumstances
 * @returns {Ranked[]}
 */
export function rankStep(stages, before, parameters, circumstances) {
  const fixed = stages.filter(({ name }) => ["raw", "bias", "penalties", "dry", "mask"].includes(name));
  const base = fixed[fixed.length - 1];
  const changes = ["repeat_penalty", "presence_penalty", "frequency_penalty", "repeat_last_n"].some(
    (name) => before[name] !== parameters[name],
  );
  if (!changes) return rank(rowOf(base), parameters, { ...circumstances, context: null });
  const earlier = fixed.filter(({ name }) => name === "raw" || name === "bias");
  const isPlain = fixed.every(({ name }) => name !== "dry" && name !== "mask");
  if (!isPlain || !circumstances.context) {
    const ranked = rank({ ...rowOf(base), isSure: false }, parameters, { ...circumstances, context: null });
    const doubt = isPlain ? "the tokens of the text so far are not known" : "DRY or a constraint acts after the penalties";
    return [{ ...told("penalties", rowOf(base), { row: rowOf(base), doubt }), isSure: false }, ...ranked];
  }
  const context = isOn(strengths(parameters)) ? circumstances.context : null;
  return rank(rowOf(earlier[earlier.length - 1]), parameters, { ...circumstances, context });
}

/** Why the last stage is not known, in the words of the stage that is to blame; null where it is. @param {Ranked[]} ranked */
export function verdict(ranked) {
  const last = ranked[ranked.length - 1];
  const isNarrow = last.candidates.every(({ probability, probability_most: most }) => most - probability <= 1e-4);
  if (last.isSure && last.left === last.most && isNarrow) return null;
  const blamed = ranked.find(({ doubt }) => doubt !== null);
  return blamed ? `${blamed.name}: ${blamed.doubt}` : null;
}

/** @param {Row} row @param {Parameters} parameters @returns {Cut} */
function temperature(row, parameters) {
  const { temperature: value, dynatemp_range: spread = 0, dynatemp_exponent: exponent = 1 } = parameters;
  const chosen = dynamicTemperature(row, value, spread ?? 0, exponent ?? 1);
  if (chosen !== null) return scale(row, chosen);
  return { row: { ...row, isSure: false }, doubt: "the entropy that chooses the temperature is not known here" };
}

/** @param {Row} row @param {Parameters} parameters @param {Circumstances} circumstances @returns {Cut} */
function draw(row, parameters, { mu, numTokens }) {
  if ((parameters.adaptive_target ?? -1) >= 0) {
    return { row: { ...row, isSure: false }, doubt: "adaptive-p weighs tokens by all earlier draws" };
  }
  if (!parameters.mirostat || mu === undefined) return { row, doubt: null };
  return parameters.mirostat === 1 ? cutByRank(row, mu, numTokens) : cutBySurprise(row, mu);
}

/** @param {Parameters} parameters */
function strengths(parameters) {
  return {
    repeat: parameters.repeat_penalty ?? 1,
    presence: parameters.presence_penalty ?? 0,
    frequency: parameters.frequency_penalty ?? 0,
    window: parameters.repeat_last_n ?? 64,
  };
}

/** @param {string} name @param {Row} before @param {Cut} cut @returns {Ranked} */
function told(name, before, { row, doubt }) {
  const [left, most] = size(row);
  const chances = probabilities(row);
  const bits = entropy(row);
  return {
    name,
    left,
    most,
    cut: Math.max(size(before)[1] - most, 0),
    cut_probability: lost(before, row),
    entropy: bits === null ? null : bits / Math.LN2,
    log_sum_exp: row.logits[0] + Math.log(total(row)[1]),
    candidates: row.ids.map((id, place) => ({
      id, logit: row.logits[place], probability: chances[place][0], probability_most: chances[place][1],
    })),
    doubt,
    isSure: row.isSure,
  };
}

/** The share of the probability before that the tokens had which have gone. @param {Row} before @param {Row} row */
function lost(before, row) {
  if (row.ids.length === before.ids.length && !before.rest) return 0;
  const kept = new Set(row.ids);
  const gone = sum(weights(before).filter((_, place) => !kept.has(before.ids[place])));
  const restGone = before.rest && !row.rest ? before.rest.mass[1] : 0;
  return (gone + restGone) / total(before)[1];
}
