// A value that changes, and those who want to know.

/**
 * @template S
 * @typedef {{
 *   get: () => S,
 *   set: (part: Partial<S> | ((state: S) => Partial<S>)) => void,
 *   subscribe: (listener: () => void) => () => void,
 * }} Store
 */

/**
 * Make a store. States are never changed in place: `set` lays parts over the last one.
 * @template {object} S
 * @param {S} initial
 * @returns {Store<S>}
 */
export function createStore(initial) {
  let state = initial;
  /** @type {Set<() => void>} */
  const listeners = new Set();
  return {
    get: () => state,
    set(part) {
      state = { ...state, ...(typeof part === "function" ? part(state) : part) };
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/**
 * Keep a store in the browser's storage; where there is none, it lasts as long as the page.
 * @template {object} S
 * @param {string} name
 * @param {S} initial
 * @returns {Store<S>}
 */
export function createKeptStore(name, initial) {
  const place = `caravan.${name}`;
  const store = createStore({ ...initial, ...read(place) });
  store.subscribe(() => {
    try {
      localStorage.setItem(place, JSON.stringify(store.get()));
    } catch {
      // No storage, or a full one.
    }
  });
  return store;
}

/**
 * @param {string} place
 * @returns {object}
 */
function read(place) {
  try {
    const kept = JSON.parse(localStorage.getItem(place) ?? "{}");
    return typeof kept === "object" && kept !== null ? kept : {};
  } catch {
    return {};
  }
}
