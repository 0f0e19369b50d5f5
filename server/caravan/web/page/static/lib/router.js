// Which view is shown: the part of the address behind `#/`, with the view's own words behind another slash.
import { createStore } from "./store.js";

export const route = createStore(read());

addEventListener("hashchange", () => route.set(read()));

/** Show a view. @param {string} view @param {string} [rest] */
export function go(view, rest = "") {
  location.hash = rest ? `#/${view}/${rest}` : `#/${view}`;
}

function read() {
  const [, view = "", ...rest] = location.hash.split("/");
  return { view, rest: rest.map(decodeURIComponent).join("/") };
}
