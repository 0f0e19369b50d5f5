// Histograms as Prometheus counts them: how many were at most so much.

/**
 * @typedef {{ upTo: number, count: number }} Bucket how many were in it, and not in one below
 * @typedef {{ buckets: Bucket[], count: number, sum: number }} Histogram
 */

/**
 * Read one, of all models together.
 * @param {import("./metrics.js").Series} series
 * @param {string} name
 * @returns {Histogram}
 */
export function histogramOf(series, name) {
  /** @type {Map<number, number>} */
  const upTo = new Map();
  for (const { labels, value } of series.get(`${name}_bucket`) ?? []) {
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    upTo.set(bound, (upTo.get(bound) ?? 0) + value);
  }
  const sorted = [...upTo].sort(([one], [other]) => one - other);
  const buckets = sorted.map(([bound, count], index) => ({ upTo: bound, count: count - (sorted[index - 1]?.[1] ?? 0) }));
  const add = (/** @type {string} */ part) =>
    (series.get(`${name}_${part}`) ?? []).reduce((all, { value }) => all + value, 0);
  return { buckets, count: add("count"), sum: add("sum") };
}

/**
 * What has come since an earlier reading. Where the server has begun anew, that is all.
 * @param {Histogram} now
 * @param {Histogram | undefined} before
 * @returns {Histogram}
 */
export function since(now, before) {
  if (!before || before.count > now.count || before.buckets.length !== now.buckets.length) return now;
  return {
    buckets: now.buckets.map(({ upTo, count }, index) => ({ upTo, count: count - before.buckets[index].count })),
    count: now.count - before.count,
    sum: now.sum - before.sum,
  };
}

/**
 * The bound that so many stay within: 0.95 for 95 of 100. Null where nothing was counted.
 * @param {Histogram} histogram
 * @param {number} share
 */
export function bound({ buckets, count }, share) {
  let seen = 0;
  for (const bucket of buckets) {
    seen += bucket.count;
    if (count > 0 && seen >= share * count) return bucket.upTo;
  }
  return null;
}

/**
 * Those around what was counted, with one empty bucket at either side where there is one.
 * @param {Histogram} histogram
 */
export function occupied({ buckets }) {
  const first = buckets.findIndex(({ count }) => count > 0);
  if (first < 0) return [];
  const last = buckets.findLastIndex(({ count }) => count > 0);
  return buckets.slice(Math.max(0, first - 1), last + 2);
}
