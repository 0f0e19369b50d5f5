// A plugin of the viewer: finds routes by all that is said of them, and by the fields of their requests.

/** @param {Record<string, any>} spec */
export function searching(spec) {
  const texts = indexed(spec);
  /** @param {string} method @param {string} path @param {string[]} words */
  const matches = (method, path, words) => {
    const text = texts.get(`${method} ${path}`) ?? "";
    return words.every((word) => text.includes(word));
  };
  /** @param {any} groups @param {string} phrase */
  const opsFilter = (groups, phrase) =>
    groups
      .map((/** @type {any} */ group) =>
        group.update("operations", (/** @type {any} */ all) =>
          all.filter((/** @type {any} */ one) => matches(one.get("method"), one.get("path"), wordsOf(phrase))),
        ),
      )
      .filter((/** @type {any} */ group) => group.get("operations").size > 0);
  const count = (/** @type {string} */ phrase) =>
    [...texts.values()].filter((text) => wordsOf(phrase).every((word) => text.includes(word))).length;
  return (/** @type {any} */ { React }) => ({
    fn: { opsFilter },
    components: {
      FilterContainer: field(React.createElement, count, texts.size),
      // There is one server, and this page is its.
      ServersContainer: () => null,
    },
  });
}

/** @param {Function} h @param {(phrase: string) => number} count @param {number} total */
function field(h, count, total) {
  return (/** @type {any} */ { layoutSelectors, layoutActions }) => {
    const found = layoutSelectors.currentFilter();
    const phrase = typeof found === "string" && found !== "true" ? found : "";
    return h(
      "search",
      { className: "search" },
      h("label", { htmlFor: "search" }, "Search"),
      h("input", {
        id: "search",
        type: "search",
        placeholder: "route, word or field, such as top_logprobs",
        value: phrase,
        onChange: (/** @type {any} */ event) => layoutActions.updateFilter(event.target.value),
      }),
      h("output", { htmlFor: "search" }, phrase ? `${count(phrase)} of ${total} routes` : `${total} routes`),
    );
  };
}

/** @param {string} phrase */
const wordsOf = (phrase) => phrase.toLowerCase().split(/\s+/).filter(Boolean);

/** @param {Record<string, any>} spec @returns {Map<string, string>} what can be found, by method and path */
function indexed(spec) {
  const texts = new Map();
  for (const [path, operations] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const name = operation.requestBody?.content["application/json"]?.schema?.$ref?.split("/").pop();
      const fields = Object.keys(spec.components.schemas[name]?.properties ?? {});
      const queries = (operation.parameters ?? []).map((/** @type {any} */ one) => one.name);
      const words = [method, path, ...operation.tags, operation.summary, operation.description, ...fields, ...queries];
      texts.set(`${method} ${path}`, words.join(" ").toLowerCase());
    }
  }
  return texts;
}
