// A plugin of the viewer: reads the document as what it is, JSON that refers to nothing but itself. The viewer takes
// it for YAML with references anywhere, and reads all of it again for each route that is opened: seconds each time.

export const reading = () => ({
  statePlugins: {
    spec: {
      wrapActions: {
        parseToJson: (/** @type {unknown} */ _, /** @type {any} */ { specActions }) => (/** @type {string} */ text) =>
          specActions.updateJsonSpec(JSON.parse(text)),
      },
    },
  },
  fn: {
    resolveSubtree: async (/** @type {any} */ spec, /** @type {string[]} */ path) => ({
      spec: filled(spec, at(spec, path), []),
      errors: [],
    }),
  },
});

/** @param {any} spec @param {string[]} path */
function at(spec, path) {
  return path.reduce((value, name) => value?.[name], spec);
}

/**
 * Put in what is referred to; what refers to itself is left as it is within itself.
 * @param {any} spec @param {any} value @param {string[]} within @returns {any}
 */
function filled(spec, value, within) {
  if (Array.isArray(value)) return value.map((item) => filled(spec, item, within));
  if (typeof value !== "object" || value === null) return value;
  const { $ref: ref, ...rest } = value;
  if (typeof ref !== "string") {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, filled(spec, item, within)]));
  }
  if (within.includes(ref)) return value;
  const path = ref.replace(/^#\//, "").split("/").map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  return { ...filled(spec, at(spec, path), [...within, ref]), ...rest };
}
