// The key, for as long as the browser's tab lasts; the page at `/` has the same one.
const NAME = "caravan.key";

export function keptKey() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

/** @param {string} key an empty one is forgotten */
export function keepKey(key) {
  try {
    if (key) sessionStorage.setItem(NAME, key);
    else sessionStorage.removeItem(NAME);
  } catch {
    // Then it lasts as long as the page.
  }
}

/** A plugin of the viewer: what is typed into its dialog is kept, and forgotten at its logout. */
export const authorized = () => ({
  statePlugins: {
    auth: {
      wrapActions: {
        authorize: (/** @type {Function} */ act) => (/** @type {any} */ given) => {
          keepKey(given.key?.value ?? "");
          return act(given);
        },
        logout: (/** @type {Function} */ act) => (/** @type {any} */ names) => {
          keepKey("");
          return act(names);
        },
      },
    },
  },
});
