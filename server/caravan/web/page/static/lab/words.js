// Names and values of parameters and stages, as they are written on the page.

/** @type {Record<string, string>} */
const STAGES = {
  raw: "model", bias: "bias", penalties: "penalties", dry: "DRY", mask: "constraint", top_k: "top-k", top_p: "top-p",
  min_p: "min-p", typical_p: "typical", top_n_sigma: "top-nσ", xtc: "XTC", infill: "infill", temperature: "temperature",
  draw: "draw",
};

/** What each stage does, in a few words. @type {Record<string, string>} */
export const MEANINGS = {
  raw: "what the model itself gives",
  bias: "adds to single tokens, or bans them",
  penalties: "lowers what has been said",
  dry: "lowers what would repeat a passage",
  mask: "leaves what the constraint allows",
  top_k: "keeps the k likeliest",
  top_p: "keeps the fewest that reach p together",
  min_p: "keeps what is at least p times as likely as the likeliest",
  typical_p: "keeps what surprises about as much as expected",
  top_n_sigma: "keeps logits within n deviations of the highest",
  xtc: "drops the top choices but the last of them",
  infill: "fills a gap with what is certain",
  temperature: "sharpens or flattens what is left",
  draw: "one token by chance",
};

/** Parameters whose values a stage's heading shows. @type {Record<string, string[]>} */
const SHOWN = {
  top_k: ["top_k"], top_p: ["top_p"], min_p: ["min_p"], typical_p: ["typical_p"], top_n_sigma: ["top_n_sigma"],
  xtc: ["xtc_threshold"], temperature: ["temperature"], penalties: ["repeat_penalty"], dry: ["dry_multiplier"],
};

/** @param {string} name */
export function stageTitle(name) {
  return STAGES[name] ?? name;
}

/** The value that a stage's heading shows, if any. @param {string} name @param {Record<string, any>} parameters */
export function stageValue(name, parameters) {
  if (name === "draw" && parameters.mirostat) return `mirostat ${parameters.mirostat}`;
  if (name === "draw" && (parameters.adaptive_target ?? -1) >= 0) return "adaptive-p";
  if (name === "temperature" && parameters.dynatemp_range > 0) {
    return `${brief(parameters.temperature)} ± ${brief(parameters.dynatemp_range)}`;
  }
  return (SHOWN[name] ?? []).map((one) => brief(parameters[one])).join(", ");
}

/** A value in little room. @param {unknown} value @returns {string} */
export function brief(value) {
  if (typeof value === "number") return String(Number(value.toPrecision(4)));
  if (Array.isArray(value)) return value.map((one) => stageTitle(String(one))).join(" → ");
  return value === null || value === undefined ? "" : String(value);
}

/** Changed parameters as a name for what came of them. @param {Record<string, unknown>} changes */
export function ranOut(changes) {
  const named = Object.entries(changes).map(([name, value]) => `${name} ${brief(value)}`);
  return named.length ? named.join(", ") : "drawn again";
}
