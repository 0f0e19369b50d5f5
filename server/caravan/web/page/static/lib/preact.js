// Preact, htm and hooks, from the one place that knows where they are.
import { html, useEffect, useReducer, useRef } from "../vendor/htm-preact.js";

export {
  Component,
  html,
  render,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "../vendor/htm-preact.js";

/**
 * Join class names; what is false is left out.
 * @param {...(string | false | null | undefined)} names
 */
export function classes(...names) {
  return names.filter(Boolean).join(" ");
}

/**
 * Read a part of a store, and be drawn again when that part is another value.
 * @template S, T
 * @param {import("./store.js").Store<S>} store
 * @param {(state: S) => T} select
 * @returns {T}
 */
export function useStore(store, select) {
  const [, redraw] = useReducer((/** @type {number} */ count, /** @type {void} */ _) => count + 1, 0);
  const seen = useRef(/** @type {T | undefined} */ (undefined));
  const selector = useRef(select);
  selector.current = select;
  seen.current = select(store.get());
  useEffect(() => {
    const look = () => {
      if (!Object.is(selector.current(store.get()), seen.current)) redraw();
    };
    look();
    return store.subscribe(look);
  }, [store]);
  return /** @type {T} */ (seen.current);
}

/**
 * A picture of a line or two; says nothing to those who hear the page.
 * @param {{ path: string }} props
 */
export function Icon({ path }) {
  return html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true"><path d=${path} /></svg>`;
}

/**
 * A component that is drawn again only when one of its properties is another value.
 * @template {object} P
 * @param {(props: P) => any} component
 * @returns {(props: P) => any}
 */
export function memo(component) {
  /** @this {any} @param {P} props */
  function Memo(props) {
    this.shouldComponentUpdate ??= (/** @type {any} */ next) => !isAlike(this.props, next);
    return html`<${component} ...${props} />`;
  }
  return Memo;
}

/** @param {any} one @param {any} other */
function isAlike(one, other) {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => Object.is(one[name], other[name]));
}
