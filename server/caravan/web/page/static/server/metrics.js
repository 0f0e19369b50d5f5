// Prometheus' text format, as `GET /metrics` has it.

/**
 * @typedef {{ labels: Record<string, string>, value: number }} Sample
 * @typedef {Map<string, Sample[]>} Series by the name of the series
 */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/**
 * @param {string} text
 * @returns {Series}
 */
export function parseMetrics(text) {
  /** @type {Series} */
  const series = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const [, name, inside = "", value] = found;
    const sample = { labels: labelsOf(inside), value: number(value) };
    const known = series.get(name);
    if (known) known.push(sample);
    else series.set(name, [sample]);
  }
  return series;
}

/** The sum of a series over all models. @param {Series} series @param {string} name */
export function total(series, name) {
  return (series.get(name) ?? []).reduce((sum, { value }) => sum + value, 0);
}

/** @param {string} inside @returns {Record<string, string>} */
function labelsOf(inside) {
  return Object.fromEntries([...inside.matchAll(LABEL)].map(([, name, value]) => [name, unescaped(value)]));
}

/** @param {string} value */
function unescaped(value) {
  return value.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
}

/** @param {string} text */
function number(text) {
  return text === "+Inf" ? Infinity : Number(text);
}
